"""Fields on a scene: every statistic is that of NumPy over the field's own pixels."""

import json

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.warp import transform_geom

from include.satellite.fields import measurement
from include.satellite.fields.measurement import dilated, field_statistics, indices_of, measure_scene
from include.satellite.fields.pixels import field_pixels
from include.satellite.imagery.schemas import Grid
from include.satellite.imagery.store import scene_path
from include.satellite.sensors.sentinel2 import SENTINEL2
from tests.satellite.fields.squares import make_imagery, outline

EQUAL = 1e-7
"""Percentiles interpolate values in single precision; everything else is double."""
ALL = {
    f"{index}_{name}"
    for index in ("ndvi", "ndre", "ndmi", "savi", "evi")
    for name in ("mean", "median", "std", "p10", "p90")
}


def hidden_by_hand(classes, resolution=10):
    """Which pixels of a scene are hidden: cloud by distances."""
    rows, columns = np.indices(classes.shape)
    hidden = np.isin(classes, (0, 1))
    for row, column in np.argwhere(np.isin(classes, (3, 8, 9, 10, 11))):
        hidden |= np.hypot(rows - row, columns - column) * resolution <= 20
    return hidden


def by_hand(scene, bands, mask, hidden):
    """One field by NumPy alone: the mask of its pixels, those that are hidden, indices written out."""
    band = {name: values.astype(float) / 10_000 for name, values in zip(bands, scene, strict=True)}
    formulas = {
        "ndvi": ("B08", "B04", lambda b: (b["B08"] - b["B04"]) / (b["B08"] + b["B04"])),
        "ndre": ("B8A", "B05", lambda b: (b["B8A"] - b["B05"]) / (b["B8A"] + b["B05"])),
        "ndmi": ("B8A", "B11", lambda b: (b["B8A"] - b["B11"]) / (b["B8A"] + b["B11"])),
        "savi": ("B08", "B04", lambda b: 1.5 * (b["B08"] - b["B04"]) / (b["B08"] + b["B04"] + 0.5)),
        "evi": ("B02", "B08", lambda b: 2.5 * (b["B08"] - b["B04"]) / (b["B08"] + 6 * b["B04"] - 7.5 * b["B02"] + 1)),
    }
    formulas = {name: parts[2] for name, parts in formulas.items() if band.keys() >= set(parts[:2])}
    used = [name for name in ("B02", "B04", "B08", "B05", "B8A", "B11") if name in band]
    used = [name for name in used if name != "B05" or "ndre" in formulas]
    data = mask & np.all([band[name] > 0 for name in used], axis=0)
    clear, count = data & ~hidden, mask.sum()
    if count < 8:
        return int(count), None, "too small", {}
    if data.sum() / count < 0.7 or clear.sum() / count < 0.7:
        return int(count), clear.sum() / count, "no data" if data.sum() / count < 0.7 else "cloudy", {}
    statistics = {}
    for name, formula in formulas.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            values = formula(band)[clear]
        values = values[np.isfinite(values) & (np.abs(values) <= (1.51 if name == "savi" else 1.01))]
        if len(values) >= 0.7 * count:
            parts = values.mean(), np.median(values), values.std(), *np.percentile(values, (10, 90))
            statistics |= {
                f"{name}_{part}": value
                for part, value in zip(("mean", "median", "std", "p10", "p90"), parts, strict=True)
            }
    return int(count), clear.sum() / count, "ok", statistics


def compare(measured, number, expected):
    count, share, status, statistics = expected
    assert (measured.pixels[number], measured.status[number]) == (count, status)
    assert share is None or measured.clear_share[number] == pytest.approx(share, abs=1e-12)
    for name, values in measured.statistics.items():
        if name in statistics:
            assert values[number] == pytest.approx(statistics[name], abs=EQUAL)
        else:
            assert np.isnan(values[number])


def masks_of(pixels, grid):
    for number in range(pixels.count):
        mask = np.zeros(grid.height * grid.width, bool)
        mask[pixels.positions[pixels.field == number]] = True
        yield mask.reshape(grid.height, grid.width)


@pytest.mark.parametrize("rows", [7, 512])
def test_statistics_are_those_of_each_field_alone_in_whatever_strips_a_scene_is_read(
    data_dir, tmp_path, monkeypatch, rows
):
    monkeypatch.setattr(measurement, "STRIP_ROWS", rows)
    imagery = make_imagery(data_dir, tmp_path, dates=2)
    random = np.random.default_rng(1)
    places = [(*random.integers(0, 40, 2), *random.integers(3, 20, 2)) for _ in range(40)]
    pixels = field_pixels([outline(imagery.grid, *map(int, place)) for place in places], imagery.grid)
    statuses = set()
    for acquisition in imagery.acquisitions:
        path = scene_path(acquisition)
        measured = measure_scene(path, SENTINEL2, imagery.bands, imagery.grid, pixels)
        assert set(measured.statistics) == ALL
        with rasterio.open(path) as dataset:
            scene = dataset.read()
        hidden = hidden_by_hand(scene[-1])
        for number, mask in enumerate(masks_of(pixels, imagery.grid)):
            compare(measured, number, by_hand(scene, imagery.bands, mask, hidden))
        statuses |= set(measured.status)
    assert statuses >= {"ok", "cloudy", "too small"}


@pytest.mark.real_data
def test_statistics_of_real_fields_equal_an_independent_calculation_to_seven_digits(real_data, tmp_path):
    site = real_data / "satellite" / "romania_s2l2a_west"
    items = json.loads((site / "index.json").read_text())["items"][10:60:7]
    random, compared = np.random.default_rng(1), 0
    for item in items:
        with rasterio.open(site / item["file"]) as scene, rasterio.open(site / item["scl"]) as classes:
            layers = np.concatenate([scene.read(), classes.read().astype(np.uint16)])
            bands, bounds, profile = [*scene.descriptions, "SCL"], tuple(scene.bounds), scene.profile
        with rasterio.open(tmp_path / "scene.tif", "w", **profile | {"count": len(layers)}) as file:
            file.write(layers)
        grid = Grid(crs="EPSG:3035", resolution=10, bounds=bounds, width=profile["width"], height=profile["height"])
        outlines = []
        for _ in range(15):
            x, y = random.uniform(bounds[0], bounds[2]), random.uniform(bounds[1], bounds[3])
            angles = np.sort(random.uniform(0, 2 * np.pi, 7))
            ring = np.column_stack([x + 130 * np.cos(angles), y + 130 * np.sin(angles)]).tolist()
            polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
            outlines.append(transform_geom("EPSG:3035", "EPSG:4326", polygon))
        pixels = field_pixels(outlines, grid)
        measured = measure_scene(tmp_path / "scene.tif", SENTINEL2, bands, grid, pixels)
        hidden = hidden_by_hand(layers[-1])
        for number, mask in enumerate(masks_of(pixels, grid)):
            compare(measured, number, by_hand(layers, bands, mask, hidden))
        compared += int((measured.status == "ok").sum())
    assert compared > 20


GROUPS = st.lists(st.tuples(st.integers(0, 4), st.floats(-1.5, 1.5, width=32)), max_size=60)


@given(GROUPS)
def test_statistics_of_groups_are_those_of_numpy(pairs):
    pairs.sort(key=lambda pair: pair[0])
    group = np.array([number for number, _ in pairs], np.int64)
    values = np.array([value for _, value in pairs], np.float64)
    result = field_statistics(values, group, 5)
    for number in range(5):
        own = values[group == number]
        if not len(own):
            assert all(np.isnan(statistic[number]) for statistic in result.values())
            continue
        low, high = np.percentile(own, (10, 90))
        expected = {"mean": own.mean(), "median": np.median(own), "std": own.std(), "p10": low, "p90": high}
        assert {name: statistic[number] for name, statistic in result.items()} == pytest.approx(expected, abs=EQUAL)


@pytest.mark.parametrize(("distance", "pixels"), [(0, 1), (1, 5), (2, 13), (0.4, 1)])
def test_a_mask_grows_by_a_disc(distance, pixels):
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    grown = dilated(mask, distance)
    rows, columns = np.indices(mask.shape)
    assert grown.tolist() == (np.hypot(rows - 4, columns - 4) <= distance).tolist()
    assert grown.sum() == pixels
    assert dilated(np.ones((1, 1), bool), 2).all()


def test_indices_that_need_other_bands_are_measured_where_these_were_fetched():
    assert [index.name for index in indices_of(SENTINEL2, SENTINEL2.base_bands)] == ["ndvi", "savi", "evi"]
    assert [index.name for index in indices_of(SENTINEL2, ["B04", "B08", "B8A", "B11"])] == ["ndvi", "ndmi", "savi"]
