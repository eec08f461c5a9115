"""A field is valid from its first to its last day, both inclusive, and always where neither is stated."""

from datetime import date

import pytest

from tests.satellite.fields.squares import field, outline
from tests.satellite.imagery_store import grid_of

GEOMETRY = outline(grid_of(10, 10), 1, 1, 5, 5)


@pytest.mark.parametrize(
    ("first", "last", "valid"),
    [
        (None, None, [True, True, True]),
        (date(2026, 4, 2), None, [False, True, True]),
        (None, date(2026, 4, 2), [True, True, False]),
        (date(2026, 4, 2), date(2026, 4, 2), [False, True, False]),
    ],
)
def test_a_field_is_valid_on_its_days(first, last, valid):
    item = field("A", GEOMETRY, valid_from=first, valid_to=last)
    assert [item.is_valid_on(date(2026, 4, day)) for day in (1, 2, 3)] == valid
