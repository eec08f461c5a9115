"""A document must state what was derived again; only rounding may differ."""

import pytest
from pydantic import BaseModel

from include.core.errors import ContractError
from include.satellite.evaluation.statements import check_stated


class Score(BaseModel):
    """A document of the tests."""

    name: str = "real"
    value: float | None = 0.5
    by_class: dict[str, float] = {"Healthy": 0.9}
    dates: list[int] = [1, 2]
    passed: bool = True


@pytest.mark.parametrize("changes", [{}, {"value": 0.5 + 1e-12}, {"by_class": {"Healthy": 0.9 - 1e-13}}])
def test_the_same_up_to_rounding_is_the_same(changes):
    check_stated("score.json", Score(**changes), Score())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "other"}, r"\$\.name"),
        ({"value": 0.500001}, r"\$\.value"),
        ({"value": None}, r"\$\.value"),
        ({"value": float("nan")}, r"\$\.value"),
        ({"by_class": {"Healthy": 0.8}}, r"\$\.by_class\.Healthy"),
        ({"by_class": {}}, r"\$\.by_class\.Healthy"),
        ({"by_class": {"Healthy": 0.9, "Critical": 1}}, r"\$\.by_class\.Critical"),
        ({"dates": [1, 3]}, r"\$\.dates\[1\]"),
        ({"dates": [1, 2, 3]}, r"\$\.dates"),
        ({"passed": False}, r"\$\.passed"),
    ],
)
def test_the_first_field_that_differs_is_named_with_both_values(changes, field):
    with pytest.raises(ContractError, match=rf"^score\.json: must state what follows .*{field} is .*found"):
        check_stated("score.json", Score(**changes), Score())
