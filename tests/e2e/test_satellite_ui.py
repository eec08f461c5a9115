"""The satellite pipeline under Airflow's own scheduler: mapped downloads, dead workers, assets, approval, backfill.

The models are tiny and pass no gate, so what a person is asked rests on predictions that the test prepares.
"""

import json
import os
import re
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests

from include.core.artifacts import sha256
from include.core.run_folder import safe_name
from tests.e2e.running_airflow import ROOT, running_airflow, until
from tests.satellite.agreeing import AREA, let_the_gates_agree
from tests.satellite.tiny import END, TINY

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(1800)]

PARAMS = TINY | AREA | {"allow_synthetic": True}
OURS = "# the team's\nUSE_AI_MODELS=false  # until one is good enough\nOTHER=1\n"
TRAINING_SECONDS = 600
KILLED = {"download", "validate", "train_cnn"}


@pytest.fixture(scope="module")
def env_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "app.env"
    path.write_text(OURS)
    return path


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, env_file):
    folder = tmp_path_factory.mktemp("ui")
    settings = {
        "GROUNDTRUTH_ENV_FILE": str(env_file),
        "OMP_NUM_THREADS": "1",
        "AIRFLOW__CORE__PARALLELISM": "4",
    }
    with running_airflow(folder, "satellite_pipeline", 18180, **settings) as running:
        running.of("crop_health_map").unpause()
        yield running


@pytest.fixture(scope="module")
def api(airflow):
    """The stand-in that `make ui` started."""
    [port] = [port for (_, port), command in airflow.listening().items() if "include.standins.sentinel_hub" in command]
    return f"http://127.0.0.1:{port}"


def running_task(airflow, run, task):
    """The one task of a mapped step, or the only one, that is at work in a process."""
    return next(
        (each for each in airflow.tasks(run) if (each["task_id"], each["state"]) == (task, "running") and each["pid"]),
        None,
    )


def kill(task):
    os.kill(task["pid"], signal.SIGKILL)


def kill_a_download(airflow, api, run):
    """While its scene is on the way: the third request for bands is answered late, once."""
    late = {"kind": "latency", "operation": "process", "band": "B08", "skip": 2, "times": 1, "seconds": 8}
    requests.post(f"{api}/control/faults", json=late, timeout=5).raise_for_status()
    airflow.trigger(run, logical_date=last_month(), **PARAMS, end=END, require_approval=True)
    airflow.unpause()
    until(lambda: requests.get(f"{api}/control/faults", timeout=5).json()[0]["struck"] == 1)

    def waiting():
        for path in airflow.folder(run).glob("steps/download.*/started.json"):
            if not path.with_name("result.json").exists() and time.time() - path.stat().st_mtime > 1.5:
                return int(path.parent.name.partition(".")[2])
        return None

    index = until(lambda: (waiting() or -1) + 1) - 1
    kill(next(each for each in airflow.tasks(run) if each["map_index"] == index))


def last_month():
    """A run of that date is there already when the DAG is unpaused, so that the scheduler adds none of full size."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first - timedelta(days=1)).replace(day=1).isoformat()


def kill_the_validation(airflow, run):
    started = airflow.folder(run) / "steps" / "validate" / "started.json"
    until(started.exists, TRAINING_SECONDS)
    kill(running_task(airflow, run, "validate"))


def kill_the_training(airflow, run):
    """After some epochs, and before the last."""
    task = until(lambda: running_task(airflow, run, "train_cnn"), TRAINING_SECONDS)
    scratch = airflow.folder(run) / "scratch"
    until(lambda: any(scratch.glob("train_cnn.*/checkpoints/cnn/[!.]*")), every=0.01)
    kill(task)


@pytest.fixture(scope="module")
def runs(airflow, api):
    """Two runs at once over the same area: three tasks of one are killed, the other is left alone."""
    kill_a_download(airflow, api, "disturbed")
    airflow.trigger("calm", **PARAMS, end=END)
    kill_the_validation(airflow, "disturbed")
    kill_the_training(airflow, "disturbed")
    assert {run: airflow.wait(run) for run in ("disturbed", "calm")} == {"disturbed": "success", "calm": "success"}
    airflow.of("crop_health_map").settle()
    return airflow


def document(airflow, run, name):
    return json.loads((airflow.folder(run) / "files" / name).read_bytes())


def test_killed_tasks_get_another_attempt_and_the_end_is_that_of_an_undisturbed_run(runs):
    again = {each["task_id"]: each["try_number"] for each in runs.tasks("disturbed") if each["try_number"] > 1}
    assert again == dict.fromkeys(KILLED, 2)
    assert {each["try_number"] for each in runs.tasks("calm")} == {1}
    for name in ("cnn_model.safetensors", "lstm_model.safetensors", "cube.npy", "lstm_series.npy"):
        assert sha256(runs.folder("disturbed") / "files" / name) == sha256(runs.folder("calm") / "files" / name), name
    for name in ("cnn_metrics.json", "lstm_metrics.json", "validation_report.json"):
        assert document(runs, "disturbed", name) == document(runs, "calm", name), name
    weights = [document(runs, run, "cnn_model.json")["weights_sha256"] for run in ("disturbed", "calm")]
    assert weights[0] == weights[1]
    log = runs.dag("GET", "/dagRuns/disturbed/taskInstances/train_cnn/logs/2")
    assert "Resuming after epoch" in json.dumps(log), "the second attempt used the checkpoint of the first"


def test_two_runs_at_once_leave_the_imagery_store_whole(runs):
    store, taken = runs.data / "imagery", {}
    for run in ("disturbed", "calm"):
        acquisitions = document(runs, run, "imagery.json")["acquisitions"]
        taken[run] = {store / each["file"]: each["sha256"] for each in acquisitions}
    assert taken["disturbed"] == taken["calm"]
    [area] = {path.parent for path in taken["calm"]}
    assert {path: sha256(path) for path in area.glob("[!.]*.tif")} == taken["calm"]
    assert list(store.rglob(".*.tif*")) == []


def test_each_download_shows_its_date_and_stays_in_the_pool(runs):
    downloads = sorted((each["map_index"], each) for each in runs.tasks("calm") if each["task_id"] == "download")
    assert [each["rendered_map_index"] for _, each in downloads] == document(runs, "calm", "search.json")["chosen"]
    assert runs.api("GET", "/pools/sentinel_hub")["slots"] == 2
    in_pool = {each["task_id"] for each in runs.tasks("calm") if each["pool"] == "sentinel_hub"}
    assert in_pool == {"search", "download", "collect"}


def test_validated_imagery_has_its_map_drawn_and_no_model_is_announced(runs):
    events = runs.events("satellite_imagery")
    assert {event["source_run_id"] for event in events} == {"disturbed", "calm"}
    assert runs.events("crop_health_model") == []
    maps = runs.of("crop_health_map")
    drawn = {reference["run_id"] for event in events for reference in event["created_dagruns"]}
    assert drawn
    for run in drawn:
        assert maps.wait(run) == "success"
        found = document(maps, safe_name(run), "health_map.json")
        assert (found["drawn_by"], found["synthetic"]) == ("ndvi_rule", True)
        assert found["date"] == max(each["date"] for each in document(runs, "calm", "validated.json")["acquisitions"])


def test_a_run_whose_gates_refuse_is_green_asks_nobody_and_says_why(runs, env_file):
    answer = document(runs, "disturbed", "approval.json")
    nobody = {"approved": False, "by": "nobody", "why": "there is nothing to approve", "evidence": None}
    assert answer == nobody
    assert not_promoted(runs.report("disturbed"))
    assert env_file.read_text() == OURS


def not_promoted(report):
    assert report["overall_status"] == "success"
    return [each["message"] for each in report["findings"] if "not promoted" in each["message"]]


# the approval


def ask(airflow, run):
    """Let the run ask anew; returns the required action as a person sees it."""
    airflow.clear(run, "approve")
    until(lambda: state_of(airflow, run, "approve") == "awaiting_input")
    [action] = airflow.dag("GET", f"/dagRuns/{run}/hitlDetails?response_received=false")["hitl_details"]
    assert action["task_instance"]["task_id"] == "approve"
    return action


def state_of(airflow, run, task):
    return next(each["state"] for each in airflow.tasks(run) if each["task_id"] == task)


def code_in_form(action):
    """The evidence code that stands in the form, as Airflow keeps it."""
    return action["params"]["evidence_code"]["value"]


def code_on_page(airflow, run):
    """The evidence code that the live page shows."""
    page = airflow.page(f"/groundtruth/dags/satellite_pipeline/runs/{run}/approval")
    [code] = re.findall(r'class="evidence">([0-9a-f]{12})<', page)
    return code


def answer(airflow, run, chosen, why, code=""):
    """As a person does, who reads first, and answers again where Airflow asks once more.

    It does where an answer comes before the scheduler has seen that the task waits for one.
    """
    body = {"chosen_options": [chosen], "params_input": {"why": why, "evidence_code": code}}
    while airflow.dag("GET", f"/dagRuns/{run}/hitlDetails?response_received=false")["hitl_details"]:
        time.sleep(3)
        airflow.dag("PATCH", f"/dagRuns/{run}/taskInstances/approve/-1/hitlDetails", body)
        time.sleep(10)
    return airflow.wait(run)


def pipeline_env(airflow, *words):
    wide = airflow.environment | {"COLUMNS": "200"}
    done = subprocess.run([ROOT / "pipeline", "env", *words], env=wide, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def approved(runs, env_file):
    """The question of a run whose gates agree, and the run after a yes."""
    let_the_gates_agree(runs.folder("disturbed"))
    action = ask(runs, "disturbed")
    assert env_file.read_text() == OURS, "nothing changes while nobody has answered"
    assert answer(runs, "disturbed", "Approve", "looks right", code_in_form(action)) == "success"
    return action


def test_a_person_sees_the_diff_and_a_yes_changes_the_env_file_and_nothing_else_in_it(approved, runs, env_file):
    assert "-USE_AI_MODELS=false" in approved["body"]
    assert "+USE_AI_MODELS=true" in approved["body"]
    assert str(env_file) in approved["body"]
    assert (approved["options"], approved["defaults"]) == (["Approve", "Reject"], ["Reject"])
    done = document(runs, "disturbed", "configuration.json")
    assert done["promoted"] is True
    text = env_file.read_text()
    for line in ("# the team's\n", "USE_AI_MODELS=true  # until one is good enough\n", "OTHER=1\n"):
        assert line in text
    assert f"AI_MODEL_VERSION={done['version']}\n" in text
    given = document(runs, "disturbed", "approval.json")
    assert (given["approved"], given["by"], given["why"]) == (True, "admin", "looks right")
    shown = pipeline_env(runs, "history")
    assert "satellite_pipeline/disturbed" in shown
    assert "USE_AI_MODELS: false → true" in shown


def test_a_promotion_is_announced_and_the_model_draws_the_next_map(approved, runs):
    [event] = runs.events("crop_health_model")
    version = document(runs, "disturbed", "configuration.json")["version"]
    assert (event["source_run_id"], event["extra"]["model_version"]) == ("disturbed", version)
    maps = runs.of("crop_health_map")
    [reference] = until(lambda: runs.events("crop_health_model")[0]["created_dagruns"], 30)
    assert maps.wait(reference["run_id"]) == "success"
    drawn = document(maps, safe_name(reference["run_id"]), "health_map.json")
    assert (drawn["drawn_by"], drawn["model_version"]) == ("model", version)
    assert maps.report(safe_name(reference["run_id"]))["overall_status"] == "success"


def test_a_rollback_brings_the_env_file_back_and_a_no_leaves_it_so(approved, runs, env_file):
    runs.of("crop_health_map").settle()
    pipeline_env(runs, "rollback")
    assert env_file.read_text() == OURS
    ask(runs, "disturbed")
    assert answer(runs, "disturbed", "Reject", "not before the harvest") == "success"
    assert env_file.read_text() == OURS
    done = document(runs, "disturbed", "configuration.json")
    assert (done["promoted"], done["reasons"]) == (False, ["Not approved by admin: not before the harvest"])
    assert "Not approved by admin: not before the harvest" in not_promoted(runs.report("disturbed"))[0]
    assert len(runs.events("crop_health_model")) == 1, "a refusal announces no model"


def test_after_a_retraining_only_the_code_of_the_live_page_approves(approved, runs, env_file):
    """A cleared question stays in Airflow as it was first asked; what it would promote has changed."""
    promotions = len(runs.events("crop_health_model"))
    runs.clear("disturbed", "train_cnn", "train_lstm")
    assert runs.wait("disturbed") == "success"
    let_the_gates_agree(runs.folder("disturbed"))
    stale = ask(runs, "disturbed")
    assert code_in_form(stale) == code_in_form(approved), "Airflow keeps the old question"
    assert code_on_page(runs, "disturbed") != code_in_form(stale)
    assert answer(runs, "disturbed", "Approve", "as before", code_in_form(stale)) == "success"
    refused = document(runs, "disturbed", "approval.json")
    assert (refused["approved"], refused["by"]) == (False, "nobody")
    assert "the run has other evidence now" in refused["why"]
    assert "/groundtruth/dags/satellite_pipeline/runs/disturbed/approval" in refused["why"]
    assert env_file.read_text() == OURS
    ask(runs, "disturbed")
    assert answer(runs, "disturbed", "Approve", "read again", code_on_page(runs, "disturbed")) == "success"
    assert document(runs, "disturbed", "configuration.json")["promoted"] is True
    assert len(runs.events("crop_health_model")) == promotions + 1
    runs.of("crop_health_map").settle()
    pipeline_env(runs, "rollback")


# the past


def test_two_months_backfilled_are_two_windows_published_apart(runs):
    runs.settle()
    runs.of("crop_health_map").settle()
    runs.of("crop_health_map").dag("PATCH", body={"is_paused": True})
    months = {"from_date": "2026-05-01T00:00:00Z", "to_date": "2026-06-01T00:00:00Z"}
    runs.api("POST", "/backfills", {"dag_id": "satellite_pipeline", "dag_run_conf": PARAMS, **months})
    made = [run["dag_run_id"] for run in runs.runs() if run["run_type"] == "backfill"]
    assert {run: runs.wait(run) for run in made} == dict.fromkeys(made, "success")
    reports = [runs.report(safe_name(run)) for run in made]
    ends = sorted(report["params"]["end"] for report in reports)
    assert ends == ["2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"]
    published = {report["params"]["end"]: report["published"]["path"] for report in reports}
    assert len(set(published.values())) == 2
    for end, path in published.items():
        assert f"_{end[:10]}" in path
        imagery = json.loads((runs.data / path / "validated.json").read_bytes())
        assert imagery["end"] == end
        assert max(each["datetime"] for each in imagery["acquisitions"]) < end
