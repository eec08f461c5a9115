"""What pages show of a command is what it prints; `tests/e2e/test_documented_commands.py` runs what needs Airflow."""

import re
import shlex

import pytest

from tests.docs.example_files import write_files
from tests.docs.transcripts import ALL, ELSEWHERE, IN_A_CHECKOUT, IN_PROCESS, ROOT, Shown, first_difference
from tests.in_process import call_pipeline


def test_every_command_of_every_page_is_tried_or_says_what_it_needs():
    ways = [IN_PROCESS, *IN_A_CHECKOUT, *ELSEWHERE]
    assert [str(shown) for shown in ALL if not any(re.search(way, str(shown)) for way in ways)] == []
    assert [way for way in ways if not any(re.search(way, str(shown)) for shown in ALL)] == []


@pytest.mark.parametrize("shown", [shown for shown in ALL if re.search(IN_PROCESS, shown.command)], ids=str)
def test_a_command_prints_what_its_page_shows(shown: Shown, tmp_path, monkeypatch, data_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write_files(shown, tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    words = shlex.split(shown.command)[1:]
    ended = call_pipeline(*words)
    assert first_difference(shown.output, ended.stdout + ended.stderr) is None, ended.stdout + ended.stderr
    asks = 3
    assert ended.code in ((1,) if "cannot be run" in shown.output else (0, asks)), ended.stderr


def test_numbers_times_and_line_breaks_are_no_difference_and_words_are():
    shown = "step   seconds\n ──────\n…\nfound 3 at 2026-01-01T00:00:00Z\n"
    assert first_difference(shown, "step seconds\n ───\n 1  2\nfound\n12 at 2027-02-03T04:05:06Z") is None
    assert first_difference(shown, "step seconds\n ───\nlost 3 at 2026-01-01T00:00:00Z") == "found 0 at 0"
    assert first_difference("a…b", "b then a") == "b"
