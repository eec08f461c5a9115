"""Parameters of the satellite steps: their limits, the window and the bands that follow from them."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from include.core.errors import BadInputError
from include.satellite.params import AreaParams, ConfigureParams, ImageryStepParams, SelectionParams, WindowParams
from include.satellite.sensors.sentinel2 import SENTINEL2

END = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ((75.9, 30.9, 75.8, 31.0), "must be west < east"),
        ((75.8, 84.0, 75.9, 84.5), "where UTM is defined"),
        ((70.0, 30.0, 75.1, 31.0), "must not be wider or taller than 5 degrees"),
    ],
)
def test_a_bounding_box_lies_on_earth_and_in_one_grid(bbox, message):
    with pytest.raises(ValidationError, match=message):
        AreaParams(bbox=bbox)


def test_the_window_is_the_days_before_its_end():
    assert WindowParams(end=END, days_back=31).window == (datetime(2025, 12, 1, tzinfo=UTC), END)


def test_a_window_without_an_end_is_refused():
    with pytest.raises(BadInputError, match="end: the window needs an end"):
        WindowParams().window  # noqa: B018 - reading it is the test


def test_more_dates_than_are_wanted_cannot_be_required():
    with pytest.raises(ValidationError, match="min_dates 5 must not exceed target_count 4"):
        SelectionParams(target_count=4, min_dates=5)


@pytest.mark.parametrize(
    ("clear", "cloud", "word"),
    [(100, 0, None), (70, 20, None), (69.9, 0, "clear"), (75, 20.1, "cloud"), (0, 100, "cloud"), (0, 0, "clear")],
)
def test_a_date_is_usable_when_it_is_clear_enough_and_not_too_cloudy(clear, cloud, word):
    reason = SelectionParams().rejection(clear, cloud)
    assert (reason is None) if word is None else (word in reason)


def test_the_bands_are_those_of_the_sensor_with_its_classes_last():
    assert ImageryStepParams().sensor is SENTINEL2
    assert ImageryStepParams(extra_bands=("B11", "B05", "B11")).bands == (
        "B02",
        "B03",
        "B04",
        "B08",
        "B11",
        "B05",
        "SCL",
    )


@pytest.mark.parametrize(
    ("label_source", "reference", "wanted"),
    [("reference", None, True), ("reference", "fields.tif", False), ("ndvi_rule", None, False)],
)
def test_the_class_raster_is_fetched_only_where_labels_need_it_and_no_file_holds_it(label_source, reference, wanted):
    params = ImageryStepParams(label_source=label_source, reference=reference)
    assert params.wants_reference == wanted
    assert ("REFERENCE" in params.bands) == wanted


def test_every_parameter_names_its_section_of_the_form_and_files_are_marked():
    schema = ImageryStepParams.model_json_schema()["properties"]
    assert all("section" in field for field in schema.values())
    assert [name for name, field in schema.items() if field.get("file")] == ["reference"]
    assert ConfigureParams.model_json_schema()["properties"]["require_approval"]["section"] == "Promotion"
