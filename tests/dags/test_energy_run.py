"""The energy pipeline by `dag.test()`: what a run leaves for people, for other DAGs, and for the next run."""

import csv
import gzip
import json

import pytest

from tests.airflow_runs import run_dag

pytestmark = pytest.mark.airflow

DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
STEPS = ["energy-generator", "energy-analyzer", "report-generator"]
DOCUMENTED = {
    "pipeline_name",
    "start_time",
    "end_time",
    "total_duration_seconds",
    "overall_status",
    "summary_statistics",
    "steps",
}
DOCUMENTED_STEP = {
    "step_number",
    "name",
    "description",
    "script",
    "args",
    "status",
    "start_time",
    "end_time",
    "duration_seconds",
    "error_message",
    "output_summary",
}
KEY_FIGURES = {
    "records_in",
    "records_out",
    "records_rejected",
    "records_outside_window",
    "rejected_by_reason",
    "energy_kwh",
    "high_usage",
    "anomalies",
    "anomalies_by_reason",
}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def inbox(data_dir):
    folder = data_dir / "inbox"
    folder.mkdir(parents=True)
    return folder


def meter_file(day="2026-03-01", household="A", hours=24):
    lines = [f"{day}T{hour:02}:00:00Z,{household},{0.5 + hour / 10:.1f},230.0,4.0" for hour in range(hours)]
    return "\n".join(["timestamp,household_id,power_consumption,voltage,current", *lines, ""])


def test_a_days_run_reports_accounts_and_publishes(data_dir):
    outcome = run_dag("energy_pipeline", DAY)
    assert outcome.state == "success"
    report = outcome.report
    assert set(report) >= DOCUMENTED
    assert set(report["steps"][0]) >= DOCUMENTED_STEP
    assert report["summary_statistics"]["completed_steps"] == 3
    summary = report["steps"][1]["output_summary"]
    assert set(summary) >= KEY_FIGURES
    assert sum(summary["rejected_by_reason"].values()) == summary["records_rejected"] > 0
    files = outcome.folder.files
    assert len(rows(files / "energy_report.csv")) == summary["records_out"]
    assert len(rows(files / "rejected.csv")) == summary["records_rejected"]
    assert len(rows(files / "energy_data.csv")) == summary["records_in"]
    output1 = json.loads((files / "output1.json").read_text())
    assert {name: output1[name] for name in KEY_FIGURES} == {name: summary[name] for name in KEY_FIGURES}
    published = data_dir / "published/energy/manual/2026-03-01"
    assert (published / "energy_report.csv").read_bytes() == (files / "energy_report.csv").read_bytes()
    assert (published / "output2.json").exists()
    assert report["published"] == {"path": str(published), "key": "manual/2026-03-01"}


def test_the_asset_carries_the_key_figures():
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    outcome = run_dag("energy_pipeline", DAY | {"households": 3})
    with create_session() as session:
        event = session.scalars(select(AssetEvent).order_by(AssetEvent.id.desc())).first()
        extra = dict(event.extra)
    assert extra["energy_kwh"] == outcome.report["steps"][1]["output_summary"]["energy_kwh"]
    assert extra["path"].endswith("published/energy/manual/2026-03-01")


def test_the_same_interval_gives_the_same_bytes_whichever_day_is_run_first(data_dir):
    second, first = DAY, {"start": "2026-02-28T00:00:00Z", "end": "2026-03-01T00:00:00Z"}
    one = run_dag("energy_pipeline", second | {"households": 3})
    run_dag("energy_pipeline", first | {"households": 3})
    again = run_dag("energy_pipeline", second | {"households": 3})
    for name in ("energy_data.csv", "energy_report.csv", "output1.json", "output2.json"):
        assert (one.folder.files / name).read_bytes() == (again.folder.files / name).read_bytes(), name
    assert sorted(p.name for p in (data_dir / "published/energy/manual").iterdir()) == ["2026-02-28", "2026-03-01"]


def test_a_run_without_dates_takes_the_interval_that_airflow_gives_it(data_dir):
    outcome = run_dag("energy_pipeline", {"households": 2})
    interval = outcome.report["interval"]
    assert interval["start"].endswith("T00:00:00Z")
    assert interval["end"].endswith("T00:00:00Z")
    assert [path.name for path in (data_dir / "published/energy/manual").iterdir()] == [interval["start"][:10]]


def test_peoples_files_are_staged_counted_and_published_under_their_source(inbox, data_dir):
    (inbox / "meters.csv").write_text(meter_file())
    (inbox / "more.csv.gz").write_bytes(gzip.compress(meter_file(household="B").encode()))
    outcome = run_dag("energy_pipeline", {"csv": ["meters.csv", "more.csv.gz"]})
    assert outcome.state == "success"
    assert outcome.report["steps"][1]["output_summary"]["records_in"] == 48
    sources = {record["path"]: record for record in outcome.report["provenance"]["sources"]}
    assert set(sources) == {"source/meters.csv", "source/more.csv.gz"}
    assert all(len(record["sha256"]) == 64 for record in sources.values())
    published = [str(p.relative_to(data_dir)) for p in data_dir.glob("published/energy/manual/*/*/energy_report.csv")]
    assert published == ["published/energy/manual/meters+1-432e23ce/2026-03-01_2026-03-02/energy_report.csv"]


def test_rows_outside_the_window_are_a_third_count(inbox):
    (inbox / "meters.csv").write_text(meter_file())
    window = {"start": "2026-03-01T06:00:00Z", "end": "2026-03-01T12:00:00Z"}
    outcome = run_dag("energy_pipeline", {"csv": ["meters.csv"], **window})
    summary = outcome.report["steps"][1]["output_summary"]
    counts = [summary[name] for name in ("records_in", "records_out", "records_rejected", "records_outside_window")]
    assert counts == [24, 6, 0, 18]


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"housholds": 3}, "housholds: no such parameter; did you mean households?"),
        ({"csv": ["nowhere.csv"]}, "nowhere.csv: no such file"),
        ({"csv": ["/etc/passwd"]}, "/etc/passwd: lies outside the folders that runs may read"),
        ({"csv": ["../../etc/passwd"]}, "../../etc/passwd"),
        ({"start": "2026-03-01T00:00:00Z"}, "start and end go together"),
        ({"interval_minutes": 7}, "interval_minutes must divide a day"),
    ],
)
def test_what_cannot_be_run_is_refused_by_the_first_task_and_reported(conf, message, data_dir):
    outcome = run_dag("energy_pipeline", conf)
    assert outcome.state == "failed"
    assert message in outcome.error("prepare")
    assert outcome.report["failure_point"]["task"] == "prepare"
    assert message in outcome.report["failure_point"]["message"]
    assert [(step["id"], step["status"]) for step in outcome.report["steps"]] == [(step, "skipped") for step in STEPS]
    assert not (data_dir / "published").exists()


def test_an_interval_without_data_is_an_error_and_not_an_empty_report(inbox, data_dir):
    (inbox / "meters.csv").write_text(meter_file())
    window = {"start": "2025-03-01T00:00:00Z", "end": "2025-03-02T00:00:00Z"}
    outcome = run_dag("energy_pipeline", {"csv": ["meters.csv"], **window})
    assert outcome.state == "failed"
    failed = outcome.report["failure_point"]
    assert failed["kind"] == "bad_input"
    assert "2025-03-01" in failed["message"]
    assert not (data_dir / "published").exists()
    assert outcome.report["overall_status"] == "failed"
