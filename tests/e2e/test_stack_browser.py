"""The full stack as people use it: in a real browser, from the login to a promotion and back; `make e2e` runs it.

`make e2e PICTURES=docs/pictures` also takes the pictures of the documentation anew.
"""

import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from dotenv import dotenv_values

from include.satellite.pipeline import SATELLITE as SATELLITE_PIPELINE
from tests.e2e.person import Person, chromium
from tests.e2e.running_airflow import until
from tests.prerequisites import need
from tests.satellite.agreeing import AREA, let_the_gates_agree
from tests.satellite.tiny import END, TINY
from tools.stack import AIRFLOW_UID, GROUP

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.docker,
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.e2e,
]
PICTURES = os.environ.get("PICTURES")
DAY = {"start": "2026-02-01T00:00", "end": "2026-02-02T00:00"}
BROKEN = '{"workflow_name": "broken-pipeline", "containers": [{"id": "a b", "comand": "x"}]}'
NO_TIMES = "home,power_kw\nA,1.5\nA,1.7\n"
SATELLITE = "satellite_pipeline"
SMALL = {
    **TINY,
    **AREA,
    "end": END[:16],
    "cnn_epochs": 2,
    "allow_synthetic": True,
    "require_approval": True,
}
"""Five years of a small area: some minutes of work."""
OURS = "# the team's\nUSE_AI_MODELS=false  # until one is good enough\nOTHER=1\n"
PARSE_SECONDS, TRAINING_SECONDS = 120, 1500


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def person(stack, browser):
    """The admin, logged in."""
    person = Person(browser, stack.address, PICTURES and Path(PICTURES))
    person.log_in("admin", stack.password)
    person.page.get_by_test_id("nav-dags-link").wait_for()
    return person


def test_who_is_not_logged_in_meets_the_login_page_and_a_wrong_password_is_refused(stack, browser):
    stranger = Person(browser, stack.address)
    stranger.log_in("admin", "wrong")
    stranger.page.get_by_text("Invalid login").wait_for()
    stranger.open("/dags")
    stranger.page.wait_for_url("**/auth/login/**")
    stranger.page.context.close()


# the energy pipeline


@pytest.fixture(scope="module")
def energy_run(person):
    """A run of three homes on a day in February, triggered in the form and green."""
    run = "three-homes"
    form = person.form("energy_pipeline")
    form.fill("Interval", **DAY)
    form.fill("Analysis", high_usage_kw=0.5)
    form.fill("Generated data", households=3)
    person.picture("trigger-form")
    form.trigger(run)
    tasks = ("prepare", "energy-generator", "energy-analyzer", "report-generator", "publish", "report")
    for task in tasks:
        person.sees_in_grid("green", run, task)
    person.sees_state("Success")
    return run


def test_a_run_with_the_forms_params_turns_green_and_its_tab_shows_the_figures_of_its_json(energy_run, stack, person):
    report = stack.report(energy_run)
    assert (report["params"]["households"], report["params"]["high_usage_kw"]) == (3, 0.5)
    assert report["params"]["start"][:16] == DAY["start"]
    person.page.get_by_role("link", name="Report", exact=True).click()
    page = person.frame(f"/energy_pipeline/runs/{energy_run}/report")
    told = report["steps"][2]["output_summary"]["energy_kwh"]
    headline = page.locator(".headlines div", has_text="Energy").first
    assert headline.locator("dd").inner_text().startswith(f"{told:.3g} kWh")
    assert "success" in page.locator("h1").inner_text()
    person.picture("pages-report-tab")


# what fails


@pytest.fixture(scope="module")
def failed_run(stack, person):
    """A run over a file of the inbox that lacks a column, named in the form."""
    (stack.data / "inbox" / "no-times.csv").write_text(NO_TIMES)
    run = "no-times"
    form = person.form("energy_pipeline")
    form.fill("Your own files", files=["no-times.csv"])
    form.trigger(run)
    person.sees_in_grid("red", run, "energy-generator")
    person.sees_state("Failed")
    return run


def test_a_failing_run_shows_where_it_failed_and_why_in_grid_log_and_report(failed_run, stack, person):
    failure = stack.report(failed_run)["failure_point"]
    assert failure["task"] == "energy-generator"
    person.sees_in_grid("orange", failed_run, "energy-analyzer")
    person.square(failed_run, "energy-generator").click()
    person.page.get_by_text(failure["message"]).first.wait_for()
    person.picture("failed-log")
    person.open(f"/dags/energy_pipeline/runs/{failed_run}/plugin/report")
    page = person.frame(f"/energy_pipeline/runs/{failed_run}/report")
    assert "failed" in page.locator("h1").inner_text()
    assert failure["message"] in page.locator("body").inner_text()
    person.picture("failed-report")


def test_a_broken_definition_is_an_import_error_in_the_ui_until_it_is_mended(stack, person):
    path = stack.definitions / "broken.json"
    path.write_text(BROKEN)
    try:
        until(lambda: stack.api("GET", "/importErrors")["import_errors"], PARSE_SECONDS, every=1)
        person.open("/")
        person.page.get_by_text(re.compile("Import Error")).first.click()
        dialog = person.page.locator("[role=dialog][data-state=open]").last
        dialog.get_by_text("faulty_definitions.py").first.click()
        dialog.get_by_text("$.containers[0].comand").first.wait_for()
        person.picture("import-error")
    finally:
        path.unlink()
    until(lambda: not stack.api("GET", "/importErrors")["import_errors"], PARSE_SECONDS, every=1)


# the past


def test_three_days_backfilled_in_the_form(stack, person):
    form = person.form("energy_pipeline")
    form.dates("2026-01-05T00:00", "2026-01-07T00:00")
    form.fill("Generated data", households=2)
    form.backfill()
    days = {f"2026-01-0{day}" for day in (5, 6, 7)}

    def backfilled():
        runs = stack.dag("GET", "/dagRuns?run_type=backfill&limit=100")["dag_runs"]
        return runs if len(runs) == 3 and all(run["end_date"] for run in runs) else None

    runs = until(backfilled, 180, every=1)
    assert {run["state"] for run in runs} == {"success"}
    reports = [stack.report(run["dag_run_id"]) for run in runs]
    assert {report["params"]["households"] for report in reports} == {2}
    assert {path.name for path in (stack.data / "published" / "energy" / "manual").iterdir()} >= days
    [made] = stack.api("GET", "/backfills?dag_id=energy_pipeline")["backfills"]
    until(lambda: stack.api("GET", f"/backfills/{made['id']}")["completed_at"], 120, every=1)
    person.open("/dags/energy_pipeline/backfills")
    person.page.get_by_text("2026-01-05").first.wait_for()
    person.sees_in_grid("green", runs[0]["dag_run_id"], "report")
    person.widen_grid(260)
    person.picture("backfill")
    person.open("/dags/energy_pipeline")
    person.sees_in_grid("green", runs[0]["dag_run_id"], "report")
    person.picture("grid")


def test_all_runs_are_listed(energy_run, failed_run, person):
    person.open("/")
    person.page.get_by_role("link", name=re.compile("Pipeline")).click()
    page = person.frame("/groundtruth/runs")
    for run in (energy_run, failed_run):
        page.get_by_role("link", name=run, exact=True).wait_for()
    person.picture("pages-list")


# the satellite pipeline


@pytest.fixture(scope="module")
def satellite_run(stack, person):
    """A small run with its own area, triggered in the form, which asks before it promotes."""
    need(os.geteuid() == 0, "the right to prepare what Airflow's user has written", "run the tests as root")
    stack.env_file.write_text(OURS)
    shutil.chown(stack.env_file, AIRFLOW_UID, GROUP)
    end_scheduled_run(stack)
    run = "small-area"
    form = person.form(SATELLITE)
    for section, values in by_section(SMALL).items():
        form.fill(section, **values)
    form.trigger(run)
    person.sees_in_grid("green", run, "validate", TRAINING_SECONDS)
    person.sees_in_grid("green", run, "compare", TRAINING_SECONDS)
    assert stack.wait(run, dag=SATELLITE) == "success"
    person.open(f"/dags/{SATELLITE}/runs/{run}?run_type=manual")
    person.sees_in_grid("green", run, "report")
    person.picture("satellite-run")
    return run


def by_section(params):
    """Parameters as the form shows them."""
    found = {}
    for name, value in params.items():
        found.setdefault(SATELLITE_PIPELINE.params[name].json_schema_extra["section"], {})[name] = value
    return found


def end_scheduled_run(stack):
    """Switched on, the DAG begins with last month's imagery at full size, and again if that run is removed."""
    stack.dag("PATCH", "", {"is_paused": False}, dag=SATELLITE)
    [run] = until(lambda: stack.dag("GET", "/dagRuns?run_type=scheduled", dag=SATELLITE)["dag_runs"], 60)
    stack.dag("PATCH", f"/dagRuns/{quote(run['dag_run_id'])}", {"state": "failed"}, dag=SATELLITE)


def test_the_satellite_pipeline_runs_with_the_forms_params(satellite_run, stack):
    report = stack.report(satellite_run, dag=SATELLITE)
    assert report["overall_status"] == "success"
    for name, value in SMALL.items():
        given = report["params"][name]
        assert (given[:16] if name == "end" else given) == value, name
    steps = stack.run_folder(satellite_run, dag=SATELLITE) / "steps"
    trained = json.loads((steps / "train_cnn" / "result.json").read_bytes())
    assert trained["runtime"] == "docker"


@pytest.fixture(scope="module")
def approved(satellite_run, stack, person):
    """The run after a person's yes in the form. Its small models pass no gate: the comparison is prepared."""
    let_the_gates_agree(stack.run_folder(satellite_run, dag=SATELLITE))
    clear = {"dry_run": False, "dag_run_id": satellite_run, "task_ids": ["approve"], "include_downstream": True}
    stack.dag("POST", "/clearTaskInstances", clear | {"only_failed": False, "reset_dag_runs": True}, dag=SATELLITE)
    until(lambda: state_of(stack, satellite_run, "approve") == "awaiting_input", 120, every=1)
    person.open(f"/dags/{SATELLITE}/runs/{satellite_run}/tasks/approve/required_actions")
    person.page.get_by_text("+USE_AI_MODELS=true").wait_for()
    person.picture("approval")
    assert stack.env_file.read_text() == OURS, "nothing changes while nobody has answered"
    person.page.get_by_role("button", name="Approve", exact=True).click()
    assert stack.wait(satellite_run, dag=SATELLITE) == "success"
    return satellite_run


def state_of(stack, run, task):
    return next(each["state"] for each in stack.tasks(run, dag=SATELLITE) if each["task_id"] == task)


def test_a_yes_in_the_form_changes_the_env_file_and_nothing_else_in_it(approved, stack):
    files = stack.run_folder(approved, dag=SATELLITE) / "files"
    done = json.loads((files / "configuration.json").read_bytes())
    assert done["promoted"] is True
    assert json.loads((files / "approval.json").read_bytes())["approved"] is True
    text = stack.env_file.read_text()
    for line in ("# the team's\n", "USE_AI_MODELS=true  # until one is good enough\n", "OTHER=1\n"):
        assert line in text
    assert dotenv_values(stack.env_file)["AI_MODEL_VERSION"] == done["version"]


def test_a_roll_back_on_the_page_models_brings_the_file_back(approved, stack, person):
    person.dark()
    person.open("/")
    person.page.get_by_role("link", name="Models").click()
    page = person.frame("/groundtruth/models")
    page.get_by_text("The env file says").or_(page.locator("h1")).first.wait_for()
    page.locator("form.rollback input[name=why]").first.fill("it drifts")
    page.get_by_role("button", name="Undo the last change").click()
    page.get_by_role("status").wait_for()
    assert stack.env_file.read_text() == OURS
    assert "it drifts" in page.locator(".history li").first.inner_text()
    person.dark(yes=False)
