"""The report as a page: everything that a reader needs, nothing that a browser would have to load."""

import os
import re
import shutil
from datetime import timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core.charts import Area, BarChart, Charts, Line, LineChart, MapChart, Panel
from include.core.outcome import Table
from include.core.proof import MEANINGS, WORDS
from include.core.run_folder import FileRecord, Records, RunFolder
from include.core.settings import get_settings
from include.reporting.assets import script, script_source
from include.reporting.html import (
    column,
    file_link,
    grid,
    instant,
    measure,
    metrics_by_step,
    ordered_plots,
    plots,
    render_html,
    safe_link,
    seconds,
    segment,
    short,
    shown_tables,
    size,
    template_environment,
    value,
    words,
    zone_of,
)
from include.reporting.model import PipelineReport
from include.reporting.report import build_report, write_report
from tests.reporting.runs import NOW, artifact, broke, ended, good_run, plan, proven_run, started, tiny_png

HOSTILE = """</p><script>alert(1)</script><img src=x onerror="alert(1)">' " onload=alert(1) {{ 7 * 7 }} &amp;"""


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        (self.scripts if self.cdata_elem == "script" else self.words).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder: RunFolder, **given) -> Page:
    return Page(render_html(build_report(folder, now=NOW, **given), folder.files))


def test_a_green_run_shows_all_its_parts(tmp_path: Path):
    text = page_of(good_run(tmp_path)).text
    for part in (
        "energy-pipeline success",
        "2026-02-28 00:00 UTC to 2026-03-01 00:00 UTC",
        "4 min 06 s",
        "3 of 3 succeeded",
        "Energy 203 kWh",
        "1,920 1,900 15 5 missing 10 late 5",
        "One household has no data at night.",
        "published/energy/2026-02-28",
        "duckdb 1.4.0",
        "required timestamp, household_id",
    ):
        assert part in text
    assert "Failed at" not in text


def section(folder: RunFolder) -> str:
    """The text of the section that says what is proven."""
    return page_of(folder).text.partition("What is proven ")[2].partition(" Artifacts Every file")[0]


def test_the_page_answers_first_and_ends_with_how_it_was_made(tmp_path: Path):
    text = page_of(good_run(tmp_path)).text
    order = (
        "Can the data be trusted?",
        "Needs attention warning One household",
        "Plots Load curve",
        "Tables Households",
    )
    order += ("Record accounting Counted", "Steps 3 of 3", "All metrics", "What is proven How", "Artifacts 4")
    places = [text.index(part) for part in (*order, "Provenance Sources", "beside this page as JSON")]
    assert places == sorted(places)


def test_the_data_are_assessed_apart_from_the_run(tmp_path: Path):
    folder = good_run(tmp_path)
    assert "energy-pipeline success data: warn" in page_of(folder).text
    ended(folder, "collect", (0.5, 1), records=Records(read=100, accepted=1, rejected=99))
    text = page_of(folder).text
    assert "energy-pipeline success data: fail" in text
    assert "✗ Records Collect meter data: 1 of 100 accepted, 99 rejected." in text


def test_no_metric_is_shown_twice_and_units_read_well(tmp_path: Path):
    folder = good_run(tmp_path)
    summary = {"energy_kwh": 203.456, "interval_seconds": 3600, "mean_kw": 1_879_672.5, "rejected_by_reason": {"a": 1}}
    ended(folder, "describe", (3, 4), summary=summary)
    text = page_of(folder).text
    assert text.count("203 kWh") == 1
    assert "Interval 60 min Mean 1,880 MW" in text
    assert list(metrics_by_step(build_report(folder, now=NOW)))[1][1] == [("Interval", "60 min"), ("Mean", "1,880 MW")]


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        (("peak_kw", 28.377), ("Peak", "28.4 kW")),
        (("interval_seconds", 90), ("Interval (s)", "90")),
        (("step_seconds", 1.25), ("Step (s)", "1.25")),
        (("not_assessed", 104.58), ("Not assessed (ha)", "104.58")),
        (("peak_at", "2026-01-02T17:45:00Z"), ("Peak at", "2026-01-02 18:45")),
    ],
)
def test_a_metric_has_the_unit_that_reads_well(metric, shown):
    assert measure(*metric, timezone(timedelta(hours=1))) == shown


def test_times_of_a_page_are_of_one_zone_that_is_named_once(tmp_path: Path):
    report = build_report(good_run(tmp_path), now=NOW)
    overview = report.overview.model_copy(update={"timezone": "Europe/Berlin"})
    local = report.model_copy(update={"overview": overview})
    text = Page(render_html(local, tmp_path)).text
    assert zone_of(local).utcoffset(NOW.replace(tzinfo=None)) == timedelta(hours=1)
    assert "Data from 2026-02-28 01:00 to 2026-03-01 01:00 . Times are local (Europe/Berlin)." in text
    assert "UTC" not in text


def test_artifacts_are_links_beside_the_page(tmp_path: Path):
    links = [link["href"] for link in page_of(good_run(tmp_path)).all("a")]
    assert {"files/energy_data.csv", "files/plot_load_curve.png"} <= set(links)


@pytest.mark.parametrize("path", ["../x", "a/../b", "/etc/passwd", "", "a//b"])
def test_a_path_that_leaves_the_folder_is_no_link(path):
    assert file_link(path) is None


def test_parameters_without_effect_are_only_named(tmp_path: Path):
    report = build_report(good_run(tmp_path), now=NOW)
    overview = report.overview.model_copy(update={"unused_params": ("households",)})
    text = Page(render_html(report.model_copy(update={"overview": overview}), tmp_path)).text
    assert "high_usage_kw 5" in text
    assert "Not set, or without effect on this run: households , files ." in text


def test_plots_stand_in_the_order_of_the_overview_without_those_it_leaves_out(tmp_path: Path):
    folder = good_run(tmp_path)
    names = ("plot_a.png", "plot_b.png", "plot_c.png")
    ended(folder, "analyze", (1, 3), outputs=[artifact(folder, name, tiny_png()) for name in names])
    report = build_report(folder, now=NOW)
    overview = report.overview.model_copy(update={"lead_plots": names[2:], "left_out_plots": names[:1]})
    report = report.model_copy(update={"overview": overview})
    assert [plot.artifact.path for plot in ordered_plots(report, folder.files)] == ["plot_c.png", "plot_b.png"]


def test_tables_of_earlier_steps_are_folded(tmp_path: Path):
    folder = good_run(tmp_path)
    table = {"title": "Late", "columns": ["a"], "rows": [["b"]]}
    ended(folder, "describe", (3, 4), summary={"tables": [table]})
    tables = shown_tables(build_report(folder, now=NOW))
    assert [(shown.title, is_open) for shown, is_open in tables] == [("Households", False), ("Late", True)]


def test_a_long_table_is_folded(tmp_path: Path):
    folder = good_run(tmp_path)
    tables = [{"title": f"{count} rows", "columns": ["id"], "rows": [[1]] * count} for count in (26, 27)]
    ended(folder, "describe", (3, 4), summary={"tables": tables})
    shown = shown_tables(build_report(folder, now=NOW))
    assert [(table.title, is_open) for table, is_open in shown[-2:]] == [("26 rows", True), ("27 rows", False)]


def test_the_input_files_are_named_at_the_top(tmp_path: Path):
    folder = good_run(tmp_path)
    report = build_report(folder, now=NOW)
    sources = [FileRecord(path=f"source/{name}.csv", sha256="0" * 64, bytes=1) for name in "abcde"]
    provenance = report.provenance.model_copy(update={"sources": sources})
    page = render_html(report.model_copy(update={"provenance": provenance}), folder.files)
    top = re.sub(r"<[^>]+>", "", page[page.index('class="facts"') : page.index("<nav")])
    assert "Input: a.csv, b.csv, c.csv and 2 more files." in top


def test_a_long_identifier_is_shortened():
    assert (short("a" * 13), short("a" * 14)) == ("a" * 13, "a" * 12 + "…")


def test_what_is_proven_is_a_table_headed_by_what_is_not(tmp_path: Path):
    text = section(proven_run(tmp_path))
    assert text.startswith(
        "The content of model.bin was not checked: no check knows the format. "
        "Not all of energy_data.csv could be recomputed. Samples were drawn after each step had ended;"
    )
    table = text.partition("values sampled ")[2].partition(" What the columns mean")[0]
    assert table == (
        "model.bin not checked ✓ – – – – – – "
        "energy_data.csv partly ✓ ✓ – – – – – Not checked: it states no seed. "
        "energy_records.parquet ✓ ✓ – – ✓ ✓ ✓ Sampled: anomalies of 2 households. Drawn: 2 H2, H7 "
        "Recomputed: 1 records. "
        "output1.json ✓ ✓ – – – – –"
    )
    for word, meaning in zip(WORDS.values(), MEANINGS.values(), strict=True):
        assert f"{word} {meaning}" in text.partition("What the columns mean")[2]


def test_an_audited_run_says_so(tmp_path: Path):
    assert "audited" not in page_of(proven_run(tmp_path)).text
    page = page_of(proven_run(tmp_path, audit=True)).text
    assert "audited: all recomputed." in page
    assert "This run was audited: nothing was left to a sample" in page
    assert "Samples were drawn" not in page


def test_a_run_of_version_0_1_0_says_that_proofs_were_not_recorded(tmp_path: Path):
    text = section(good_run(tmp_path))
    assert text.startswith(
        "How far energy_data.csv , output1.json , plot_load_curve.png , energy_report.csv are proven was not recorded"
    )
    assert "✓" not in text


def test_isolation_and_files_of_stores_are_provenance(tmp_path: Path):
    text = page_of(proven_run(tmp_path)).text
    assert "Isolation our own function in the worker Collect meter data duckdb" in text.replace("python 3.11.9 ", "")
    assert "imagery/scene.tif 7 B efefefefefef…" in text


def test_a_table_with_short_rows_and_gaps_stays_a_table(tmp_path: Path):
    folder = good_run(tmp_path)
    table = {"title": "Uneven", "columns": ["name", "peak_kw", "note"], "rows": [["a", 1.25], ["b", None, "x" * 40]]}
    ended(folder, "describe", (3, 4), summary={"tables": [table, table | {"title": "Empty", "rows": []}]})
    text = page_of(folder).text
    assert f"Name Peak (kW) Note a 1.25 – b – {'x' * 40}" in text
    assert "Empty No rows." in text


def test_a_failure_stands_before_the_steps(tmp_path: Path):
    folder = good_run(tmp_path)
    broke(
        folder, "analyze", (1, 3), "contract", "output1.json: must not be empty", log_url="https://airflow/log?x=1&y=2"
    )
    page = page_of(folder)
    assert page.text.index("Failed at Analyze meter data") < page.text.index("Collect meter data")
    assert "output1.json: must not be empty" in page.text
    assert {"href": "https://airflow/log?x=1&y=2", "rel": "noopener noreferrer"} in page.all("a")


def test_a_run_without_anything_says_so_in_words(tmp_path: Path):
    text = page_of(RunFolder.of(tmp_path, "energy_pipeline", "manual__1")).text
    for part in (
        *("no step is known", "No step has produced metrics.", "No accepted step has counted records."),
        *("No artifact has been accepted.", "The run has no parameters."),
        "The run had no input files.",
    ):
        assert part in text


def test_plots_are_inside_the_page_and_described(tmp_path: Path):
    (picture,) = page_of(good_run(tmp_path)).all("img")
    assert (picture["src"] or "").startswith("data:image/png;base64,iVBOR")
    assert "Load curve" in (picture["alt"] or "")


def test_a_plot_that_is_gone_or_changed_is_missing_in_words(tmp_path: Path):
    folder = good_run(tmp_path)
    (folder.files / "plot_load_curve.png").write_bytes(tiny_png() + b"more")
    changed = page_of(folder)
    assert not changed.all("img")
    assert "plot_load_curve.png has changed since it was accepted" in changed.text
    (folder.files / "plot_load_curve.png").unlink()
    assert "plot_load_curve.png is no longer in the run's folder" in page_of(folder).text


def test_a_huge_plot_stays_out_of_the_page(tmp_path: Path):
    folder = good_run(tmp_path)
    huge = artifact(folder, "plot_huge.png", b"\x89PNG" + bytes(9 * 1024 * 1024))
    ended(folder, "describe", (3, 4), outputs=[huge])
    page = page_of(folder)
    assert len(page.all("img")) == 1
    assert "plot_huge.png is too large to be shown here (9.0 MiB)" in page.text


def test_a_page_is_structured_for_those_who_cannot_see_it(tmp_path: Path):
    page = page_of(good_run(tmp_path))
    assert page.all("html") == [{"lang": "en"}]
    assert [len(page.all(tag)) for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert all(section["aria-labelledby"] in ids for section in page.all("section"))
    assert all(head["scope"] in ("col", "row") for head in page.all("th"))


def test_a_failure_links_to_the_runbook_where_it_has_an_address(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    plan(folder)
    broke(folder, "collect", (1, 2), "contract", "energy_data.csv: must not be empty")

    def links():
        get_settings.cache_clear()
        return [link["href"] for link in page_of(folder).all("a") if "runbook" in str(link.get("href"))]

    assert links() == []
    monkeypatch.setenv("GROUNDTRUTH_RUNBOOK_URL", "https://git.example.org/docs/runbook")
    assert links() == ["https://git.example.org/docs/runbook/contract.md"]
    monkeypatch.undo()
    get_settings.cache_clear()


def hostile_run(path: Path, text: str) -> RunFolder:
    """A run in which every text that can come from data is `text`."""
    folder = RunFolder(path / "run")
    steps = [{"id": name, "title": text, "description": text} for name in ("collect", "analyze")]
    plan(
        folder,
        pipeline=text,
        dag_id=text,
        run_id=text,
        runtime=text,
        params={text: text, "nested": {text: [text]}},
        steps=steps,
    )
    summary = {
        text: text,
        "nested": {text: [text, {text: text}]},
        "findings": [{"severity": "error", "message": text}],
        "tables": [{"title": text, "columns": [text, text], "rows": [[text, text]]}],
        "proofs": [
            {
                "artifact": "x.png" if "\0" in text else text + ".png",
                "recomputed": text,
                "sampled": text,
                "draw": [text],
                "not_checked": text,
            }
        ],
    }
    ended(
        folder,
        "collect",
        (1, 2),
        title=text,
        description=text,
        command=text,
        image=text,
        log_url=text,
        summary=summary,
        versions={text: text},
        params={text: text},
        records=Records(read=1, accepted=0, rejected=1, rejected_by_reason={text: 1}),
        isolation=text,
        stored=[{"path": text, "sha256": text, "bytes": 1}],
        outputs=[
            artifact(folder, "plot_a.png", tiny_png()).model_copy(
                update={"path": "x.png" if "\0" in text else text + ".png"}
            )
        ],
    )
    broke(folder, "analyze", (2, 3), "error", text, hint=text, title=text, log_url=f"javascript:{text}")
    ended(folder, "publish", (3, 4), summary={"published": text, "key": text})
    return folder


def assert_harmless(html: str) -> None:
    page = Page(html)
    assert page.scripts == [str(script())], "the page's own, and nothing else"
    assert {tag for tag, _ in page.tags} <= KNOWN_TAGS
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        href = attributes.get("href") or ""
        assert href in ("", "data:,") or urlsplit(href).scheme in ("", "http", "https")
    assert all((picture["src"] or "").startswith("data:image/png;base64,") for picture in page.all("img"))


KNOWN_TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "header",
        "main",
        "footer",
        "section",
        "h1",
        "h2",
        "h3",
        "nav",
        "caption",
        "script",
    ),
    *("p", "span", "b", "code", "a", "time", "dl", "dt", "dd", "div", "ol", "ul", "li", "figure", "figcaption", "img"),
    *("table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
}


def test_text_from_data_never_becomes_markup(tmp_path: Path):
    folder = hostile_run(tmp_path, HOSTILE)
    html = render_html(build_report(folder, now=NOW), folder.files)
    assert_harmless(html)
    assert HOSTILE in "".join(Page(html).words), "it is shown as it is"


@settings(deadline=None, max_examples=25)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=30))
def test_no_text_breaks_the_page(tmp_path_factory, text: str):
    folder = hostile_run(tmp_path_factory.mktemp("hostile"), text)
    report = build_report(folder, now=NOW)
    assert_harmless(render_html(report, folder.files))
    assert PipelineReport.model_validate_json(report.model_dump_json()) == report


def test_the_page_forbids_itself_to_load_anything_and_to_run_any_other_script(tmp_path: Path):
    policy = next(meta for meta in page_of(good_run(tmp_path)).all("meta") if meta.get("http-equiv"))
    assert "default-src 'none'" in (policy["content"] or "")
    assert f"script-src {script_source()};" in (policy["content"] or "")


@pytest.mark.parametrize(
    "url", ["https://airflow.example/log", "http://127.0.0.1:8080/x?y=1", "/dags/a/runs/b", "log.txt"]
)
def test_links_that_open_a_page_are_kept(url: str):
    assert safe_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " javascript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
        ),
        *("//evil.example", "/\\evil.example", "\\\\evil", "vbscript:x", "file:///etc/passwd", "https:///x", ""),
    ],
)
def test_links_that_could_do_something_else_are_dropped(url: str):
    assert safe_link(url) is None


@pytest.mark.parametrize(
    ("shown", "as_text"),
    [
        (value(None), "–"),
        (value(0), "0"),
        (value(0.0), "0"),
        (value(230.0), "230"),
        (value("2026-03-01T11:15:00Z"), "2026-03-01 11:15 UTC"),
        (value("2026-03-01T11:15:30Z"), "2026-03-01 11:15:30 UTC"),
        (value(True), "yes"),
        (value(1234567), "1,234,567"),
        (value(0.98765432), "0.9877"),
        (value(float("nan")), "nan"),
        (value({"late_records": 3, "all": [1, 2]}), "late records 3, all 1, 2"),
        (", ".join(column([1, 23.4567, None, True, "x"])), "1.00, 23.46, –, yes, x"),
        (", ".join(column([float("nan"), 1.5])), "nan, 1.5"),
        (", ".join(column([1, 2000])), "1, 2,000"),
        (", ".join(column([0, 119.8], 2)), "0.00, 119.80"),
        (words("Self-consumption (kWh)"), "Self-consumption (kWh)"),
        (words("records_outside_window"), "Records outside window"),
        (words("peak_kw"), "Peak (kW)"),
        (words("kwh"), "Kwh"),
        (seconds(0.04), "0.04 s"),
        (seconds(61), "1 min 01 s"),
        (size(0), "0 B"),
        (size(5 * 1024**3), "5.0 GiB"),
    ],
)
def test_values_are_formatted(shown: str, as_text: str):
    assert shown == as_text


def test_units_and_labels_come_from_the_domains():
    assert (words("energy_kwh"), words("cnn_accuracy"), words("ndvi")) == ("Energy (kWh)", "CNN accuracy", "NDVI")


def test_money_has_two_decimals():
    table = Table(title="Cost", columns=("Month", "Total (EUR)"), rows=(("2026-01", 119.8), ("2026-02", 3)))
    assert grid(table)[1] == [["2026-01", "119.80"], ["2026-02", "3.00"]]


def test_an_instant_has_its_zone():
    assert (instant(NOW), instant(None)) == ("2026-03-01 06:10 UTC", "–")


def test_the_columns_of_a_table_are_classified_and_its_cells_are_text():
    table = Table(title="T", columns=("name", "kwh", "note"), rows=(("a", 1.5, "x" * 30), ("b", None, "y")))
    assert grid(table) == (["s", "n", ""], [["a", "1.5", "x" * 30], ["b", "–", "y"]])


def test_the_first_folder_that_has_a_template_wins_and_values_are_escaped(tmp_path: Path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "both.j2").write_text(name)
    (tmp_path / "second" / "own.j2").write_text("{{ text }}")
    environment = template_environment(tmp_path / "first", tmp_path / "second")
    assert environment.get_template("both.j2").render() == "first"
    assert environment.get_template("own.j2").render(text="<b>") == "&lt;b&gt;"


def test_a_plot_has_the_title_that_its_step_states(tmp_path: Path):
    folder = good_run(tmp_path)
    outputs = [artifact(folder, "plot_load_curve.png", tiny_png()), artifact(folder, "plot_daily_load.png", tiny_png())]
    summary = {"plots": [{"path": "plot_load_curve.png", "title": "Mean load by hour"}]}
    ended(folder, "analyze", (1, 3), outputs=outputs, summary=summary)
    report = build_report(folder, now=NOW)
    assert [plot.title for plot in plots(report, folder.files)] == ["Mean load by hour", "Daily load"]
    assert "Mean load by hour" in page_of(folder).text


def test_the_page_states_what_the_data_are(tmp_path: Path):
    folder = good_run(tmp_path)
    ended(folder, "collect", (0.5, 1), summary={"synthetic": True, "provenance": {"seed": "7"}})
    assert "Data of Collect meter data Synthetic or simulated yes seed 7" in page_of(folder).text


# ── in a browser ─────────────────────────────────────────────────────────────────────────────────────────────────────


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser():
    executable = find_chromium()
    if executable is None:
        message = "no Chromium: install it (Debian: apt-get install chromium)"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("kind", ["good", "proven", "failed", "hostile"])
def test_a_browser_loads_nothing_else_and_has_no_complaint(browser, tmp_path: Path, kind: str, width: int):
    make = {"hostile": lambda path: hostile_run(path, HOSTILE), "proven": proven_run}.get(kind, good_run)
    folder = make(tmp_path)
    if kind == "failed":
        started(folder, "describe", 5, attempt=2)
    _, path = write_report(folder, build_report(folder, now=NOW))
    requests, complaints = [], []
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append("a script ran"))
    page.goto(path.as_uri())
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out of the page"
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.close()


@pytest.fixture
def charted(tmp_path: Path) -> Path:
    """The page of a run with two charts, bars, and a table of eight rows."""
    folder = good_run(tmp_path)
    rows = [[f"H{number}", number * 1.5] for number in (3, 1, 20, 4, 5, 6, 7, 8)]
    ended(folder, "describe", (3, 4), summary={"tables": [{"title": "Homes", "columns": ["id", "kwh"], "rows": rows}]})
    start = NOW.replace(hour=0, minute=0).timestamp()
    panels = tuple(
        Panel(f"H{number} <b>", start, 900, (Line("power", [float(number + place % 9) for place in range(960)]),))
        for number in (1, 100)
    )
    power = LineChart("power", "Power over time", "kW", "time", panels)
    bars = BarChart("energy", "Energy by day", "kWh", ("2026-03-01", "2026-03-02"), (5.0, 7.0), "Day")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("include.reporting.html.charts_of", lambda *_: Charts((power, power, bars)))
        _, path = write_report(folder, build_report(folder, now=NOW))
    return path


@pytest.mark.browser
def test_charts_answer_to_meters_periods_keys_and_downloads(browser, charted: Path):
    page = browser.new_page(viewport={"width": 1000, "height": 900}, accept_downloads=True)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(charted.as_uri())
    figure = page.locator("figure.chart").first
    assert figure.locator("svg.still").is_hidden()
    assert figure.locator("canvas").is_visible()

    def rows() -> int:
        with page.expect_download() as download:
            figure.get_by_role("button", name="Download CSV").click()
        return len(download.value.path().read_text().splitlines()) - 1

    assert rows() == 960
    figure.get_by_role("button", name="Show a day").click()
    assert rows() == 97
    figure.locator(".live").press("+")
    assert rows() == 49
    figure.locator("select").select_option("1")
    assert rows() == 49, "the period stays"
    assert "H100 <b>, in kW" in (figure.locator(".live").get_attribute("aria-label") or "")
    figure.locator(".values summary").click()
    assert figure.locator(".values tbody tr").count() == 49
    figure.locator(".live").press("Home")
    assert rows() == 960
    box = figure.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    assert " kW" in figure.locator(".readout").inner_text()
    assert complaints == []
    page.close()


@pytest.mark.browser
def test_a_map_zooms_by_keys_and_chooses_a_series(browser, tmp_path: Path):
    folder = good_run(tmp_path)
    lines = (Line("power", [1.0, 2.0]),)
    panels = tuple(Panel(name, NOW.timestamp(), 900, lines) for name in ("A", "B"))
    places = {"A": 5.0, "B": 5.1, "C": 5.2}
    areas = [Area(name, "good", [[[x, 50], [x + 0.1, 50], [x + 0.1, 50.1], [x, 50]]]) for name, x in places.items()]
    charts = (
        MapChart("map", "Where", {"good": "plain"}, areas, chooses="power"),
        LineChart("power", "Power", "kW", "time", panels),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("include.reporting.html.charts_of", lambda *_: Charts(charts, leading=2))
        _, path = write_report(folder, build_report(folder, now=NOW))
    page = browser.new_page(viewport={"width": 1000, "height": 1400})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    figure, choice = page.locator("figure.map"), page.locator("figure[data-name=power] select")
    figure.locator("a[data-label=B] path").click()
    assert choice.evaluate("choice => choice.selectedOptions[0].text") == "B"
    choice.select_option(label="A")
    assert figure.locator(".readout").inner_text() == "A: good"
    figure.locator("a[data-label=C] path").click()
    assert "not among those of this page" in figure.locator(".readout").inner_text()
    areas_drawn = figure.locator(".areas")
    areas_drawn.press("+")
    assert areas_drawn.get_attribute("viewBox") == "250 140 500 280"
    areas_drawn.press("ArrowLeft")
    assert areas_drawn.get_attribute("viewBox") == "150 140 500 280"
    areas_drawn.press("Home")
    assert areas_drawn.get_attribute("viewBox") == "0 0 1000 560"
    assert complaints == []
    page.close()


@pytest.mark.browser
def test_tables_sort_and_filter(browser, charted: Path):
    page = browser.new_page()
    page.goto(charted.as_uri())
    table = page.locator("table.data", has_text="H20")
    first = table.locator("tbody tr:not([hidden]) th").first
    table.get_by_role("button", name="Kwh").click()
    assert first.inner_text() == "H1"
    table.get_by_role("button", name="Kwh").click()
    assert first.inner_text() == "H20"
    page.get_by_role("searchbox", name="Filter rows of Homes").fill("h4")
    assert table.locator("tbody tr:visible").count() == 1
    page.close()


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """The page of a run with a table of sixteen columns."""
    folder = good_run(tmp_path)
    columns = ["id", *(f"Energy of month {number} (kWh)" for number in range(1, 16))]
    rows = [[f"87169000000000{number}", *(1234.567 * number for _ in range(15))] for number in range(1, 4)]
    ended(folder, "describe", (3, 4), summary={"tables": [{"title": "Homes", "columns": columns, "rows": rows}]})
    _, path = write_report(folder, build_report(folder, now=NOW))
    return path


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_columns_of_a_wide_table_that_do_not_fit_wait_in_a_chooser(browser, wide: Path, width: int):
    page = browser.new_page(viewport={"width": width, "height": 800}, accept_downloads=True)
    page.goto(wide.as_uri())
    table = page.locator("table.data", has_text="871690000000001")
    shown = table.locator("thead th:visible").count()
    assert 3 <= shown < 16
    if width > 1000:
        assert table.evaluate("table => table.parentElement.scrollWidth <= table.parentElement.clientWidth")
    chooser = page.locator("details.chooser")
    assert chooser.locator("summary").inner_text() == f"Columns: {shown} of 16"
    chooser.locator("summary").click()
    chooser.get_by_label("Energy of month 15 (kWh)").check()
    assert table.locator("thead th:visible").count() == shown + 1
    assert table.locator("tbody tr").first.locator("td:visible").count() == shown
    with page.expect_download() as download:
        page.locator(".tools", has=chooser).get_by_role("button", name="Download CSV").click()
    assert download.value.path().read_text().splitlines()[0].count(",") == 15, "the file holds all columns"
    page.close()


@pytest.mark.browser
def test_a_table_of_few_columns_shows_them_all_on_a_phone(browser, tmp_path: Path):
    folder = good_run(tmp_path)
    columns = ["Month", *(f"Column {number} (kWh)" for number in range(5))]
    table = {"title": "Cost", "columns": columns, "rows": [["2026-01", *(1234.5 for _ in range(5))]]}
    ended(folder, "describe", (3, 4), summary={"tables": [table]})
    _, path = write_report(folder, build_report(folder, now=NOW))
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(path.as_uri())
    assert page.locator("table.data", has_text="2026-01").locator("thead th:visible").count() == 6
    assert page.locator("details.chooser").count() == 0
    page.close()


@pytest.mark.browser
def test_paper_shows_all_columns_of_a_wide_table(browser, wide: Path):
    page = browser.new_page(viewport={"width": 700, "height": 990})
    page.goto(wide.as_uri())
    page.emulate_media(media="print")
    table = page.locator("table.data", has_text="871690000000001")
    assert table.locator("thead th:visible").count() == 16
    assert table.evaluate("table => table.getBoundingClientRect().right <= innerWidth")
    page.close()


@pytest.mark.browser
def test_without_a_script_and_on_paper_the_drawings_show(browser, charted: Path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(charted.as_uri())
    assert page.locator("figure.chart svg.still:visible").count() == 3
    assert page.locator("canvas").count() == 0
    context.close()
    page = browser.new_page()
    page.goto(charted.as_uri())
    page.emulate_media(media="print")
    assert page.locator("figure.chart svg.still:visible").count() == 3
    assert page.locator("canvas:visible").count() == 0
    page.close()


def test_a_segment_of_a_path_cannot_leave_its_place():
    assert segment("../a b?c=1&d#é") == "..%2Fa%20b%3Fc%3D1%26d%23%C3%A9"


def test_a_page_shows_the_first_rows_of_what_is_very_long(tmp_path: Path) -> None:
    folder = good_run(tmp_path)
    rows = [[number, "cell"] for number in range(5000)]
    findings = [{"severity": "info", "message": f"finding {number}"} for number in range(5000)]
    summary = {"tables": [{"title": "Long", "columns": ["a", "b"], "rows": rows}], "findings": findings}
    ended(folder, "describe", (3, 4), summary=summary)
    html = render_html(build_report(folder, now=NOW), folder.files)
    assert "The first 1,000 of 5,000 are shown" in html
    assert html.count("The first 1,000 of 5,000 are shown") == 2, "of the table and of the remarks"
    assert html.count(">cell<") == 1000
    assert "finding 999 " in html
    assert "finding 1000 " not in html


def test_a_plot_that_grew_since_is_not_read_to_its_end(tmp_path: Path) -> None:
    folder = good_run(tmp_path)
    with (folder.files / "plot_load_curve.png").open("r+b") as file:
        file.truncate(20 * 10**9)
    assert "has changed since it was accepted" in render_html(build_report(folder, now=NOW), folder.files)
