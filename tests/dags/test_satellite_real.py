"""The satellite pipeline on measured imagery, served as a folder: what is there comes out, whatever is decided.

Models are trained for two epochs, so nothing here says how good they are (docs/guides/real-imagery.md does): only that
each figure, gate and reason is what the imagery and the models give.
"""

import csv
import json
from collections import defaultdict
from contextlib import contextmanager
from datetime import date

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_geom

from include.core.errors import ContractError
from include.core.settings import get_settings
from include.satellite.artifacts import CNN, IMAGERY, LSTM, SEARCH, VALIDATED
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.sequences import load_sequences
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from include.satellite.imagery.download import collect, download
from include.satellite.imagery.schemas import ValidationReport
from include.satellite.imagery.search import search
from include.satellite.imagery.validation import validate
from include.satellite.params import ImageryStepParams, ValidateParams
from include.satellite.training.networks import load_bundle, predict_patches, predict_sequences
from tests.airflow_runs import run_dag

pytestmark = [pytest.mark.airflow, pytest.mark.real_data, pytest.mark.e2e, pytest.mark.timeout(600)]

QUICK = {
    "patch_size": 16,
    "stride": 4,
    "samples_per_class": 100,
    "location_size": 6,
    "sequence_length": 2,
    "cnn_epochs": 2,
    "lstm_epochs": 2,
    "min_cnn_accuracy": 0,
}
"""The same for the sites where labels are the same, so that they share one synthetic baseline."""
ROMANIA = {"end": "2019-01-01T00:00:00Z", "days_back": 365, "target_count": 20, "min_dates": 16}
"""2018, the year with most usable dates."""
BELGIUM = {"end": "2021-11-01T00:00:00Z", "days_back": 365, "target_count": 12, "min_dates": 10}
SLOVENIA = {"end": "2015-10-01T00:00:00Z", "days_back": 120, "target_count": 5, "min_dates": 3}
"""The five dates with all bands."""
CLOUDY = [date(2015, 7, 31), date(2015, 8, 20)]
THRESHOLDS = (0.7, 0.5, 0.3)
ENV = "# ours\nUSE_AI_MODELS=false\n"


class Site:
    """One folder of scenes and what its index says of them."""

    def __init__(self, folder):
        self.folder = folder
        with (folder / "index.csv").open(newline="") as file:
            self.index = {date.fromisoformat(row["date"]): row for row in csv.DictReader(file) if row["file"]}

    def footprint(self):
        """The very pixels of its scenes, as an area."""
        with rasterio.open(self.folder / next(iter(self.index.values()))["file"]) as scene:
            left, bottom, right, top = scene.bounds
            ring = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
            return transform_geom(scene.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})

    def ndvi(self, day):
        """Median NDVI of its clear pixels, from the published files."""
        row = self.index[day]
        with rasterio.open(self.folder / row["file"]) as scene:
            bands = [scene.descriptions.index(name) + 1 for name in ("B04", "B08")]
            red, nir = scene.read(bands).astype(float)
            clear = red != scene.nodata
        if row.get("scl"):
            with rasterio.open(self.folder / row["scl"]) as classes:
                clear &= np.isin(classes.read(1), (4, 5, 6, 7))
        return float(np.median(((nir - red) / (nir + red))[clear]))


@contextmanager
def place_for(tmp_path_factory, site, served=None):
    """A data folder and an env file of one's own, and the site's stand-in."""
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch, stand_in("--scenes", str(served or site.folder)) as url:
        patch.setenv("GROUNDTRUTH_DATA_DIR", str(folder / "data"))
        patch.setenv("GROUNDTRUTH_ENV_FILE", str(folder / "app.env"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv(URL_VARIABLE, url)
        (folder / "app.env").write_text(ENV)
        get_settings.cache_clear()
        yield folder
    get_settings.cache_clear()


class Ran:
    """A run of the pipeline over a site, with its documents."""

    def __init__(self, site, outcome, env):
        self.site, self.outcome, self.env = site, outcome, env
        self.files = outcome.folder.files

    def document(self, name):
        return json.loads((self.files / name).read_bytes())

    def dates(self):
        return [date.fromisoformat(each["date"]) for each in self.document("validated.json")["acquisitions"]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What outlives a run: imagery, and the synthetic baselines, which the first run with their parameters makes."""
    folder = tmp_path_factory.mktemp("shared")
    for name in ("imagery", "models/baselines"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def run(real_data, tmp_path_factory, shared):
    """Run the pipeline over a site's whole area."""

    def run(name, window, **changes):
        site = Site(real_data / "satellite" / name)
        with place_for(tmp_path_factory, site) as folder:
            (folder / "data" / "models").mkdir(parents=True)
            for kept in ("imagery", "models/baselines"):
                (folder / "data" / kept).symlink_to(shared / kept)
            outcome = run_dag("satellite_pipeline", QUICK | window | {"geojson": site.footprint()} | changes)
            return Ran(site, outcome, (folder / "app.env").read_text())

    return run


@pytest.fixture(scope="module")
def romania(run):
    """A year of hills with forest and pasture; labels by the rule."""
    return run("romania_s2l2a_west", ROMANIA)


@pytest.fixture(scope="module")
def romania_next(run):
    """The same; labels are the class at the next usable date."""
    return run("romania_s2l2a_west", ROMANIA, label_source="next_ndvi", sequence_length=8)


@pytest.fixture(scope="module")
def belgium(run):
    """A year of monthly composites over arable land; labels by the rule."""
    return run("belgium_hesbaye_monthly", BELGIUM)


@pytest.fixture(params=["romania", "romania_next", "belgium"])
def ran(request):
    """Each of the runs."""
    return request.getfixturevalue(request.param)


def test_the_run_is_green_and_nothing_is_marked_as_simulated(ran):
    assert ran.outcome.state == "success", ran.outcome.report["failure_point"]
    assert {step["status"] for step in ran.outcome.report["steps"]} == {"success"}
    for name in ("imagery.json", "validated.json", "validation_report.json", "cnn_dataset.json", "lstm_dataset.json"):
        assert ran.document(name)["synthetic"] is False, name
    for each in ran.document("validated.json")["acquisitions"]:
        with rasterio.open(ran.outcome.folder.path.parents[2] / "imagery" / each["file"]) as scene:
            assert scene.tags()["SYNTHETIC"] == "NO"
    assert all(ran.document(f"{kind}_model.json")["data"]["synthetic"] is False for kind in ("cnn", "lstm"))
    assert ran.document("comparison.json")["synthetic"] is False
    assert not [each for each in ran.outcome.report["findings"] if "simulated" in each["message"]]


def test_romania_gives_every_date_that_its_index_calls_usable_with_its_cloud(romania):
    index = romania.site.index
    usable = [
        day
        for day, row in index.items()
        if day.year == 2018 and float(row["cloud_pct"]) <= 20 and float(row["clear_pct"]) >= 70
    ]
    assert romania.dates() == usable
    for each in romania.document("validated.json")["acquisitions"]:
        row = index[date.fromisoformat(each["date"])]
        assert each["cloud"] == pytest.approx(float(row["cloud_pct"]), abs=1.5)
        assert each["clear"] == pytest.approx(float(row["clear_pct"]), abs=1.5)


def test_belgium_gives_its_ten_months_with_data_and_the_report_says_what_is_not_known(belgium):
    assert belgium.dates() == [day for day, row in belgium.site.index.items() if float(row["nodata_pct"]) < 100]
    report = belgium.document("validation_report.json")
    assert [month for month, dates in report["coverage_by_month"].items() if not dates] == ["2020-12", "2021-01"]
    said = [each["message"] for each in belgium.outcome.report["findings"]]
    assert any("cloud unknown on 10 of 10 dates" in each for each in said)


@pytest.mark.parametrize(("site", "greenest", "barest"), [("romania", {5, 6, 7, 8}, {4}), ("belgium", {5, 6}, {2, 10})])
def test_ndvi_by_month_is_that_of_the_published_files(site, greenest, barest, request):
    ran = request.getfixturevalue(site)
    report = ValidationReport.model_validate(ran.document("validation_report.json"))
    found, there = defaultdict(list), defaultdict(list)
    for each in report.dates:
        found[each.date.month].append(next(index.median for index in each.indices if index.name == "ndvi"))
        there[each.date.month].append(ran.site.ndvi(each.date))
    medians = {month: np.mean(values) for month, values in found.items()}
    assert medians == pytest.approx({month: np.mean(values) for month, values in there.items()}, abs=0.01)
    assert max(medians, key=medians.__getitem__) in greenest
    assert min(medians, key=medians.__getitem__) in barest


def classes_at(dataset, rows, later=0):
    """Class of patches by their mean NDVI over vegetation and soil, computed pixel by pixel; some dates later."""
    size, found = dataset.info.patch_size, []
    for day, row, col in zip(dataset.date[rows] + later, dataset.row[rows], dataset.col[rows], strict=True):
        window = day, slice(row, row + size), slice(col, col + size)
        red, nir = dataset.cube[window][np.isin(dataset.scl[window], (4, 5))].astype(float)[:, 2:4].T
        found.append(sum(((nir - red) / (nir + red)).mean() <= threshold for threshold in THRESHOLDS))
    return np.array(found)


def test_the_labels_are_what_the_imagery_shows(ran):
    dataset = load_patches(ran.files)
    rows = np.concatenate([dataset.rows("validation"), dataset.rows("train")[:300]])
    later = int(dataset.info.label_source == "next_ndvi")
    assert np.array_equal(dataset.label[rows], classes_at(dataset, rows, later))


def recomputed_classes(ran, dataset, rows):
    """The classes that models and naive rules give, without the code of the comparison."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = dataset.rows("train")
    drawn = np.repeat(train, dataset.repeat[train])
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    regression.fit(dataset.band_means(drawn), dataset.label[drawn])
    bundle = load_bundle(ran.files, CNN)
    found = {
        "real": predict_patches(bundle, dataset, rows).argmax(axis=1),
        "majority": np.full(len(rows), np.bincount(dataset.label[train]).argmax()),
        "logistic_regression": regression.predict(dataset.band_means(rows)),
    }
    if dataset.info.label_source == "next_ndvi":
        found["ndvi_rule"] = classes_at(dataset, rows)
    return found


def test_the_comparisons_figures_can_be_computed_again(ran):
    from sklearn.metrics import recall_score

    comparison, patches, sequences = ran.document("comparison.json"), load_patches(ran.files), load_sequences(ran.files)
    gated = [patches.info.classes.index(name) for name in patches.info.gate_classes]
    rows = np.array([row for row in patches.rows("validation") if patches.label[row] in gated])
    said = comparison["cnn_comparison"]
    assert said["samples"] == len(rows) >= 30
    for name, classes in recomputed_classes(ran, patches, rows).items():
        assert said["models"][name]["accuracy"] == pytest.approx((classes == patches.label[rows]).mean()), name
        present = np.unique(patches.label[rows])
        balanced = recall_score(patches.label[rows], classes, labels=present, average="macro")
        assert said["models"][name]["balanced_accuracy"] == pytest.approx(balanced), name
    late = sequences.rows("validation")
    bundle = load_bundle(ran.files, LSTM)
    forecasts = {
        "real": predict_sequences(bundle, sequences, late),
        "persistence": sequences.x[late, -1, 0],
        "training_mean": sequences.y[sequences.rows("train")].mean(),
    }
    for name, forecast in forecasts.items():
        mae = np.abs(forecast - sequences.y[late]).mean()
        assert comparison["lstm_comparison"]["models"][name]["mae"] == pytest.approx(mae, rel=1e-4), name


def test_the_reasons_of_the_decision_are_true(ran):
    comparison = ran.document("comparison.json")
    cnn, lstm = comparison["cnn_comparison"], comparison["lstm_comparison"]
    gates = {gate["name"]: gate for gate in comparison["decision"]["gates"]}
    following = comparison["next_comparison"]
    asked = comparison["label_source"] == "next_ndvi"
    assert (following is not None) is asked
    naive = {"majority", "logistic_regression", "ndvi_rule"} if asked else set()
    seasonal = {"anomaly_persistence"} & set(lstm["models"])
    forecasts = {"synthetic", "persistence", "climatology", "training_mean"}
    reported = {"ridge", "gradient_boosting"} | seasonal
    classes = {"persistence", "climatology", "majority"} if asked else set()
    beside = {"synthetic", "gradient_boosting"} | seasonal if asked else set()
    wanted = {"synthetic", "cnn_minimum", "cnn_synthetic", *(f"cnn_{name}" for name in naive)}
    wanted |= {"cnn_labels"} if asked else set()
    wanted |= {"lstm_minimum", *(f"lstm_{name}" for name in forecasts | reported)}
    assert set(gates) == wanted | {f"next_{name}" for name in classes | beside}
    assert gates["synthetic"]["sentence"] == "The imagery is real."
    assert gates["lstm_minimum"]["passed"] == (1 - lstm["models"]["real"]["mae"] / 2 >= 0.8)
    not_asked = {f"lstm_{name}" for name in reported} | {f"next_{name}" for name in beside}
    not_asked |= {name for name in gates if asked and name.startswith("cnn_") and name != "cnn_labels"}
    assert {name for name, gate in gates.items() if not gate["required"]} == not_asked

    def check(gate, models, metric, rival):
        gain = models["real"][metric] - models[rival][metric]
        gain = -gain if metric == "mae" else gain
        assert f"{gain:+.3f}" in gate["sentence"]
        assert gate["passed"] == (gain > 0 and gate["value"] is not None and gate["value"] > 0)
        assert (": better" in gate["sentence"] and "but not by" not in gate["sentence"]) == gate["passed"]

    check(gates["cnn_synthetic"], cnn["models"], "accuracy", "synthetic")
    for name in naive:
        check(gates[f"cnn_{name}"], cnn["models"], "balanced_accuracy", name)
    for name in forecasts | reported:
        check(gates[f"lstm_{name}"], lstm["models"], "mae", name)
    for name in classes | beside:
        check(gates[f"next_{name}"], following["models"], "balanced_accuracy", name)
    for part in (cnn, lstm, following):
        if part is not None and (part["blocks"] < 3 or part["spells"] < 6):
            assert all(difference["low"] is None for difference in part["differences"])
    refused = {name: gate["sentence"] for name, gate in gates.items() if gate["required"] and not gate["passed"]}
    own = {"cnn": ("synthetic", "cnn_"), "lstm": ("synthetic", "lstm_", "next_")}
    promoted = [kind for kind, names in own.items() if not any(name.startswith(names) for name in refused)]
    assert comparison["decision"]["promoted"] == promoted
    assert comparison["decision"]["promote"] is bool(promoted)
    assert ran.document("configuration.json")["promoted"] is bool(promoted)
    assert (ran.env == ENV) is not bool(promoted)
    if not promoted:
        assert comparison["decision"]["reasons"] == list(refused.values())
    messages = [finding["message"] for finding in ran.outcome.report["findings"]]
    assert {f"Not promoted, gate {name}: {sentence}" for name, sentence in refused.items()} <= set(messages)


def test_a_kilometre_and_two_epochs_cannot_be_judged_or_are_refused(romania_next):
    comparison = romania_next.document("comparison.json")
    assert comparison["decision"]["promote"] is False
    assert "cnn_labels" in {gate["name"] for gate in comparison["decision"]["gates"]}
    assert romania_next.env == ENV


def without_cloud(site, folder):
    """The same folder; its index does not know how cloudy the dates are."""
    document = json.loads((site.folder / "index.json").read_bytes())
    for item in document["items"]:
        item.pop("cloud_pct", None)
    (folder / "index.json").write_text(json.dumps(document))
    for name in ("scenes", "stack"):
        (folder / name).symlink_to(site.folder / name)
    return folder


def test_slovenias_cloudy_dates_are_caught_by_look_and_validation_though_no_catalog_tells(
    real_data, tmp_path_factory, tmp_path
):
    site = Site(real_data / "satellite" / "slovenia_s2l1c")
    given = SLOVENIA | {"geojson": site.footprint()}
    looked, files = tmp_path / "looked", tmp_path / "files"
    looked.mkdir()
    files.mkdir()
    with place_for(tmp_path_factory, site, without_cloud(site, tmp_path)):
        search(looked, ImageryStepParams(**given))
        judged = {each.date: each for each in SEARCH.read(looked).candidates}
        assert [day for day, each in judged.items() if not each.usable] == CLOUDY
        assert all("cloud over" in judged[day].reason and judged[day].tile_cloud is None for day in CLOUDY)
        # let through to the validation by limits that allow anything
        anything = ImageryStepParams(**given | {"max_cloud_cover": 100, "min_clear": 0})
        search(files, anything)
        for index in range(len(SEARCH.read(files).chosen)):
            download(files, anything, index)
        collect(files, anything)
        assert len(IMAGERY.read(files).acquisitions) == 5
        validate(files, ValidateParams(target_count=5, min_dates=3))
        validated = VALIDATED.read(files)
        with pytest.raises(ContractError, match="at least 4 usable dates") as refused:
            validate(files, ValidateParams(target_count=5, min_dates=4))
    assert [each.date for each in validated.unusable] == CLOUDY
    for each in validated.unusable:
        assert each.cloud == pytest.approx(float(site.index[each.date]["cloud_pct"]), abs=0.5)
        assert each.reason.startswith("visibility: cloud over")
    assert all(str(day) in str(refused.value) for day in CLOUDY)
    assert [each.cloud for each in validated.acquisitions] == [0, 0, 0]
    assert not validated.synthetic
