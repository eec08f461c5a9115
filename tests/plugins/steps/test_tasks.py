"""The tasks around the steps: preparing a run with its parameters and window, and publishing its results."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset
from pydantic import Field

from include.core.contracts import StepParams
from include.core.errors import BadInputError, ContractError
from include.core.exchange import Producer
from include.core.publications import read_publication
from include.core.run_folder import RunFolder
from include.core.runner import run_step
from include.core.settings import get_settings
from plugins.steps.context import RETRIES
from plugins.steps.tasks import PrepareOperator, PublishOperator
from tests.core.handed import accepted
from tests.core.small_pipeline import ATTEMPT, MEASURE, READINGS, pipeline, plan, spec, tamper, writing

pytestmark = pytest.mark.airflow
SMALL = pipeline(spec("measure"))
RUN_ID = "manual__2026-01-01T00:00:00+00:00"
DAY = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


def context(task_id, *, params=None, conf=None, interval=DAY, events=(), run_type="manual"):
    """What Airflow passes to a task in its second try, after one clear."""
    task = SimpleNamespace(
        task_id=task_id,
        try_number=2,
        max_tries=RETRIES + 1,
        task=SimpleNamespace(retries=RETRIES),
        log_url="http://x/log",
    )
    start, end = interval
    run = SimpleNamespace(
        dag_id="test_pipeline", run_id=RUN_ID, conf=conf, data_interval_start=start, data_interval_end=end,
        run_after=datetime(2026, 1, 5, 7, 30, tzinfo=UTC), run_type=run_type,
    )  # fmt: skip
    return {
        "ti": task,
        "dag_run": run,
        "params": params or {},
        "outlet_events": {},
        "triggering_asset_events": {"imagery": events},
    }


@pytest.fixture
def run(data_dir):
    """The folder of the run."""
    return RunFolder.of(data_dir, "test_pipeline", RUN_ID)


def prepare(of, **details):
    return PrepareOperator(task_id="prepare", pipeline=of).execute(context("prepare", **details))


def test_a_run_is_planned_with_the_parameters_of_its_form_and_of_its_conf(run):
    path = prepare(pipeline(), params={"factor": 3.0, "another": 1}, conf={"factor": 4.0})
    assert path == str(run.path)
    plan = run.run()
    assert (plan.run_id, plan.params["factor"], plan.runtime) == (RUN_ID, 4.0, "local")
    assert (plan.interval_start, plan.interval_end) == DAY
    record = run.result("prepare")
    assert (record.status, record.attempt, record.generation, record.log_url) == ("success", 2, 1, "http://x/log")
    assert (record.title, record.description) == ("Prepare the run", "Checks parameters, stages files.")


def test_a_parameter_that_does_not_exist_is_recorded_as_the_fault_of_preparing(run):
    with pytest.raises(BadInputError, match="factr: no such parameter"):
        prepare(pipeline(), conf={"factr": 1.0})
    assert run.result("prepare").error.kind == "bad_input"


def invented(params, stated):
    """What a run of a test would invent."""
    return None if "factor" in stated else "readings would be made"


def test_a_scheduled_run_never_works_on_invented_data_unless_its_schedule_asks_for_them(run):
    inventing = replace(pipeline(), invents=f"{__name__}:invented")
    with pytest.raises(
        BadInputError, match=r"schedule of test states no data: readings would be made \(.*schedules\.json"
    ):
        prepare(inventing, run_type="scheduled")
    assert run.result("prepare").error.kind == "bad_input"
    prepare(inventing)
    prepare(replace(inventing, defaults={"factor": 5.0}), run_type="scheduled")
    assert run.run().params["factor"] == 5.0


@pytest.mark.parametrize("interval", [(None, None), (DAY[0], DAY[0])])
def test_a_run_without_a_data_interval_covers_the_last_complete_day(run, interval):
    prepare(pipeline(), interval=interval)
    plan = run.run()
    assert plan.interval_start == datetime(2026, 1, 4, tzinfo=UTC)
    assert plan.interval_end == datetime(2026, 1, 5, tzinfo=UTC)


class MapParams(StepParams):
    """A step that takes one file."""

    imagery: str | None = Field(None, json_schema_extra={"file": True})


MAPS = replace(
    pipeline(spec("draw"), known=(replace(MEASURE, id="draw", params=MapParams),)),
    producers={"imagery": Producer("satellite_pipeline", "validate", "validated.json")},
)


def event(time, dag_id="satellite_pipeline", run_id="manual__1", **extra):
    return SimpleNamespace(timestamp=time, source_dag_id=dag_id, source_run_id=run_id, extra=extra)


def test_a_run_takes_the_file_of_the_run_that_triggered_it_as_airflow_names_that(run, data_dir, tmp_path):
    accepted(data_dir, "manual__1", b"one")
    accepted(data_dir, "manual__2", b"two")
    (tmp_path / "validated.json").write_bytes(b"forged")
    forged = [
        event(4, dag_id=None, run_id=None, files=str(tmp_path)),  # any user who may create events writes these
        event(3, dag_id="other_pipeline", files=str(tmp_path)),
    ]
    prepare(MAPS, events=[*forged, event(1, run_id="manual__2"), event(2, files=str(tmp_path))])
    assert run.run().params["imagery"] == "validated.json"
    assert (run.files / "source" / "validated.json").read_bytes() == b"one"


def test_a_run_without_a_trigger_takes_the_latest_file_or_that_of_the_run_that_is_named(run, data_dir):
    accepted(data_dir, "manual__1", b"one")
    accepted(data_dir, "manual__2", b"two", day=2)
    prepare(MAPS)
    assert (run.files / "source" / "validated.json").read_bytes() == b"two"
    prepare(MAPS, conf={"imagery": "run:manual__1"})
    assert (run.files / "source" / "validated.json").read_bytes() == b"one"


def test_a_file_of_the_user_s_own_needs_no_run_to_have_produced_one(run, data_dir):
    inbox = data_dir / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "mine.json").write_bytes(b"mine")
    prepare(MAPS, conf={"imagery": "mine.json"})
    assert (run.files / "source" / "mine.json").read_bytes() == b"mine"


@pytest.mark.parametrize("input_dirs", ["", "/"])
@pytest.mark.parametrize("name", ["imagery", "files"])
def test_no_parameter_names_a_file_of_a_run(run, data_dir, monkeypatch, name, input_dirs):
    """A user who may trigger one DAG could read the runs of all."""
    monkeypatch.setenv("GROUNDTRUTH_INPUT_DIRS", input_dirs)
    get_settings.cache_clear()
    path = str(accepted(data_dir, "manual__1", b"one"))
    (data_dir / "inbox").mkdir()
    (data_dir / "inbox" / "link.json").symlink_to(path)
    of = MAPS if name == "imagery" else pipeline(sources=("validated.json", "link.json"))
    dotted = f"{data_dir}/inbox/../{Path(path).relative_to(data_dir)}"
    for file in (path, dotted, f"{data_dir}/inbox/link.json"):
        with pytest.raises(BadInputError, match="lies among the runs, whose files are not input files"):
            prepare(of, conf={name: file if name == "imagery" else [file]})
    assert not list(run.files.rglob("*.json"))


def test_a_file_name_that_is_not_utf_8_is_refused_in_words(run):
    with pytest.raises(BadInputError, match="files: is not UTF-8 text"):
        prepare(pipeline(), conf={"files": ["bad\udcff.csv"]})
    assert run.result("prepare").error.kind == "bad_input"


def test_a_run_of_the_command_line_is_named_after_its_folder(data_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(tmp_path / "cli__1"))
    (tmp_path / "cli__1").mkdir()
    (tmp_path / "cli__1" / "airflow.log").touch()
    get_settings.cache_clear()
    assert prepare(pipeline()) == str(tmp_path / "cli__1")
    assert RunFolder(tmp_path / "cli__1").run().run_id == "cli__1"
    assert RunFolder(tmp_path / "cli__1").result("prepare").log_url == "airflow.log"


@pytest.mark.parametrize(
    ("run_type", "conf", "started_by"),
    [
        ("scheduled", None, "schedule"),
        ("backfill", {}, "backfill"),
        ("backfill", {"factor": 2.0}, "backfill"),
        ("backfill", {"factor": 3.0}, "user"),
        ("asset_triggered", None, "asset"),
        ("manual", None, "user"),
        ("operator_triggered", None, "user"),
    ],
)
def test_a_run_states_what_started_it_and_other_parameters_make_it_a_users(run, run_type, conf, started_by):
    prepare(pipeline(), conf=conf, run_type=run_type)
    assert run.run().started_by == started_by


@pytest.mark.parametrize(("params", "started_by"), [({}, "user"), ({"publish": True}, "asset")])
def test_what_a_users_run_triggers_is_the_users_too(run, data_dir, params, started_by):
    event = SimpleNamespace(timestamp=1, source_dag_id="test_pipeline", source_run_id="trial")
    plan(RunFolder.of(data_dir, "test_pipeline", "trial"), **params)
    prepare(pipeline(), run_type="asset_triggered", events=[event])
    assert run.run().started_by == started_by


def measure(run):
    """Prepare a run of one step, and run the step."""
    prepare(SMALL)
    run_step(MEASURE, run, ATTEMPT, writing(in_csv=READINGS))


def publish(of, asset=None):
    of_task = context("publish")
    of_task["outlet_events"] = {asset: SimpleNamespace(extra=None)} if asset else {}
    path = PublishOperator(task_id="publish", pipeline=of, asset=asset).execute(of_task)
    return path, of_task["outlet_events"]


def test_results_are_published_recorded_and_announced(run):
    measure(run)
    asset = Asset("test_results")
    path, events = publish(pipeline(spec("measure"), publish=("in.csv",)), asset)
    assert (Path(path) / "in.csv").read_bytes() == (run.files / "in.csv").read_bytes()
    assert events[asset].extra["path"] == path
    record = run.result("publish")
    assert (record.status, record.outcome.scalars()["published"]) == ("success", path)
    assert (record.title, record.description) == ("Publish", "Verifies every artifact, promotes the results.")


def test_the_manifest_links_the_report_where_airflow_has_an_address(run, monkeypatch):
    measure(run)
    of = pipeline(spec("measure"), publish=("in.csv",))
    path = Path(publish(of)[0])
    assert read_publication(path).report == f"runs/test_pipeline/{run.path.name}"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/a/")
    publish(of)
    page = "https://airflow.example.org/a/groundtruth/dags/test_pipeline/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert read_publication(path).report == page


def test_a_pipeline_that_publishes_nothing_still_verifies_its_artifacts(run):
    measure(run)
    assert publish(SMALL)[0] is None
    assert run.result("publish").outcome.scalars() == {}
    tamper(run, "in.csv", "changed")
    with pytest.raises(ContractError, match=r"in\.csv"):
        publish(SMALL)
    assert run.result("publish").status == "failed"
