"""Measured Sentinel-2 imagery, served by the stand-in as a folder: what is really there must come out."""

import csv
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, date, datetime

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_geom

from include.satellite.artifacts import IMAGERY, SEARCH, VALIDATED, VALIDATION_REPORT
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from include.satellite.imagery.validation import ValidateMetrics, validate, validate_outcome
from include.satellite.params import ValidateParams

pytestmark = pytest.mark.real_data


class Site:
    """One folder of scenes and what its index says of them."""

    def __init__(self, folder):
        self.folder = folder
        with (folder / "index.csv").open(newline="") as file:
            self.index = list(csv.DictReader(file))

    def row(self, day):
        return next(row for row in self.index if row["date"] == day.isoformat() and row["file"])

    def footprint(self):
        """The very pixels of its scenes, as an area."""
        with rasterio.open(self.folder / self.index[0]["file"]) as scene:
            left, bottom, right, top = scene.bounds
            ring = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
            return transform_geom(scene.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})


@pytest.fixture
def serve(real_data, monkeypatch):
    """Serve one site's folder."""

    @contextmanager
    def serve(name):
        site = Site(real_data / "satellite" / name)
        with stand_in("--scenes", str(site.folder)) as url:
            monkeypatch.setenv(URL_VARIABLE, url)
            yield site

    return serve


def validated(run, **params):
    validate(run.files, ValidateParams(min_dates=run.params.min_dates, **params))
    return VALIDATED.read(run.files)


def test_romania_gives_the_clear_dates_of_two_years(serve, make_run):
    with serve("romania_s2l2a_west") as site:
        window = {"end": datetime(2021, 1, 1, tzinfo=UTC), "days_back": 731}
        run = make_run(geojson=site.footprint(), target_count=20, min_dates=15, **window)
        imagery = run.go()
        plan = SEARCH.read(run.files)
    named = [row for row in site.index if "2019" <= row["date"] < "2021" and float(row["cloud_pct"]) <= 90]
    assert {each.date.isoformat() for each in plan.candidates} == {row["date"] for row in named}
    # every date that its index calls clearly usable, or clearly not, is judged so from the preview at 60 m
    for each in plan.candidates:
        row = site.row(each.date)
        cloud, clear = float(row["cloud_pct"]), float(row["clear_pct"])
        assert each.cloud == pytest.approx(cloud, abs=8)
        if abs(cloud - 20) > 8 and abs(clear - 70) > 8:
            assert each.usable == (cloud <= 20 and clear >= 70), each
    assert len(imagery.acquisitions) == 20
    for each in imagery.acquisitions:
        row = site.row(each.date)
        assert each.cloud == pytest.approx(float(row["cloud_pct"]), abs=1.5)
        assert each.clear == pytest.approx(float(row["clear_pct"]), abs=1.5)
        assert each.nodata < 1
    assert not imagery.synthetic
    gaps = np.diff([each.date.toordinal() for each in imagery.acquisitions])
    assert max(gaps) <= 190  # between the autumn's last and the spring's first clear date


def clear_ndvi(site, day):
    """NDVI of the clear pixels as the published files hold them."""
    row = site.row(day)
    with rasterio.open(site.folder / row["file"]) as scene, rasterio.open(site.folder / row["scl"]) as classes:
        red, nir = scene.read([3, 4]).astype(float)
        clear = np.isin(classes.read(1), (4, 5, 6, 7)) & (red > 0)
    return ((nir - red) / (nir + red))[clear]


def test_romanias_ndvi_is_that_of_its_files_and_highest_in_summer(serve, make_run):
    with serve("romania_s2l2a_west") as site:
        window = {"end": datetime(2021, 1, 1, tzinfo=UTC), "days_back": 366}
        run = make_run(geojson=site.footprint(), target_count=15, min_dates=10, min_clear=80, **window)
        run.go()
    imagery = validated(run, min_clear=80, target_count=15)
    report = VALIDATION_REPORT.read(run.files)
    by_month = defaultdict(list)
    for each in report.dates:
        ndvi, truth = next(index for index in each.indices if index.name == "ndvi"), clear_ndvi(site, each.date)
        assert ndvi.mean == pytest.approx(truth.mean(), abs=0.01)
        assert ndvi.median == pytest.approx(np.median(truth), abs=0.01)
        by_month[each.date.month].append(ndvi.median)
    hazy = [each for each in report.dates if not each.accepted]
    assert [each.date for each in hazy] == [date(2020, 9, 3)]
    assert hazy[0].reason.startswith("haze: clear land reflects 0.13")
    assert len(imagery.acquisitions) == len(report.dates) - 1 >= 10
    medians = {month: np.mean(values) for month, values in by_month.items()}
    assert max(medians, key=medians.__getitem__) in {6, 7, 8}
    assert medians[3] < 0.6 < medians[5]


def test_slovenias_cloudy_dates_are_caught_wherever_they_get_to(serve, make_run):
    cloudy = {date(2015, 7, 31), date(2015, 8, 20)}
    with serve("slovenia_s2l1c") as site:
        window = {"end": datetime(2015, 10, 1, tzinfo=UTC), "days_back": 120, "target_count": 5, "min_dates": 3}
        run = make_run(geojson=site.footprint(), **window)
        plan = run.search()
        assert [each.date for each in plan.candidates] == [date(2015, 7, 11), date(2015, 8, 30), date(2015, 9, 9)]
        # handed to the download all the same, as if the catalog had not known their cloud
        hidden = [
            plan.candidates[0].model_copy(
                update={"date": day, "datetime": datetime(day.year, day.month, day.day, 10, tzinfo=UTC)}
            )
            for day in sorted(cloudy)
        ]
        plan = plan.model_copy(
            update={"candidates": [*plan.candidates, *hidden], "chosen": sorted({*plan.chosen, *cloudy})}
        )
        SEARCH.write(run.files, plan)
        run.download()
        imagery = run.collect()
    assert {each.date for each in imagery.unusable} == cloudy
    assert all(each.cloud > 99 and "cloud over" in each.reason for each in imagery.unusable)
    # and to the validation, as if the download had not looked
    everything = imagery.model_copy(
        update={
            "acquisitions": sorted(
                [*imagery.acquisitions, *(each.model_copy(update={"usable": True}) for each in imagery.unusable)],
                key=lambda each: each.date,
            ),
            "unusable": [],
        }
    )
    IMAGERY.write(run.files, everything)
    found = validated(run, target_count=5)
    assert {each.date for each in found.unusable} == cloudy
    assert all(each.reason.startswith("visibility: cloud over") for each in found.unusable)


def test_belgium_gives_its_ten_months_with_data_and_says_that_cloud_is_unknown(serve, make_run):
    with serve("belgium_hesbaye_monthly") as site:
        window = {"end": datetime(2021, 11, 1, tzinfo=UTC), "days_back": 365}
        run = make_run(geojson=site.footprint(), target_count=12, min_dates=10, **window)
        imagery = run.go()
    empty = {date(2020, 12, 1), date(2021, 1, 1)}
    plan = SEARCH.read(run.files)
    assert {each.date for each in plan.candidates if each.reason == "no data over the area"} == empty
    assert len(imagery.acquisitions) == 10
    assert all(each.nodata == 0 for each in imagery.acquisitions)
    assert all(each.tile_cloud is None for each in imagery.acquisitions)
    validated(run, target_count=12)
    outcome = validate_outcome(run.files)
    assert outcome.metrics_as(ValidateMetrics).months_without_date == 2
    assert any("cloud unknown on 10 of 10 dates" in finding.message for finding in outcome.findings)
