"""What is shown of a run's fields."""

from datetime import date

import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import FIELDS_TABLE
from include.satellite.fields.shown import field_map, shown_fields
from tests.satellite.fields.shown_run import HOSTILE, write_run


@pytest.fixture
def files(tmp_path):
    return write_run(tmp_path / "run")


def test_fields_with_an_alert_come_first_with_what_it_says(files):
    first, second = shown_fields(files)
    assert (first.number, first.field_id, first.state) == (1, HOSTILE, "alert")
    assert first.alert == "fall of 2026-05-06: 0.12 lower than expected"
    assert (second.alert, second.past) == ("", ["fall 2026-02-03"])
    assert (second.field_id, second.state, second.latest, second.ndvi) == ("south", "cloudy", date(2026, 5, 1), 0.5)
    assert first.ndvi is None
    assert second.text == "wheat, 2.00 ha, NDVI 0.50 on 2026-05-01"


def test_the_series_ends_at_the_latest_day_and_leaves_older_ones_out(files):
    first, second = shown_fields(files)
    assert second.line.split(" ")[-1] == "176,3", "1.0, at the upper edge"
    assert second.dots.count("M") == 1
    assert (first.line, first.dots) == ("", "")


def test_the_map_holds_each_field_with_its_state_and_its_row_on_the_page(files):
    chart = field_map(shown_fields(files), linked=True)
    assert [(area.label, area.state, area.link) for area in chart.areas] == [
        (HOSTILE, "alert", "#field-1"),
        ("south", "cloudy", "#field-2"),
    ]
    assert chart.areas[1].rings[0][0] == [5.0, 50.0]
    assert {area.link for area in field_map(shown_fields(files)).areas} == {""}


def test_a_file_of_another_version_is_named(files):
    FIELDS_TABLE.at(files).write_bytes(b"PAR1")
    with pytest.raises(ContractError, match=r"^fields.parquet: must hold the fields of this version"):
        shown_fields(files)
