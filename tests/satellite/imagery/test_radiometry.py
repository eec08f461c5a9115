"""What scenes show of scale, offset and haze; the measured sites bear out the limits of decision 39."""

import csv
import re
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio

from include.core.errors import ContractError
from include.satellite.imagery.radiometry import (
    haze,
    measure,
    offset_fault,
    order_fault,
    order_in_doubt,
    order_not_tested,
    reflectance_fault,
    series_faults,
)
from include.satellite.imagery.scenes import Scene
from include.satellite.imagery.schemas import Radiometry
from include.satellite.sensors.sentinel2 import SENTINEL2
from tests.satellite.scene_folders import DATES, NDVI, read_folder, write_scenes

BANDS = ("B02", "B03", "B04", "B08", "SCL")
MEADOW, FIELD = (250, 600, 300, 4000), (900, 1200, 1550, 2450)
"""B02, B03, B04, B08 of dense vegetation and of bare soil, reflectance × 10000."""


def scene(*surfaces, classes=4, add=0.0, factor=1.0):
    """Stripes of 20 × 10 pixels, with noise."""
    random = np.random.default_rng(0)
    layers = np.repeat(np.array(surfaces, float).T[:, None, :], 20, axis=1).repeat(10, axis=2)
    layers = np.clip((layers + random.normal(0, 20, layers.shape)) * factor + add, 1, 65535)
    return Scene(SENTINEL2, BANDS, np.concatenate([layers, np.full((1, *layers.shape[1:]), classes)]).astype(np.uint16))


def shown(*surfaces, **changes):
    one = scene(*surfaces, **changes)
    return measure(one, np.ones(one.layers.shape[1:], bool))


def days(count, first=date(2020, 1, 1)):
    return [first + timedelta(days=10 * number) for number in range(count)]


def test_what_is_measured_is_that_of_clear_land():
    found = shown(MEADOW, FIELD)
    assert found.land == 400
    assert found.dark == pytest.approx(0.027, abs=0.002)
    assert found.blue == pytest.approx((0.025 + 0.09) / 2, abs=0.03)
    assert found.bright == pytest.approx(0.4, abs=0.01)
    assert (found.zero, found.saturated) == (0, 0)
    assert shown(MEADOW, classes=9) == Radiometry(land=0, saturated=0)
    assert shown(FIELD).dark is None


@pytest.mark.parametrize(("factor", "wrong"), [(0.01, True), (0.1, True), (1, False), (6.5535, True)])
def test_numbers_of_another_scale_are_no_reflectance(factor, wrong):
    fault = reflectance_fault(shown(MEADOW, factor=factor))
    assert (fault is not None) == wrong
    assert fault is None or ("scale is wrong" in fault and "--scale" in fault)


def test_an_offset_that_was_left_in_shows_in_dense_vegetation_and_bright_soil_is_none():
    fault = offset_fault(shown(MEADOW, FIELD, add=1000))
    assert "reflects 0.127 in red" in fault
    assert "--offset" in fault
    assert offset_fault(shown(MEADOW, FIELD)) is None
    desert = tuple(2 * level for level in FIELD)
    assert offset_fault(shown(desert)) is None
    assert reflectance_fault(shown(desert)) is None


def test_an_offset_that_was_taken_off_twice_shows_in_zeros():
    assert "green is 0 on 100.0 % of the clear land" in reflectance_fault(shown(MEADOW, add=-1000))


def test_where_most_dates_show_an_offset_those_that_cannot_tell_are_not_used_either():
    summer, winter = shown(MEADOW, add=1000), shown(FIELD, add=1000)
    new = date(2022, 2, 1)
    old = dict.fromkeys(days(5), shown(MEADOW, FIELD))
    faults = series_faults(old | dict.fromkeys(days(3, new), summer) | {new + timedelta(days=200): winter})
    assert {day: test for day, (test, _) in faults.items() if day < new} == {}
    assert len(faults) == 4
    assert "left in on 3 of 3 dates" in faults[new + timedelta(days=200)][1]
    dark = radiometry(0.06, 0.09)
    assert [*series_faults({new: summer, new + timedelta(days=200): dark})] == [new]
    assert series_faults(old | {new: shown(FIELD)}) == {}


def radiometry(blue, red):
    return Radiometry(land=1000, blue=blue, red=red, bright=0.3, zero=0)


CLEAR = [radiometry(0.025 + 0.002 * (number % 3), 0.03) for number in range(10)]


def test_haze_stands_out_of_its_series_with_its_evidence():
    series = dict(zip(days(11), [*CLEAR, radiometry(0.13, 0.125)], strict=True))
    [(day, words)] = haze(series).items()
    assert day == days(11)[-1]
    assert "reflects 0.130 in blue (median), more than 0.08 and 20.6 robust deviations above 0.027" in words
    assert series_faults(series)[day] == ("haze", words)


@pytest.mark.parametrize(
    "last",
    [radiometry(0.079, 0.08), radiometry(0.10, 0.17)],
    ids=["below the limit", "bare soil brightens more in red"],
)
def test_what_is_less_bright_or_bare_soil_is_no_haze(last):
    assert haze(dict(zip(days(11), [*CLEAR, last], strict=True))) == {}


def test_a_series_of_hazy_or_bright_dates_has_no_outlier():
    assert haze(dict(zip(days(4), [radiometry(blue, blue) for blue in (0.09, 0.1, 0.11, 0.13)], strict=True))) == {}
    assert haze(dict(zip(days(2), [CLEAR[0], radiometry(0.13, 0.12)], strict=True))) == {}


def test_saturation_is_a_pile_at_the_top_of_a_range():
    one = scene(MEADOW, FIELD)
    inside = np.ones(one.layers.shape[1:], bool)
    assert measure(one, inside).saturated == 0
    one.layers[3, :, :3] = 5100
    found = measure(one, inside)
    assert (found.saturated, found.clipped) == (pytest.approx(15), 0)


def test_numbers_that_were_stretched_for_display_are_clipped_in_every_band():
    one = scene(MEADOW, FIELD)
    layers = one.layers[:4].astype(float)
    low, high = np.percentile(layers, [5, 95], axis=(1, 2), keepdims=True)
    one.layers[:4] = np.clip((layers - low) / (high - low), 0, 1) * 9999 + 1
    found = measure(one, np.ones(one.layers.shape[1:], bool))
    assert found.clipped == pytest.approx(5, abs=0.5)
    assert "stretched for display" in reflectance_fault(found)


@pytest.mark.parametrize("classes", [4, 6], ids=["vegetation", "water, as red instead of near infrared looks"])
def test_red_in_the_place_of_near_infrared_is_refused(classes):
    blue, green, red, nir = MEADOW
    found = shown((blue, green, nir, red), classes=classes)
    assert found.inverted == 100
    assert "bands are interchanged; --band-names" in reflectance_fault(found)
    assert shown(MEADOW, FIELD, classes=classes).inverted == 0
    lagoon = (1500, 2400, 900, 200)
    assert shown(lagoon, classes=6).inverted == 0, "bright water reflects no near infrared"


def interchanged(order, surface):
    """A surface whose blue, green and red are read from other bands."""
    return (*(surface[place] for place in order), surface[3])


@pytest.mark.parametrize("add", [0, 1000], ids=["right", "with the offset left in"])
@pytest.mark.parametrize(
    ("order", "words"),
    [
        (
            (0, 2, 1),
            r"a lush canopy is redder than green on 100 % .* bands green and red .or blue. are interchanged",
        ),
        ((2, 0, 1), "the bands green and red .or blue. are interchanged"),
        (
            (2, 1, 0),
            "bare soil is bluer than red on 100 % of the pixels .*bands blue and red are interchanged; --band-",
        ),
        (
            (1, 2, 0),
            "beside a canopy that is bluest, bare soil is .* bluer than red on 100 % .*bands blue, green and red are",
        ),
    ],
)
def test_visible_bands_that_are_interchanged_are_refused_on_all_dates(order, words, add):
    right = dict.fromkeys(days(3), shown(MEADOW, FIELD, add=add))
    wrong = dict.fromkeys(days(3), shown(interchanged(order, MEADOW), interchanged(order, FIELD), add=add))
    assert order_fault(right) is None
    assert order_not_tested(right) is None
    assert re.search(words, order_fault(wrong))
    assert {test for test, _ in series_faults(wrong).values()} == {"band order"}
    assert series_faults(wrong).keys() == wrong.keys()


def test_the_order_of_the_bands_at_the_top_of_the_atmosphere_is_right():
    """Air scatters blue the most: a canopy is bluer than green there, and dark soil bluer than red, bright soil not."""
    for soil in ((1200, 1100, 900, 1900), (1400, 1500, 2000, 2600)):
        series = dict.fromkeys(days(3), shown((750, 700, 400, 4000), soil))
        assert order_fault(series) is None
        assert "as at the top of the atmosphere, and where blue and green" in order_in_doubt(series)
    assert order_in_doubt(dict.fromkeys(days(3), shown(MEADOW, FIELD))) is None


def test_leaves_of_one_autumn_day_are_no_other_order():
    beeches, summer = (190, 530, 680, 4000), shown(MEADOW)
    assert order_fault({days(1)[0]: shown(beeches), days(2)[1]: shown(FIELD)}) is None
    assert order_fault(dict(zip(days(3), [shown(beeches), summer, summer], strict=True))) is None


def test_bands_whose_order_no_date_tells_are_named():
    meadows, fields = (dict.fromkeys(days(3), shown(surface)) for surface in (MEADOW, FIELD))
    assert order_not_tested(meadows) == (
        "whether bands are interchanged is not tested for blue and red, or all three (bare soil on 0 of 3 dates, "
        "beside a lush canopy); 2 dates tell it"
    )
    assert "for green and red (a lush canopy on 0 of 3 dates), nor for blue and red" in order_not_tested(fields)


def test_numbers_of_twice_the_scale_are_called_so_and_not_an_offset():
    crop = (300, 700, 600, 4800)
    found = shown(crop, factor=2)
    assert (found.canopy, found.floor) == (pytest.approx(0.966, abs=0.01), pytest.approx(0.053, abs=0.01))
    assert "dense vegetation reflects 0.96" in reflectance_fault(found)
    assert "it is haze, or the scale is wrong; --scale" in offset_fault(found)
    assert reflectance_fault(shown(crop)) is None


def test_a_scale_that_is_wrong_on_most_dates_is_wrong_on_all():
    crop, meadow = shown((300, 700, 600, 4800), factor=2), shown(FIELD, factor=2)
    faults = series_faults(dict(zip(days(4), [crop, crop, meadow, meadow], strict=True)))
    assert {test for test, _ in faults.values()} == {"scale"}
    assert "on 2 of 2 dates that have some: the scale is wrong" in faults[days(4)[3]][1]
    calm = shown((300, 700, 600, 4800))
    assert "scale" not in {
        test for test, _ in series_faults(dict(zip(days(3), [crop, calm, calm], strict=True))).values()
    }


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("offset_in", [True, False])
def test_an_offset_and_its_tag_are_right_together_and_refused_apart(tmp_path, data_dir, tagged, offset_in):
    folder = write_scenes(tmp_path / "in", offset=-0.1 if offset_in else 0)
    for path in (folder / "scenes").glob("*.tif") if tagged else ():
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (1e-4,) * file.count, (-0.1,) * file.count
    if tagged == offset_in:
        read = read_folder(tmp_path / "files", folder)
        assert read.ndvi == {day: pytest.approx(mean, abs=1e-3) for day, mean in NDVI.items()}
        assert ("offset -0.1: the file's tags" in read.messages) == tagged
        return
    words = "green is 0 on 100.0 %.*--offset 0" if tagged else r"offset of \+1000.* was left in.*--offset -0.1"
    with pytest.raises(ContractError, match=words):
        read_folder(tmp_path / "files", folder)
    stated = read_folder(tmp_path / "again", folder, offset=0 if tagged else -0.1)
    assert stated.ndvi == {day: pytest.approx(mean, abs=1e-3) for day, mean in NDVI.items()}


@pytest.mark.parametrize(("dtype", "value"), [("uint16", 65_535), ("int16", -9999), ("int16", -1), ("float32", np.inf)])
def test_what_is_no_reflectance_is_nodata_in_every_band_without_a_tag(tmp_path, data_dir, dtype, value):
    folder = write_scenes(tmp_path / "in", dtype=dtype, nodata=None)
    for path in (folder / "scenes").glob("*.tif"):
        with rasterio.open(path, "r+") as file:
            red = file.read(3)
            red[:, :15] = value
            file.write(red, 3)
    read = read_folder(tmp_path / "files", folder, min_clear=50)
    assert {day.nodata for day in read.accepted.values()} == {25}
    assert {day.saturated for day in (report.radiometry for report in read.accepted.values()) if day} == {0}


def test_a_hazy_date_of_a_folder_is_excluded_with_its_evidence(tmp_path, data_dir):
    folder = write_scenes(tmp_path / "in")
    path = folder / "scenes" / f"S2_{DATES[1]:%Y%m%d}.tif"
    with rasterio.open(path, "r+") as file:
        file.write((0.75 * file.read() + 0.25 * 4500).astype("uint16"))
    read = read_folder(tmp_path / "files", folder, min_dates=2)
    assert [*read.accepted] == [DATES[0], DATES[2]]
    assert read.unusable[DATES[1]].startswith("haze: clear land reflects 0.142 in blue (median), more than 0.08 and ")
    assert f"{DATES[1]} is excluded: haze" in read.messages


def measured_scenes(folder):
    """Date and scene of each of a site's dates that its index calls usable, or of which it knows no cloud."""
    with (folder / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"]]
    for row in rows:
        if float(row.get("cloud_pct") or 0) > 20 or float(row.get("clear_pct") or 100) < 70:
            continue
        with rasterio.open(folder / row["file"]) as file:
            layers = file.read([file.descriptions.index(band) + 1 for band in BANDS[:4]])
            data = (layers != file.nodata).all(axis=0)
        layers = np.where(data, np.maximum(layers, 1), 0)
        red, nir = layers[2:].astype(float)
        classes = np.where(nir - red >= 0.3 * (nir + red), 4, 5)
        if row.get("scl"):
            with rasterio.open(folder / row["scl"]) as file:
                classes = file.read(1)
        yield (
            date.fromisoformat(row["date"]),
            Scene(SENTINEL2, BANDS, np.concatenate([layers, classes[None]]).astype("uint16")),
        )


def moved(one, number):
    layers = one.layers.astype(np.int32)
    layers[:4] = np.where(layers[:4] == 0, 0, np.clip(layers[:4] + number, 1, 65535))
    return Scene(SENTINEL2, BANDS, layers.astype(np.uint16))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("site", "hazy"),
    [("romania_s2l2a_west", {date(2020, 9, 3)}), ("belgium_hesbaye_monthly", set()), ("slovenia_s2l1c", set())],
)
def test_of_measured_dates_haze_alone_is_refused_and_every_wrong_offset(real_data, site, hazy):
    scenes = dict(measured_scenes(real_data / "satellite" / site))
    inside = np.ones(next(iter(scenes.values())).layers.shape[1:], bool)

    def refused(number):
        shows = {day: measure(moved(one, number), inside) for day, one in scenes.items()}
        wrong = {day: ("reflectance", fault) for day, one in shows.items() if (fault := reflectance_fault(one))}
        return wrong | series_faults(shows)

    assert {day: test for day, (test, _) in refused(0).items()} == dict.fromkeys(hazy, "haze")
    tell = {day for day, one in scenes.items() if measure(one, inside).land}
    assert refused(1000).keys() == tell
    assert refused(-1000).keys() >= tell - hazy


@pytest.mark.real_data
@pytest.mark.parametrize("site", ["romania_s2l2a_west", "belgium_hesbaye_monthly"])
def test_of_measured_dates_twice_the_scale_is_refused_on_all(real_data, site):
    shows = {}
    for day, one in measured_scenes(real_data / "satellite" / site):
        one.layers[:4] = np.minimum(one.layers[:4], 32767) * 2
        shows[day] = measure(one, np.ones(one.layers.shape[1:], bool))
    assert {day: test for day, (test, _) in series_faults(shows).items()} == {
        day: "scale" for day, shown in shows.items() if shown.blue is not None
    }


@pytest.mark.real_data
@pytest.mark.parametrize("site", ["romania_s2l2a_west", "belgium_hesbaye_monthly", "slovenia_s2l1c"])
def test_of_measured_series_each_wrong_order_of_blue_green_and_red_is_refused(real_data, site):
    """Green and red in most windows of five dates; at the top of the atmosphere (Slovenia) blue is not told apart."""
    at_top = site == "slovenia_s2l1c"
    scenes = dict(measured_scenes(real_data / "satellite" / site))
    inside = np.ones(next(iter(scenes.values())).layers.shape[1:], bool)

    def faults(*order):
        shows = [
            (day, measure(Scene(SENTINEL2, BANDS, one.layers[[*order, 3, 4]]), inside)) for day, one in scenes.items()
        ]
        count = max(1, len(shows) - 4)
        return [order_fault(dict(shows[first : first + 5])) for first in range(count)], order_fault(dict(shows))

    windows, whole = faults(0, 1, 2)
    assert whole is None
    assert not any(windows)
    for order in ((0, 2, 1), *[(2, 0, 1)] * (not at_top)):
        windows, whole = faults(*order)
        assert "green and red (or blue) are interchanged" in whole
        assert sum(map(bool, windows)) >= 0.8 * len(windows)
    for order, words in (((2, 1, 0), "blue and red are interchanged"), ((1, 2, 0), "blue, green and red are")):
        assert (words in (faults(*order)[1] or "")) == (not at_top)
