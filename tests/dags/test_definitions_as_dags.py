"""A definition file is all that a pipeline needs: fan-out, fan-in, failures and reports, run by Airflow."""

import json

import pytest

from tests.airflow_runs import ROOT, run_dag  # isort: skip - sets Airflow's home first

from include.core.confinement import can_confine
from tests.prerequisites import need

pytestmark = pytest.mark.airflow


IMAGE = "python:3.11-slim-bookworm"


def container(name, command, reads=(), writes=(), **more):
    files = {"input_file": list(reads), "output_file": list(writes)}
    return {"id": name, "name": name, "image": IMAGE, "command": command, **files, **more}


NUMBERS = container("numbers", "printf 'n\\n1\\n2\\n3\\n' > $DATA_DIR/numbers.csv", writes=["numbers.csv"])


def test_the_example_of_the_docs_fans_out_and_in(definitions, data_dir):
    example = json.loads(next((ROOT / "docs/examples").glob("*.json")).read_text())
    definitions(example=example)
    outcome = run_dag(example["workflow_name"].replace("-", "_"))
    assert outcome.state == "success"
    assert set(outcome.tasks.values()) == {"success"}
    assert outcome.report["overall_status"] == "success"
    published = data_dir / "published"
    assert [path for path in published.rglob("*") if path.is_file()] or not example.get("publish")


def test_a_failed_step_reports_its_last_line_and_stops_what_needs_it(definitions):
    definitions(
        two={
            "workflow_name": "two-pipeline",
            "containers": [
                NUMBERS,
                container("sum", "echo 'no numbers today'; exit 3", ["numbers.csv"], ["sum.csv"]),
                container("after", "cp $DATA_DIR/sum.csv $DATA_DIR/after.csv", ["sum.csv"], ["after.csv"]),
                container("beside", "cp $DATA_DIR/numbers.csv $DATA_DIR/beside.csv", ["numbers.csv"], ["beside.csv"]),
            ],
        }
    )
    outcome = run_dag("two_pipeline")
    assert outcome.state == "failed"
    assert outcome.tasks["sum"] == "failed"
    assert outcome.tasks["after"] == "upstream_failed"
    assert outcome.tasks["beside"] == "success"
    assert outcome.tasks["publish"] == "upstream_failed"
    assert outcome.error("sum") == "ended with exit code 3; its last line: no numbers today"
    assert outcome.report["overall_status"] == "failed"
    assert outcome.report["failure_point"]["task"] == "sum"
    statuses = {step["id"]: step["status"] for step in outcome.report["steps"]}
    assert statuses == {"numbers": "success", "sum": "failed", "after": "skipped", "beside": "success"}


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ("true", "must exist"),
        (": > $DATA_DIR/out.csv", "must not be empty"),
        ("echo 'a,b' > $DATA_DIR/out.csv", "must hold at least one record"),
        ("printf 'a,b\\n1,2\\n3,' > $DATA_DIR/out.csv", "must end with a line break"),
        ("ln -s /etc/hostname $DATA_DIR/out.csv", "must be a regular file, reached without a link"),
        ("ln numbers.csv out.csv || cp -P numbers.csv out.csv", "must be a regular file, reached without a link"),
        ("printf 'a\\n1\\n' > $DATA_DIR/out.csv; echo '{}' > $DATA_DIR/result.json", "the step did not declare it"),
        (
            "printf 'a\\n1\\n' > out.csv; rm numbers.csv; echo 9 > numbers.csv",
            "must not be touched by a step that only reads",
        ),
    ],
)
def test_a_step_that_lies_fails_with_the_rule_it_broke(definitions, command, rule):
    definitions(
        lie={
            "workflow_name": "lie-pipeline",
            "containers": [NUMBERS, container("liar", command, ["numbers.csv"], ["out.csv"])],
        }
    )
    outcome = run_dag("lie_pipeline")
    assert outcome.state == "failed"
    assert rule in outcome.error("liar")
    assert outcome.folder.result("liar").error.kind == "contract"
    assert outcome.folder.result("liar").attempt == 1


def test_records_that_do_not_reconcile_fail_the_step(definitions):
    definitions(
        count={
            "workflow_name": "count-pipeline",
            "containers": [
                NUMBERS,
                container(
                    "keep",
                    "head -2 $DATA_DIR/numbers.csv > $DATA_DIR/kept.csv",
                    ["numbers.csv"],
                    ["kept.csv"],
                    records={"read": "numbers.csv", "accepted": "kept.csv"},
                ),
            ],
        }
    )
    outcome = run_dag("count_pipeline")
    assert outcome.state == "failed"
    assert "3 read, 1 accepted, 0 rejected" in outcome.error("keep")


def test_what_a_step_leaves_in_the_background_changes_nothing_that_is_published(definitions, data_dir):
    """A daemon that waits until its step was accepted, and then changes an input and an output."""
    spoil = "cp numbers.csv copy.csv; setsid -f sh -c 'sleep 1; echo 4 | tee -a numbers.csv copy.csv' >/dev/null"
    definitions(
        late={
            "workflow_name": "late-pipeline",
            "publish": ["numbers.csv", "copy.csv"],
            "containers": [
                NUMBERS,
                container("spoil", spoil, ["numbers.csv"], ["copy.csv"]),
                container("wait", "sleep 2; echo '{\"a\": 1}' > $DATA_DIR/wait.json", ["copy.csv"], ["wait.json"]),
            ],
        }
    )
    outcome = run_dag("late_pipeline")
    assert outcome.state == "success"
    published = [path.read_text() for path in (data_dir / "published").rglob("*.csv")]
    assert len(set(published)) == 1 < len(published)
    assert "4" not in published[0].split()


@pytest.mark.parametrize(
    "attack",
    [
        "echo 9 >> numbers.csv",
        "echo '{}' > ../../steps/numbers/result.json",
        "echo '{}' > ../../run.json",
        "cp numbers.csv ../../artifacts/forged",
        "rm -f ../../artifacts/*",
        "touch ../../../other",
    ],
)
def test_a_local_command_cannot_write_beside_its_work_folder(definitions, attack):
    need(can_confine(), "Landlock", "use a kernel from 6.2 on")
    liar = container("liar", f"cp numbers.csv out.csv; {attack}", ["numbers.csv"], ["out.csv"])
    definitions(lie={"workflow_name": "lie-pipeline", "containers": [NUMBERS, liar]})
    outcome = run_dag("lie_pipeline")
    assert outcome.state == "failed"
    assert outcome.tasks["numbers"] == "success"
    assert "Permission denied" in outcome.error("liar") or "Read-only" in outcome.error("liar")


def test_a_step_that_takes_too_long_is_stopped(definitions):
    definitions(
        slow={
            "workflow_name": "slow-pipeline",
            "containers": [container("sleeper", "sleep 60", writes=["never.csv"], timeout_seconds=2)],
        }
    )
    outcome = run_dag("slow_pipeline")
    assert outcome.state == "failed"
    assert outcome.error("sleeper") == "took longer than its limit of 2 s (timeout_seconds) and was stopped"
    assert outcome.folder.result("sleeper").error.kind == "timeout"
    assert outcome.folder.result("sleeper").duration_seconds < 15


def test_a_transient_fault_is_tried_again_after_2_4_and_8_seconds(definitions):
    attempts = "case $STEP_LOG in *'\"try_number\": 3'*) ;; *) exit 75;; esac"
    definitions(
        flaky={
            "workflow_name": "flaky-pipeline",
            "containers": [container("flaky", f"{attempts}; echo '[1]' > $DATA_DIR/out.json", writes=["out.json"])],
        }
    )
    outcome = run_dag("flaky_pipeline")
    assert outcome.state == "success"
    result = outcome.folder.result("flaky")
    assert result.attempt == 3
    assert outcome.report["steps"][0]["attempt"] == 3


def test_unknown_params_are_refused_by_name_before_anything_runs(definitions):
    definitions(one={"workflow_name": "one-pipeline", "containers": [NUMBERS]})
    outcome = run_dag("one_pipeline", {"strat": "2026-01-01T00:00:00Z"})
    assert outcome.state == "failed"
    assert outcome.error("prepare") == "strat: no such parameter; did you mean start?"
    assert outcome.report["failure_point"]["task"] == "prepare"
    assert not (outcome.folder.path / "files").exists()


def test_a_report_that_cannot_be_written_turns_a_green_run_red(definitions, monkeypatch):
    import include.reporting.report

    def full(*_):
        raise OSError(28, "No space left on device")

    definitions(one={"workflow_name": "one-pipeline", "containers": [NUMBERS]})
    monkeypatch.setattr(include.reporting.report, "write_report", full)
    outcome = run_dag("one_pipeline")
    assert outcome.tasks["numbers"] == "success"
    assert outcome.tasks["publish"] == "success"
    assert outcome.tasks["report"] == "failed"
    assert outcome.state == "failed"
    assert outcome.report is None
