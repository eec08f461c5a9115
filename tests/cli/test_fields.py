"""What the fields of a model hold, as references and the command line say it."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

from include.cli.fields import bare_type, field_default, field_value


class Params(BaseModel):
    """One field of each kind."""

    share: float = Field(0.5, ge=0, le=1000)
    zone: Literal["UTC", "local"] = "UTC"
    files: tuple[str, ...] = ()
    start: AwareDatetime | None = None
    seed: Annotated[int, Field(gt=0)]
    names: list[str] = Field(default_factory=list)


FIELDS = Params.model_fields


def test_a_field_is_described_with_its_bounds():
    assert {name: field_value(field) for name, field in FIELDS.items()} == {
        "share": "number ≥ 0, ≤ 1,000",
        "zone": "`UTC` or `local`",
        "files": "list (text)",
        "start": "time with zone, or null",
        "seed": "whole number > 0",
        "names": "list (text)",
    }


def test_a_default_is_shown_as_it_is_written_and_its_absence_said():
    assert {name: field_default(field) for name, field in FIELDS.items()} == {
        "share": "`0.5`", "zone": "`UTC`", "files": "none", "start": "none", "seed": "none", "names": "see its meaning",
    }  # fmt: skip


def test_the_bare_type_is_without_validators_and_none():
    assert bare_type(Annotated[int, Field(gt=0)] | None) is int
