"""The metrics for Prometheus are those of the last runs; rules and dashboard ask for nothing else."""

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from include.core.run_folder import RunFolder
from include.pipelines import all_pipelines
from include.reporting.metrics import HELP, exposition
from include.reporting.report import build_report, write_report
from tests.prerequisites import need
from tests.reporting.runs import NOW, broke, ended, good_run, plan

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
AIRFLOWS = {"airflow_pool_queued_slots", "airflow_pool_running_slots"}
PROMETHEUS = {"up", "ALERTS"}


def reported(folder: RunFolder) -> None:
    write_report(folder, build_report(folder, task_states={}, now=NOW))


def expressions() -> list[str]:
    """Every query of the rules and of the dashboard."""
    [group] = yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    dashboard = json.loads((MONITORING / "grafana/dashboards/groundtruth.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*(rule["expr"] for rule in group["rules"]), *targets]


@pytest.fixture
def text(tmp_path: Path) -> str:
    """Of a good run, and of one of another pipeline that failed."""
    good = good_run(tmp_path)
    states = dict.fromkeys(("prepare", "collect", "analyze", "describe", "publish"), "success")
    write_report(good, build_report(good, task_states=states, now=NOW))
    bad = RunFolder(tmp_path / "runs" / "crop_health_map" / "r1")
    plan(bad, dag_id="crop_health_map", run_id="r1")
    ended(bad, "collect", (0, 1))
    broke(bad, "analyze", (1, 2), "error", "no")
    reported(bad)
    waiting = RunFolder(tmp_path / "runs" / "energy_pipeline" / "r2")
    plan(waiting, run_id="r2")
    return exposition(tmp_path, all_pipelines()[0], NOW + timedelta(hours=1))


def value(text: str, metric: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(f"groundtruth_{metric} ")]
    return float(line.rpartition(" ")[2])


def test_last_runs_deadlines_and_the_disk_are_stated(text, tmp_path):
    assert value(text, 'run_last_failed{dag="energy_pipeline"}') == 0
    assert value(text, 'run_last_failed{dag="crop_health_map"}') == 1
    assert value(text, 'run_last_records_rejected{dag="energy_pipeline"}') == 15
    assert value(text, 'run_last_metric{dag="energy_pipeline",name="energy_kwh"}') == 203.456
    assert value(text, 'run_running_seconds{dag="energy_pipeline"}') == 70 * 60
    assert value(text, 'run_running_seconds{dag="crop_health_map"}') == 0
    assert value(text, 'run_deadline_seconds{dag="energy_pipeline"}') == 3600
    assert value(text, 'runs{dag="energy_pipeline",outcome="unfinished"}') == 1
    assert 'run_last_success_timestamp_seconds{dag="crop_health_map"}' not in text
    assert 0 < value(text, "disk_free_bytes") <= value(text, "disk_size_bytes") == shutil.disk_usage(tmp_path).total


def test_a_deployment_without_runs_states_its_disk(tmp_path):
    lines = exposition(tmp_path / "none", (), NOW).splitlines()
    assert [line.partition(" ")[0] for line in lines if line[0] != "#"] == [
        "groundtruth_disk_size_bytes",
        "groundtruth_disk_free_bytes",
    ]


def test_what_a_quota_limits_is_added_up_over_the_month(tmp_path):
    for name, minutes in (("r1", 0), ("r2", 5)):
        run = RunFolder(tmp_path / "runs" / "satellite_pipeline" / name)
        plan(run, dag_id="satellite_pipeline", run_id=name)
        ended(run, "collect", (minutes, minutes + 1), summary={"processing_units_spent": 1.5})
        reported(run)
    labels = 'spent_this_month{dag="satellite_pipeline",name="processing_units_spent"}'
    assert value(exposition(tmp_path, (), NOW), labels) == 3
    assert "spent_this_month" not in exposition(tmp_path, (), NOW + timedelta(days=40))


def test_rules_and_dashboard_ask_only_for_metrics_that_there_are():
    names = {name for text in expressions() for name in re.findall(r"\b(?:groundtruth_|airflow_)\w+", text)}
    assert {name for name in names if name.startswith("groundtruth_")} <= {f"groundtruth_{name}" for name in HELP}
    assert {name for name in names if name.startswith("airflow_")} == AIRFLOWS


@pytest.fixture
def promtool():
    path = shutil.which("promtool")
    need(path, "Prometheus", "Debian: apt install prometheus")

    def run(*arguments: object, text: str | None = None) -> str:
        command = [str(path), *map(str, arguments)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=MONITORING)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_rules_fire_when_they_should(promtool):
    assert "SUCCESS" in promtool("check", "rules", "rules.yml")
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_prometheus_reads_the_metrics_and_every_query(promtool, text, tmp_path):
    promtool("check", "metrics", text=text)
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(expressions())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
