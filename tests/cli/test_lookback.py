"""Options of a pipeline that looks back: windows, boxes, profiles."""

import json
from datetime import UTC, datetime

import pytest

from include.cli.interval import lookback_params
from include.cli.profiles import read_area, read_box, read_profile
from include.core.errors import BadInputError
from include.satellite.pipeline import SATELLITE

JULY = datetime(2026, 7, 1)  # noqa: DTZ001 - as the command line reads a date


@pytest.mark.parametrize(
    ("asked", "params"),
    [
        ((JULY, None, None, None), {"end": "2026-07-02T00:00:00Z"}),
        ((None, None, "2026-07-01", None), {"end": "2026-07-01T00:00:00Z"}),
        ((None, None, "2026-07-01", "Asia/Kolkata"), {"end": "2026-06-30T18:30:00Z"}),
        ((None, "2026-06-01", "2026-07-01", None), {"end": "2026-07-01T00:00:00Z", "days_back": 30}),
    ],
)
def test_the_window_ends_where_somebody_says(asked, params):
    assert lookback_params(*asked) == params


def test_without_a_word_the_window_ends_with_yesterday():
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert lookback_params(None, None, None, None)["end"] == today.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((None, "2026-06-01", None, None), "--start needs --end"),
        ((None, "2026-06-01", "2026-06-01T12:00", None), "whole days apart"),
        ((None, "2026-06-02", "2026-06-01", None), "whole days apart"),
        ((JULY, "2026-06-01", "2026-06-02", None), "--date is a whole day"),
        ((None, None, "yesterday", None), "no ISO 8601 time"),
    ],
)
def test_a_window_that_cannot_be_is_refused_in_words(asked, said):
    with pytest.raises(BadInputError, match=said):
        lookback_params(*asked)


def test_a_box_is_four_numbers():
    assert read_box("75.8,30.9,75.9,31.0") == [75.8, 30.9, 75.9, 31.0]
    for text in ("1,2,3", "1,2,3,x", ""):
        with pytest.raises(BadInputError, match="west,south,east,north"):
            read_box(text)


def test_a_profile_of_somebody_s_own_is_a_json_object(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"$comment": "quick", "cnn_epochs": 3}))
    assert read_profile(str(tmp_path / "mine.json")) == {"cnn_epochs": 3}
    (tmp_path / "mine.json").write_text("[1]")
    with pytest.raises(BadInputError, match="must hold a JSON object"):
        read_profile(str(tmp_path / "mine.json"))
    with pytest.raises(BadInputError, match="there are: demo"):
        read_profile("other")


def test_the_demo_profile_holds_parameters_of_the_pipeline():
    assert SATELLITE.check_params(read_profile("demo"))["allow_synthetic"] is True


def test_an_area_is_read_from_its_file(tmp_path):
    (tmp_path / "field.geojson").write_text('{"type": "Polygon", "coordinates": []}')
    assert read_area(tmp_path / "field.geojson")["type"] == "Polygon"
    with pytest.raises(BadInputError, match="no such file"):
        read_area(tmp_path / "none.geojson")
    (tmp_path / "field.geojson").write_text("no json")
    with pytest.raises(BadInputError, match="cannot be read as JSON"):
        read_area(tmp_path / "field.geojson")
