"""The wiring of the satellite pipeline that safety depends on, without running anything."""

import pytest

from tests.airflow_runs import parse_dags  # isort: skip - sets Airflow's home first

from airflow.sdk import CronDataIntervalTimetable

pytestmark = pytest.mark.airflow

EIGHT_STEPS = [
    ("download", "Download real satellite data"),
    ("validate", "Validate data quality"),
    ("prepare_cnn", "Prepare CNN training data"),
    ("prepare_lstm", "Prepare LSTM training data"),
    ("train_cnn", "Train CNN"),
    ("train_lstm", "Train LSTM"),
    ("compare", "Compare models"),
    ("configure", "Update configuration"),
]


@pytest.fixture(scope="module")
def dags():
    bag = parse_dags()
    assert bag.import_errors == {}
    return bag.dags


@pytest.fixture
def dag(dags):
    return dags["satellite_pipeline"]


def test_people_see_the_eight_steps(dag):
    from include.satellite.pipeline import SATELLITE

    assert [(info.id, info.title) for info in SATELLITE.plan] == EIGHT_STEPS
    assert {name for name, _ in EIGHT_STEPS} <= set(dag.task_ids)


def test_the_branches_run_side_by_side_and_nothing_goes_around_a_gate(dag):
    order = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
    assert order == {
        "prepare": ["search"],
        "search": ["download"],
        "download": ["collect"],
        "collect": ["validate"],
        "validate": ["prepare_cnn", "prepare_lstm"],
        "prepare_cnn": ["train_cnn"],
        "prepare_lstm": ["train_lstm"],
        "train_cnn": ["compare"],
        "train_lstm": ["compare"],
        "compare": ["verify"],
        "verify": ["approve"],
        "approve": ["configure"],
        "configure": ["publish"],
        "publish": ["report"],
        "report": [],
    }
    assert {task.trigger_rule for task in dag.tasks if task.task_id != "report"} == {"all_success"}
    report = dag.get_task("report")
    assert report.is_teardown
    assert report.on_failure_fail_dagrun


def test_downloads_are_mapped_in_the_pool_and_show_their_date(dag):
    download = dag.get_task("download")
    assert type(download).__name__ == "MappedOperator"
    assert download.partial_kwargs["map_index_template"] == "{{ task.instance_name }}"
    assert {dag.get_task(name).pool for name in ("search", "download", "collect")} == {"sentinel_hub"}


def test_a_month_is_run_once_without_catching_up(dag):
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "0 0 1 * *"
    assert dag.catchup is False
    assert {"satellite", "groundtruth"} <= set(dag.tags)
    assert "label_source" in dag.params
    assert "docs/guides/satellite.md" in dag.doc_md


def test_the_trigger_form_has_sections_and_the_documented_defaults(dag):
    sections = {}
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        sections.setdefault(param.schema["section"], []).append(name)
        param.resolve()
    assert list(sections) == ["Area", "Window", "Imagery", "Run", "Training data", "Promotion", "Training"]
    documented = {
        "bbox": [75.8, 30.9, 75.9, 31.0], "days_back": 365, "target_count": 20, "min_dates": 15,
        "max_cloud_cover": 20, "resolution": 10, "skip_download": False, "skip_validation": False,
        "samples_per_class": 2000, "patch_size": 64, "stride": 32, "sequence_length": 10, "locations_per_window": 100,
        "cnn_epochs": 50, "cnn_patience": 10, "lstm_epochs": 100, "lstm_patience": 15, "cnn_learning_rate": 1e-3,
        "lstm_learning_rate": 1e-3, "min_cnn_accuracy": 0.85, "min_lstm_accuracy": 0.80, "label_source": "ndvi_rule",
        "seed": 0, "require_approval": False, "allow_synthetic": False,
    }  # fmt: skip
    assert {name: dag.params[name] for name in documented} == documented


def test_the_form_of_an_area_sends_numbers(dag):
    area = dag.params.get_param("bbox")
    assert area.schema["items"] == {"type": "number"}, "Airflow's form makes text of a list that does not say this"
    assert area.resolve([75.82, 30.92, 75.845, 30.942]) == [75.82, 30.92, 75.845, 30.942]


def test_imagery_and_models_are_assets(dag):
    outlets = {task.task_id: [outlet.name for outlet in task.outlets] for task in dag.tasks if task.outlets}
    assert outlets == {"validate": ["satellite_imagery"], "configure": ["crop_health_model_promoted"]}


def test_a_forecast_runs_after_new_observations_or_a_promotion_and_reads_before_it_fetches(dags):
    dag = dags["ndvi_forecast_map"]
    order = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
    assert order == {
        "prepare": ["read_fields"],
        "read_fields": ["preview_fields"],
        "preview_fields": ["forecast_fields"],
        "forecast_fields": ["publish"],
        "publish": ["report"],
        "report": [],
    }
    assert {asset.name for asset in dag.timetable.asset_condition.objects} == {
        "fields",
        "crop_health_model",
    }
    assert [outlet.name for outlet in dag.get_task("publish").outlets] == ["ndvi_forecast_map"]
    assert dag.get_task("preview_fields").pool == "sentinel_hub"


def test_every_task_keeps_an_attempt_for_a_worker_that_dies(dag):
    assert all(task.retries >= 1 for task in dag.tasks)
