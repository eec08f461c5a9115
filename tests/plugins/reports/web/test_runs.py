"""The list of runs, the page of one, its report and its artifacts, in Airflow's own API app."""

import fcntl
import os
import resource
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from include.core.run_folder import RunFolder, write_json
from include.reporting.assets import script_source
from include.reporting.model import PipelineReport
from tests.plugins.reports.conftest import ENERGY, RUN
from tests.reporting.runs import artifact, at, ended, plan

pytestmark = pytest.mark.airflow


@pytest.fixture
def admin(client):
    return client("admin")


# the list


def test_a_data_folder_without_runs_says_so(admin):
    answer = admin.get("/groundtruth/runs")
    assert answer.status_code == 200
    assert "No run has written anything yet" in answer.text


def test_a_filter_that_leaves_nothing_offers_the_way_back(admin, energy_run):
    text = admin.get("/groundtruth/runs?text=nothing+like+it").text
    assert "No run matches" in text
    assert 'href="/groundtruth/runs"' in text


def test_each_run_shows_status_duration_and_key_figures(admin, energy_run, broken_run):
    text = admin.get("/groundtruth/runs").text
    assert f'href="/groundtruth/dags/energy_pipeline/runs/{RUN}"' in text
    for words in ("4 min 06 s", "Records <b>1,920</b>", "Rejected <b>15</b>", 'class="pill failed"'):
        assert words in text, words
    assert "late.csv: no such &lt;b&gt;file&lt;/b&gt;" in text


def test_the_empty_fields_of_the_form_filter_nothing(admin, energy_run):
    text = admin.get("/groundtruth/runs?pipeline=&status=&text=&since=&until=").text
    assert RUN in text


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "status=great", "since=yesterday", "sort=size", "order=sideways", "page=99999999"]
)
def test_an_impossible_filter_is_refused_in_words(admin, query):
    answer = admin.get(f"/groundtruth/runs?{query}")
    assert answer.status_code == 422
    assert "has a value that it cannot have" in answer.text


def test_sorting_and_paging_keep_the_filter(admin, energy_run):
    text = admin.get("/groundtruth/runs?text=manual&sort=duration").text
    assert "?text=manual&amp;sort=run" in text
    assert 'aria-sort="descending"' in text


# one run


def test_a_runs_page_frames_its_report_and_lists_its_artifacts(admin, energy_run):
    text = admin.get(ENERGY).text
    assert f'src="{ENERGY}/report"' in text
    assert 'sandbox="allow-same-origin allow-scripts allow-downloads"' in text
    assert f'href="{ENERGY}/artifacts/output1.json"' in text


def test_a_runs_page_is_found_by_the_run_id_that_airflow_puts_into_the_tab(admin, data_dir):
    run_id = "scheduled__2026-01-01T00:00:00+00:00"
    folder = RunFolder.of(data_dir, "energy_pipeline", run_id)
    plan(folder, run_id=run_id)
    answer = admin.get(f"/groundtruth/dags/energy_pipeline/runs/{run_id.replace(':', '%3A').replace('+', '%2B')}")
    assert answer.status_code == 200
    assert run_id.replace("+", "&#43;") in answer.text or run_id in answer.text


def test_the_report_is_the_file_that_the_run_left_and_runs_its_own_script_alone(admin, energy_run):
    answer = admin.get(f"{ENERGY}/report")
    assert answer.text == next(energy_run.path.glob("*.html")).read_text()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-same-origin allow-scripts allow-downloads" in policy
    assert f"script-src {script_source()};" in policy
    assert "'unsafe-inline'; script-src" in policy, "inline styles alone"


def test_a_running_run_shows_its_current_state_and_reloads(admin, running):
    path = f"/groundtruth/dags/energy_pipeline/runs/{running.path.name}"
    text = admin.get(path).text
    assert 'class="pill running"' in text
    assert 'http-equiv="refresh"' in text
    report = admin.get(f"{path}/report").text
    assert "Collect meter data" in report
    assert 'class="pill pending"' in report
    assert list(running.path.glob("pipeline_report_*")) == []
    assert 'class="pill running"' in admin.get("/groundtruth/runs").text


def test_a_run_that_died_without_a_report_is_lost(admin, data_dir):
    folder = RunFolder.of(data_dir, "energy_pipeline", RUN)
    plan(folder)
    text = admin.get(ENERGY).text
    assert 'class="pill lost"' in text
    assert "http-equiv" not in text
    report = admin.get(f"{ENERGY}/report").text
    assert 'class="pill failed"' in report
    assert "The run ended before it was prepared. It ended without a reason that could be found." in report
    assert 'class="pill running"' not in report
    assert list(folder.path.glob("pipeline_report_*")) == [], "looking at a run changes nothing"


def test_a_run_of_the_command_line_that_goes_on_is_running(admin, data_dir):
    folder = RunFolder.of(data_dir, "energy_pipeline", RUN)
    plan(folder)
    with (folder.path / "airflow.log").open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        assert 'class="pill running"' in admin.get(ENERGY).text
        assert 'class="pill running"' in admin.get("/groundtruth/runs").text
        assert "without a reason" not in admin.get(f"{ENERGY}/report").text
    assert 'class="pill lost"' in admin.get("/groundtruth/runs").text


def secret_link(path, secret):
    path.unlink()
    path.symlink_to(secret)


def huge(path, secret):
    with path.open("wb") as file:
        file.truncate(400 * 10**6)


def pipe(path, secret):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("name", ["steps/analyze/result.json", "run.json", "airflow.log"])
def test_pages_of_a_run_without_a_report_read_no_record_that_would_fill_memory(admin, energy_run, name):
    for report in energy_run.path.glob("pipeline_report_*"):
        report.unlink()
    path = energy_run.path / name
    with path.open("wb") as file:
        file.truncate(2 * 10**9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for page in (ENERGY, f"{ENERGY}/report", "/groundtruth/runs"):
        answer = admin.get(page)
        assert answer.status_code == 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
    if name != "airflow.log":
        assert "has 2,000 MB, more than the 67 MB allowed, and was not read." in admin.get(f"{ENERGY}/report").text


@pytest.mark.parametrize(("lie", "status"), [(secret_link, 404), (huge, 413), (pipe, 404)])
def test_the_api_server_serves_no_link_and_nothing_that_would_fill_its_memory(admin, energy_run, tmp_path, lie, status):
    (tmp_path / "secret").write_text("s3cret")
    lie(next(energy_run.path.glob("*.html")), tmp_path / "secret")
    for _ in range(4):
        answer = admin.get(f"{ENERGY}/report")
        assert answer.status_code == status
        assert "s3cret" not in answer.text
    assert ("too large to be shown here" in answer.text) == (status == 413)


@pytest.mark.parametrize("level", ["run", "dag"])
def test_a_link_in_the_place_of_a_run_is_no_run(admin, energy_run, data_dir, tmp_path, level):
    place = energy_run.path if level == "run" else energy_run.path.parent
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    for path in (ENERGY, f"{ENERGY}/report", f"{ENERGY}/artifacts/energy_data.csv"):
        assert admin.get(path).status_code == 404
    assert RUN not in admin.get("/groundtruth/runs").text


def test_a_list_of_very_many_runs_says_that_older_ones_are_left_out(admin, energy_run, broken_run, monkeypatch):
    assert "older ones" not in admin.get("/groundtruth/runs").text
    monkeypatch.setattr("include.reporting.archive.LISTED_RUNS", 1)
    text = admin.get("/groundtruth/runs").text
    assert "The latest 1 runs are searched; 1 older ones are not." in text
    assert RUN in admin.get("/groundtruth/runs?pipeline=energy_pipeline").text


def test_a_run_that_has_not_begun_has_a_page_that_says_so(admin):
    answer = admin.get("/groundtruth/dags/energy_pipeline/runs/manual__never")
    assert answer.status_code == 404
    assert "This run has left nothing here yet" in answer.text


def test_a_damaged_report_is_listed_and_hides_no_other_run(admin, energy_run, broken_run):
    max(energy_run.path.glob("pipeline_report_*.json")).write_text('{"pipeline_name": 3')
    text = admin.get("/groundtruth/runs").text
    assert 'class="pill damaged"' in text
    assert "manual__2026-03-02" in text


# artifacts


@pytest.mark.parametrize("folder", ["artifacts", "files"], ids=["of the run's page", "as a report links to it"])
def test_an_artifact_comes_as_it_was_accepted_and_is_never_shown(admin, energy_run, folder):
    answer = admin.get(f"{ENERGY}/{folder}/energy_data.csv")
    assert answer.content == b"a,b\n1,2\n"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "rejected.csv",
        "../run.json",
        "..%2Frun.json",
        "%2e%2e/%2e%2e/run.json",
        "....//run.json",
        "%2Fetc%2Fpasswd",
        "energy_data.csv%00",
        "energy_data.csv/",
        "",
    ],
)
def test_a_file_that_no_result_lists_is_not_found(admin, energy_run, path):
    (energy_run.files / "rejected.csv").write_text("written, and never accepted")
    assert admin.get(f"{ENERGY}/artifacts/{path}").status_code == 404


def test_an_artifact_that_changed_since_is_refused(admin, energy_run):
    (energy_run.files / "energy_data.csv").write_text("x,y\n1,2\n")
    answer = admin.get(f"{ENERGY}/artifacts/energy_data.csv")
    assert answer.status_code == 409
    assert "has changed since it was accepted" in answer.text


def test_a_link_in_the_place_of_an_artifact_leads_nowhere(admin, data_dir, tmp_path):
    folder = RunFolder.of(data_dir, "energy_pipeline", RUN)
    plan(folder)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    record = artifact(folder, "out.csv", b"secret")
    ended(folder, "collect", (0, 1), outputs=[record])
    (folder.files / "out.csv").unlink()
    (folder.files / "out.csv").symlink_to(secret)
    assert admin.get(f"{ENERGY}/artifacts/out.csv").status_code == 409


@pytest.mark.parametrize(
    "path",
    [
        "/groundtruth/dags/../runs/x",
        "/groundtruth/dags/%2e%2e/runs/%2e%2e",
        "/groundtruth/dags/..%2F..%2Fetc/runs/passwd",
        f"/groundtruth/dags/energy_pipeline/runs/..%2F..%2Fsatellite_pipeline%2F{RUN}",
        "/groundtruth/dags/energy_pipeline/runs/%2e%2e/report",
        "/groundtruth/dags/energy_pipeline/runs/%00/report",
    ],
)
def test_a_path_that_leaves_its_folder_leads_nowhere(admin, energy_run, path):
    assert admin.get(path).status_code in (404, 422)


def test_the_first_page_of_all_reports_is_read_from_the_latest(admin, energy_run):
    """A cleared run writes a second report; the page shows that one."""
    first = max(energy_run.path.glob("pipeline_report_*.json"))
    document = PipelineReport.model_validate_json(first.read_bytes())
    later = first.with_name("pipeline_report_20990101_000000.json")
    write_json(later, document.model_copy(update={"overall_status": "failed", "generated_at": at(99)}))
    later.with_suffix(".html").write_text("the second report")
    assert 'class="pill failed"' in admin.get("/groundtruth/runs").text
    assert admin.get(f"{ENERGY}/report").text == "the second report"


# what Airflow's database records of runs and tasks


RUN_ID = "manual__2026-03-04T00:00:00+00:00"
FOLDER = "manual__2026-03-04T00-00-00+00-00"


@pytest.mark.parametrize(("state", "active"), [("queued", True), ("running", True), ("success", False)])
def test_active_runs_are_queued_or_running_and_named_by_their_folder(added, state, active):
    from plugins.reports.web.runs import active_runs

    added("energy_pipeline", RUN_ID, state)
    assert active_runs(["energy_pipeline"]) == ({("energy_pipeline", FOLDER)} if active else set())
    assert active_runs(["satellite_pipeline"]) == set()


def test_a_mapped_task_has_the_worst_state_of_its_instances(monkeypatch):
    from plugins.reports.web import runs

    rows = [("one", "success"), ("two", "success"), ("two", "failed"), ("three", None)]
    session = SimpleNamespace(execute=lambda query: rows if RUN_ID in query.compile().params.values() else [])
    monkeypatch.setattr(runs, "create_session", lambda **_: nullcontext(session))
    assert runs.task_states("energy_pipeline", RUN_ID) == {"one": "success", "two": "failed", "three": "scheduled"}
    assert runs.task_states("energy_pipeline", "another") == {}
