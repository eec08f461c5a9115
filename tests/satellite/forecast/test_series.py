"""Series of fields on coarse previews: what counts for a field, and what does not."""

from datetime import date

import numpy as np
import pytest

from include.satellite.forecast.series import FieldShares, current_fields, measure_fields, ndvi_on
from tests.satellite.fields.squares import field, outline
from tests.satellite.forecast.promoted import DAYS, GRID, ndvi_of, write_fields, write_history

SOME = DAYS[:6]


def test_a_pixel_counts_for_the_part_that_a_field_covers():
    """A square of 2 × 2 pixels of 60 m, shrunk by 10 m on each side: 10 × 10 pixels of 10 m, 25 in each."""
    shares = FieldShares.of([outline(GRID, 3, 4, 2, 2)], GRID)
    assert sorted(shares.positions.tolist()) == [3 * 16 + 4, 3 * 16 + 5, 4 * 16 + 4, 4 * 16 + 5]
    assert shares.weight.tolist() == [25, 25, 25, 25]
    assert shares.pixels.tolist() == [100]
    image = np.zeros((16, 16))
    image[3, 4], image[0, 0] = 2, 9
    assert shares.sums(image).tolist() == [50]


def test_a_field_of_less_than_four_pixels_is_too_small():
    shares = FieldShares.of([outline(GRID, 3, 4, 2, 2), outline(GRID, 1, 1, 3, 3), outline(GRID, 8, 8, 0.1, 0.1)], GRID)
    assert shares.too_small(GRID).tolist() == [True, False, True]


def test_the_crop_of_the_day_stands_for_a_field():
    place = outline(GRID, 1, 1, 3, 3)
    rows = [
        field("B", place, crop="rye", valid_from=date(2026, 1, 1)),
        field("B", place, crop="maize", valid_from=date(2025, 1, 1), valid_to=date(2025, 12, 31)),
        field("A", place, crop="oats", valid_from=date(2027, 1, 1)),
    ]
    assert [row.crop for row in current_fields(rows, date(2026, 6, 1))] == ["oats", "rye"]
    assert [row.crop for row in current_fields(rows, date(2025, 6, 1))] == ["oats", "maize"]


def test_series_hold_the_ndvi_of_the_fields_and_nothing_under_cloud(data_dir, tmp_path):
    fields, imagery = write_fields(tmp_path).fields, write_history(data_dir, tmp_path, SOME)
    series = measure_fields(fields, imagery)
    assert (series.dates, series.hazy) == (SOME, [])
    assert series.ndvi[0] == pytest.approx([ndvi_of(0, day) for day in SOME], abs=1e-3)
    assert np.isnan(series.ndvi[1]).tolist() == [False] * 4 + [True, False], "cloud"
    assert np.isnan(series.ndvi[2]).all(), "too small"
    assert series.too_small.tolist() == [False, False, True]
    again = ndvi_on(fields, imagery, [SOME[5], SOME[1]])
    assert np.array_equal(again, series.ndvi[:, [5, 1]], equal_nan=True)


def test_a_hazy_date_is_left_out_and_named(data_dir, tmp_path):
    from tests.satellite.imagery_store import PREVIEW_BANDS, ImageryMaker

    fields, imagery = write_fields(tmp_path).fields, write_history(data_dir, tmp_path, DAYS[:9])
    maker = ImageryMaker(data_dir, GRID, (*PREVIEW_BANDS, "SCL"), synthetic=True)
    layers = np.stack([np.full((16, 16), value) for value in (1400, 1600, 3000, 4)])
    hazy = maker.scene(DAYS[9], layers)
    imagery = imagery.model_copy(update={"acquisitions": [*imagery.acquisitions, hazy]})
    series = measure_fields(fields, imagery)
    assert series.hazy == [DAYS[9]]
    assert series.dates == DAYS[:9]
    assert series.ndvi.shape == (3, 9)
