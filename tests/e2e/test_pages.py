"""The pages as a person sees them: in Airflow's UI, in a real browser."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from dotenv import dotenv_values

from include.core.text import quantity
from include.env_file import EnvFile, Reason
from tests.e2e.person import Person
from tests.e2e.running_airflow import running_airflow
from tests.prerequisites import need
from tests.reporting.many_runs import make_runs
from tests.reporting.test_html import find_chromium

pytestmark = [pytest.mark.airflow, pytest.mark.browser, pytest.mark.timeout(300)]
RUN = "seen"
PAGES = {
    "list": "/groundtruth/runs",
    "one pipeline": "/groundtruth/runs?pipeline=energy_pipeline",
    "nothing found": "/groundtruth/runs?text=nothing-like-it",
    "refused": "/groundtruth/runs?page=x",
    "run": f"/groundtruth/dags/energy_pipeline/runs/{RUN}",
    "no run": "/groundtruth/dags/energy_pipeline/runs/never",
    "report": f"/groundtruth/dags/energy_pipeline/runs/{RUN}/report",
    "no feeds": "/groundtruth/feeds",
    "models": "/groundtruth/models",
}


@pytest.fixture(scope="module")
def env_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "pipeline.env"
    env_file = EnvFile(path)
    for version in ("20260701T120000Z-aaaaaaaa", "20260702T120000Z-bbbbbbbb"):
        env_file.update({"AI_MODEL_VERSION": version}, Reason(by="tester", why="every gate passed", version=version))
    return path


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, env_file):
    """A running Airflow with forty older runs and one of today."""
    folder = tmp_path_factory.mktemp("ui")
    make_runs(folder / "data", 40)
    with running_airflow(folder, "energy_pipeline", 18380, GROUNDTRUTH_ENV_FILE=str(env_file)) as running:
        running.unpause()
        running.trigger(RUN, households=3, start="2026-02-01T00:00:00Z", end="2026-02-02T00:00:00Z")
        assert running.wait(RUN) == "success"
        yield running


@pytest.fixture(scope="module")
def browser():
    executable = find_chromium()
    need(executable, "Chromium", "install it (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def session(airflow, browser):
    """What a browser keeps after its user has logged in."""
    return log_in(browser, airflow.address, airflow.password)


def log_in(browser, address, password):
    page = browser.new_page()
    page.goto(f"{address}/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.get_by_text("Dags").first.wait_for()
    kept = page.context.storage_state()
    page.context.close()
    return kept


@pytest.fixture
def open_page(airflow, browser, session):
    """Opens an address below Airflow's, logged in; complaints of the page fail the test."""
    contexts = []

    def open_it(path, mode=None, address=airflow.address, **options):
        context = browser.new_context(storage_state=options.pop("state", session), **options)
        contexts.append(context)
        page = context.new_page()
        if mode:
            page.add_init_script(f"localStorage.setItem('theme', '{mode}')")
        page.goto(address + path)
        return page

    yield open_it
    for context in contexts:
        context.close()


def inner(page, part):
    """The frame whose address ends like this."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for frame in page.frames[1:]:
            if frame.url.endswith(part):
                frame.wait_for_load_state()
                return frame
        page.wait_for_timeout(100)
    raise AssertionError(f"no frame {part} among {[frame.url for frame in page.frames]}")


def test_the_navigation_leads_to_all_runs_and_on_to_one(open_page, airflow):
    airflow.settle()
    page = open_page("/")
    page.get_by_role("link", name=re.compile("Pipeline")).click()
    frame = inner(page, "/groundtruth/runs")
    count = len(list(airflow.data.glob("runs/*/*")))
    assert f"{count} runs, page 1 of 1" in frame.locator(".paging").inner_text()
    frame.get_by_role("link", name=RUN, exact=True).click()
    frame = inner(page, f"/energy_pipeline/runs/{RUN}")
    assert frame.locator("h1").inner_text() == "energy_pipeline success"


def test_the_tab_of_a_run_shows_the_figures_of_its_report(open_page, airflow):
    page = open_page(f"/dags/energy_pipeline/runs/{RUN}")
    page.get_by_role("link", name="Report", exact=True).click()
    report = inner(page, f"/groundtruth/dags/energy_pipeline/runs/{RUN}/report")
    told = airflow.report(RUN)["steps"][2]["output_summary"]
    headline = report.locator(".headlines div", has_text="Energy")
    assert headline.locator("dd").inner_text().startswith(quantity(told["energy_kwh"], "kWh"))


def test_a_log_link_of_the_report_leaves_the_frame(open_page):
    page = open_page(f"/dags/energy_pipeline/runs/{RUN}/plugin/report")
    report = inner(page, "/report")
    report = next(frame for frame in page.frames if "/groundtruth/" in frame.url and frame.url.endswith("/report"))
    report.locator("summary", has_text="Steps").click()
    report.get_by_role("link", name="log").first.click()
    page.wait_for_url("**/tasks/**")
    assert "groundtruth" not in page.url


@pytest.mark.parametrize(("mode", "dark"), [("light", False), ("dark", True)])
def test_pages_and_report_take_airflows_colour_mode_whatever_the_browser_prefers(open_page, mode, dark):
    other = "light" if dark else "dark"
    page = open_page(f"/dags/energy_pipeline/runs/{RUN}/plugin/report", mode, color_scheme=other)
    inner(page, f"/groundtruth/dags/energy_pipeline/runs/{RUN}/report")
    page.wait_for_timeout(300)
    for frame in page.frames[1:]:
        red = frame.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        assert (int(red) < 64) is dark, frame.url


def test_switching_the_colour_mode_switches_an_open_page(open_page):
    page = open_page("/plugin/models", "light")
    frame = inner(page, "/groundtruth/models")
    before = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate("document.documentElement.className = 'dark'")
    page.wait_for_timeout(200)
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_an_artifact_is_downloaded_from_inside_the_ui(open_page, airflow, tmp_path):
    page = open_page(f"/dags/energy_pipeline/runs/{RUN}/plugin/report")
    frame = inner(page, f"/groundtruth/dags/energy_pipeline/runs/{RUN}")
    frame.locator("summary").click()
    with page.expect_download() as waiting:
        frame.get_by_role("link", name="energy_report.csv").click()
    waiting.value.save_as(tmp_path / "got.csv")
    assert (tmp_path / "got.csv").read_bytes() == (airflow.folder(RUN) / "files/energy_report.csv").read_bytes()


def test_the_report_is_as_high_as_its_content_so_that_one_bar_scrolls(open_page):
    page = open_page(PAGES["run"])
    report = inner(page, "/report")
    page.wait_for_timeout(500)
    box = page.locator("iframe.report").bounding_box()
    assert box["height"] >= report.evaluate("document.documentElement.getBoundingClientRect().height")


def test_filtering_and_sorting_by_the_form_and_the_heads(open_page):
    page = open_page(PAGES["list"])
    page.select_option("select[name=pipeline]", "satellite_pipeline")
    page.get_by_role("button", name="Filter").click()
    assert set(page.locator("td[data-label=Pipeline]").all_inner_texts()) == {"satellite_pipeline"}
    page.get_by_role("link", name="Duration").click()
    assert page.locator("th[aria-sort]").inner_text() == "Duration ↓"
    assert set(page.locator("td[data-label=Pipeline]").all_inner_texts()) == {"satellite_pipeline"}


def test_rolling_back_in_the_ui(open_page, env_file):
    page = open_page("/plugin/models")
    frame = inner(page, "/groundtruth/models")
    frame.locator("form.rollback input[name=why]").first.fill("it drifts")
    frame.get_by_role("button", name="Undo the last change").click()
    frame.get_by_role("status").wait_for()
    assert dotenv_values(env_file)["AI_MODEL_VERSION"] == "20260701T120000Z-aaaaaaaa"
    assert "admin, Airflow page Models: it drifts" in frame.locator(".history li").first.inner_text()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(open_page, name, mode):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(PAGES[name], color_scheme=mode, bypass_csp=True)
    for closed in page.locator("details").all():
        closed.evaluate("each => { each.open = true }")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_downwards_alone(open_page, name):
    page = open_page(PAGES[name], viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_pages_have_no_complaint_in_the_console(open_page):
    page = open_page("/plugin/pipeline-reports")
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    for path in ("/plugin/models", f"/dags/energy_pipeline/runs/{RUN}/plugin/report"):
        page.goto(page.url.split("/plugin")[0] + path)
        page.wait_for_timeout(2000)
    assert complaints == []


# users with roles


ROLES = {
    "viewer": "Viewer",
    "user": "User",
    "op": "Op",
    "energy": [("can_read", "DAG:energy_pipeline"), ("can_read", "DAG Runs"), ("can_read", "Website")],
}
"""A role of Airflow, or the permissions of one of the deployment's own."""
ADD_USERS = """
import json, sys
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

with get_application_builder() as builder:
    manager = builder.sm
    for name, role in json.loads(sys.argv[1]).items():
        if isinstance(role, list):
            own = manager.add_role(name)
            for action, resource in role:
                manager.add_permission_to_role(own, manager.create_permission(action, resource))
        found = manager.find_role(name if isinstance(role, list) else role)
        assert manager.add_user(name, name, "", f"{name}@example.org", found, name)
"""


@pytest.fixture(scope="module")
def with_roles(airflow, tmp_path_factory):
    """The same Airflow's API server once more, with the FAB auth manager and its users."""
    auth_manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    environment = airflow.environment | {"AIRFLOW__CORE__AUTH_MANAGER": auth_manager}
    command = [sys.executable, "-c", ADD_USERS, json.dumps(ROLES)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    with api_server(environment, 18398, "", tmp_path_factory.mktemp("roles")) as address:
        yield address


@pytest.mark.parametrize("name", ROLES)
def test_a_user_finds_the_pages_in_the_navigation_and_the_report_as_a_tab(with_roles, browser, name):
    person = Person(browser, with_roles)
    person.log_in(name, name)
    page = person.page
    page.get_by_role("link", name=re.compile("Pipeline")).click()
    frame = inner(page, "/groundtruth/runs")
    pipelines = set(frame.locator("td[data-label=Pipeline]").all_inner_texts())
    assert pipelines == ({"energy_pipeline"} if name == "energy" else {"energy_pipeline", "satellite_pipeline"})
    for title in ("Feeds", "Models"):
        link = page.get_by_role("link", name=title, exact=True)
        if name == "energy":
            assert link.count() == 0
        else:
            link.click()
            inner(page, f"/groundtruth/{title.lower()}")
    person.open(f"/dags/energy_pipeline/runs/{RUN}")
    page.get_by_role("link", name="Report", exact=True).click()
    inner(page, f"/groundtruth/dags/energy_pipeline/runs/{RUN}/report")
    page.context.close()


# below a path


@contextmanager
def api_server(environment, port, path, folder):
    """Yield the address of one more API server of a running Airflow."""
    address, log = f"http://127.0.0.1:{port}{path}", folder / "api-server.txt"
    environment = environment | {
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
    }
    with log.open("wb") as output:
        command = [str(Path(sys.executable).with_name("airflow")), "api-server"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_for(f"{address}/api/v2/monitor/health", process, log)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def below(airflow, tmp_path_factory):
    """The same Airflow's API server once more, below `/airflow`."""
    with api_server(airflow.environment, 18399, "/airflow", tmp_path_factory.mktemp("below")) as address:
        yield address


def wait_for(address, process, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - loopback
                return json.loads(answer.read())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])


def test_below_a_path_every_page_and_link_works(below, airflow, browser, open_page):
    state = log_in(browser, below, airflow.password)
    page = open_page("/plugin/pipeline-reports", address=below, state=state)
    frame = inner(page, "/airflow/groundtruth/runs")
    frame.get_by_role("link", name=RUN, exact=True).click()
    inner(page, f"/airflow/groundtruth/dags/energy_pipeline/runs/{RUN}/report")
    page.goto(f"{below}/dags/energy_pipeline/runs/{RUN}/plugin/report")
    report = inner(page, f"/airflow/groundtruth/dags/energy_pipeline/runs/{RUN}/report")
    assert "energy-pipeline" in report.locator("h1").inner_text()
    page.goto(f"{below}/plugin/models")
    frame = inner(page, "/airflow/groundtruth/models")
    style = frame.evaluate("getComputedStyle(document.querySelector('section')).borderRadius")
    assert style == "8px", "the stylesheet is there"
