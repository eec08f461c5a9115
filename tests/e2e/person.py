"""What a person does in Airflow's UI, in a real browser."""

from __future__ import annotations

import json
import re
import time
from contextlib import contextmanager
from pathlib import Path

from tests.prerequisites import need
from tests.reporting.test_html import find_chromium

WIDTH, HEIGHT = 1440, 900
LARGEST_PICTURE = 250_000

COLOUR = """([square, wanted]) => {
    const badge = document.getElementById(square)?.querySelector('[data-testid=task-state-badge]')
    if (!badge) return false
    const canvas = document.createElement('canvas').getContext('2d')
    canvas.fillStyle = getComputedStyle(badge).backgroundColor
    canvas.fillRect(0, 0, 1, 1)
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data
    const seen = green > 1.5 * Math.max(red, blue) ? 'green'
        : red > 2.5 * Math.max(green, blue) ? 'red' : red > green && green > 1.5 * blue ? 'orange' : 'other'
    return seen === wanted
}"""
"""What a square of the grid looks like; Airflow says its colour in a way that no test should spell out."""


@contextmanager
def chromium():
    """The browser."""
    executable = find_chromium()
    need(executable, "Chromium", "install it (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


class Person:
    """Somebody at Airflow's UI.

    Args:
        browser: What they use.
        address: Airflow's.
        pictures: A folder for pictures of what they see, or None: none are taken.
    """

    def __init__(self, browser, address, pictures=None):
        self.address, self.pictures = address, pictures
        self.page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        self.page.set_default_timeout(90_000)

    def open(self, path):
        """Go to a page; Chromium gives up where a container's network interface comes or goes meanwhile."""
        from playwright.sync_api import Error

        for last in (False, False, True):
            try:
                self.page.goto(self.address + path)
            except Error as error:
                if last or "ERR_NETWORK_CHANGED" not in error.message:
                    raise
            else:
                break
        return self.page

    def log_in(self, user, password):
        """On FAB's page, which is where Airflow sends who is not logged in."""
        self.open("/")
        self.page.wait_for_url("**/auth/login/**")
        self.page.fill("input[name=username]", user)
        self.page.fill("input[name=password]", password)
        self.page.get_by_role("button", name="Sign In").click()

    def form(self, dag):
        """The form to trigger a DAG, or to backfill it."""
        self.open(f"/dags/{dag}")
        self.page.get_by_test_id("trigger-dag-button").click()
        return Form(self.page)

    def square(self, run, task):
        """That of a task in the grid."""
        return self.page.get_by_test_id(f"grid-{run}-{task}")

    def sees_in_grid(self, colour, run, task, seconds=180):
        """Watch the grid until that square is green, red or orange."""
        self.page.wait_for_function(COLOUR, arg=[f"grid-{run}-{task}", colour], timeout=seconds * 1000)

    def sees_state(self, state, seconds=60):
        """Wait until the head of the page says so of its run or task."""
        badge = self.page.get_by_test_id("header-card").get_by_test_id("state-badge").filter(has_text=state)
        badge.wait_for(timeout=seconds * 1000)

    def frame(self, part):
        """The frame whose address ends like this, loaded."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for frame in self.page.frames[1:]:
                if frame.url.endswith(part):
                    frame.wait_for_load_state()
                    return frame
            self.page.wait_for_timeout(100)
        raise AssertionError(f"no frame {part} among {[frame.url for frame in self.page.frames]}")

    def widen_grid(self, pixels):
        """Pull the edge between the grid and the rest."""
        edge = self.page.locator("[data-panel-resize-handle-id]").first.bounding_box()
        x, y = edge["x"] + edge["width"] / 2, edge["y"] + 40
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + pixels, y, steps=5)
        self.page.mouse.up()

    def dark(self, yes=True):
        """Airflow's colour mode, from the next page on."""
        self.page.evaluate(f"localStorage.setItem('theme', '{'dark' if yes else 'light'}')")

    def picture(self, name, *, height=HEIGHT):
        """Keep what is seen, where pictures are asked for."""
        if self.pictures is None:
            return
        self.page.set_viewport_size({"width": WIDTH, "height": height})
        self.page.mouse.move(WIDTH - 1, height - 1)
        self.page.wait_for_timeout(1500)
        path = Path(self.pictures, f"{name}.png")
        self.page.screenshot(path=path)
        fewer_colours(path)
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        assert path.stat().st_size < LARGEST_PICTURE, f"{path} has {path.stat().st_size} bytes"


class Form:
    """The dialog that triggers a DAG, or backfills it."""

    def __init__(self, page):
        self.page = page
        self.dialog = page.locator("[data-scope=dialog][role=dialog][data-state=open]")
        self.dialog.wait_for()

    def section(self, title):
        """Open a section; it closes the one before."""
        item = self.dialog.locator("[data-scope=accordion][data-part=item]").filter(
            has=self.page.get_by_role("button", name=title, exact=True)
        )
        while item.get_attribute("data-state") != "open":  # a click is lost while the form is still being made
            item.locator("[data-part=item-trigger]").click()
            self.page.wait_for_timeout(500)

    def field(self, name):
        """The row of a parameter, by its label."""
        label = re.compile(rf"^{re.escape(name.replace('_', ' '))}\s*\*?\s*$")
        return self.dialog.locator("[data-scope=field][data-part=root]").filter(
            has=self.page.locator("label", has_text=label)
        )

    def fill(self, section, **values):
        """Give parameters of a section other values."""
        self.section(section)
        for name, value in values.items():
            field = self.field(name)
            field.scroll_into_view_if_needed()
            there = field.locator("input, textarea, .monaco-editor").or_(field.get_by_test_id("datetime-input"))
            there.first.wait_for(state="attached")  # an editor comes later than the rest
            if field.get_by_test_id("datetime-input").count():
                self._pick(field.get_by_test_id("datetime-input"), value)
            elif field.locator(".monaco-editor").count():
                self._write(field.locator(".monaco-editor"), json.dumps(value))
            elif field.get_by_role("combobox").count():
                field.get_by_role("combobox").fill(value)
                self.page.keyboard.press("Enter")
            elif field.locator("input[type=checkbox]").count():
                if field.locator("input[type=checkbox]").is_checked() is not value:
                    field.locator("[data-scope=switch][data-part=control]").click()
            elif field.locator("textarea").count():
                field.locator("textarea").fill("\n".join(value))
            else:
                field.locator("input").fill(str(value))
                self.page.keyboard.press("Tab")

    def dates(self, first, last):
        """Make a backfill of it, from one day to another."""
        self.dialog.get_by_text("Backfill", exact=True).click()
        inputs = self.dialog.get_by_test_id("datetime-input")
        self._pick(inputs.nth(0), first)
        self._pick(inputs.nth(1), last)

    def configuration(self):
        """Open what will be sent."""
        self.section("Advanced Options")

    def trigger(self, run):
        """Send it, as a run of that name."""
        self.section("Advanced Options")
        self.dialog.locator("input[name=dagRunId]").fill(run)
        self.dialog.get_by_role("button", name="Trigger", exact=True).click()
        self.page.wait_for_url(f"**/runs/{run}**")

    def backfill(self):
        """Send it with its parameters: Airflow 3.3 keeps those of a backfill's form to itself unless this is ticked."""
        self.dialog.get_by_text("Override parameters on existing runs").click()
        self.dialog.get_by_role("button", name="Run Backfill", exact=True).click()
        self.dialog.wait_for(state="hidden")

    def _pick(self, opener, moment):
        """A date and time, `2026-10-01T00:00`, in the zone that the UI shows (UTC)."""
        opener.click()
        picker = self.page.locator("[data-scope=popover][data-part=content][data-state=open]")
        date, time_of_day = moment[:16].split("T")
        picker.get_by_placeholder("YYYY/MM/DD").fill(date.replace("-", "/"))
        picker.get_by_placeholder("HH:mm").fill(time_of_day)
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Escape")
        picker.wait_for(state="hidden")

    def _write(self, editor, text):
        """Key by key, and no JSON before the last of them: the form lays out anew whatever it can read."""
        editor.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        editor.locator(".view-line", has_text=f"{text[0]}{text[-1]}").wait_for()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.press("Backspace")
        self.page.keyboard.type(text[1:])


def fewer_colours(path):
    """The same picture with a palette: a third of the bytes."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
