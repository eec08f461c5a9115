"""What the soak counts and reports; the soak itself is `make soak`."""

import json
from types import SimpleNamespace

import pytest

from tools import soak

RUN = "load-000"


class FakeStack:
    """A stack with runs of one task in a folder; nothing runs."""

    def __init__(self, folder, tries=1):
        self.folder, self.tries = folder, tries

    def tasks(self, run):
        return [{"task_id": step, "try_number": self.tries} for step in soak.STEPS]

    def run_folder(self, run):
        return self.folder / run

    def report(self, run):
        return json.loads((self.folder / run / "pipeline_report_1.json").read_text())


@pytest.fixture
def stack(tmp_path):
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / "pipeline_report_1.json").write_text('{"overall_status": "success"}')
    return FakeStack(tmp_path)


def seen(left=(), **times):
    """Each step of the run got one container, but for those that are named."""
    named = {name.replace("_", "-"): count for name, count in times.items()}
    created = {(RUN, step): named.get(step, 1) for step in soak.STEPS}
    return SimpleNamespace(created=created, left=lambda: list(left))


def test_a_run_whose_steps_ran_once_is_right(stack, capsys):
    assert soak.check_runs(stack, seen(), {RUN: "success"}, 1) == []
    assert "| runs that succeeded | 1 of 1 |\n| steps | 3 |\n| containers created | 3 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("watched", "state", "fault"),
    [
        (seen(), "failed", "load-000 ended as failed"),
        (seen(energy_analyzer=2), "success", "load-000: energy-analyzer ran 2 times"),
        (seen(energy_analyzer=0), "success", "load-000: energy-analyzer ran 0 times"),
        (seen(left=["abc"]), "success", "the container abc was left"),
    ],
)
def test_what_is_lost_doubled_or_left_is_named(stack, watched, state, fault):
    assert soak.check_runs(stack, watched, {RUN: state}, 1) == [fault]


def test_a_green_run_without_a_report_of_its_success_is_a_fault(stack):
    (stack.run_folder(RUN) / "pipeline_report_1.json").unlink()
    assert soak.check_runs(stack, seen(), {RUN: "success"}, 1) == ["load-000 has no report of a success"]


COMPOSED = """
services:
  docker-policy:
    environment:
      DOCKER_PROXY_IMAGES: energy:1 other:2
      DOCKER_PROXY_STEP_UID: "50003"
      DOCKER_PROXY_STORES: a b/c
"""


@pytest.mark.parametrize(
    ("ended", "faults"),
    [
        ({"returncode": 0, "stdout": '{"starts": 90, "refused": 40, "won": []}'}, []),
        ({"returncode": 0, "stdout": '{"starts": 90, "refused": 40, "won": ["exchanged x"]}'}, ["exchanged x"]),
        (
            {"returncode": 0, "stdout": '{"starts": 1, "refused": 40, "won": []}'},
            ["the race started 1 containers only"],
        ),
        ({"returncode": 1, "stderr": "no worker"}, ["the race ended early: no worker"]),
    ],
)
def test_a_race_that_was_won_or_not_run_is_a_fault(tmp_path, monkeypatch, ended, faults):
    raced = []
    monkeypatch.setattr(soak.subprocess, "run", lambda command, **_: raced.append(command) or SimpleNamespace(**ended))
    stack = SimpleNamespace(
        folder=tmp_path,
        data=tmp_path / "data",
        containers=lambda name: [name],
        compose=lambda _: SimpleNamespace(stdout=COMPOSED),
    )
    assert soak.race(stack, 10) == faults
    ((*_, arguments),) = raced
    asked = soak.Race(**json.loads(arguments))
    assert (asked.image, asked.uid, asked.store, asked.seconds) == ("energy:1", 50003, "a", 600)
    assert asked.marker in (tmp_path / "bait" / "scene").read_text()


def test_a_second_attempt_is_counted_and_is_not_a_fault(stack, capsys):
    stack.tries = 2
    assert soak.check_runs(stack, seen(), {RUN: "success"}, 1) == []
    assert "second attempt or later | 1 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "value"), [("512B", 512 / 2**20), ("2048KiB", 2), ("12.5MiB", 12.5), ("1.5GiB", 1536)]
)
def test_the_engine_s_sizes_as_mebibytes(text, value):
    assert soak.mebibytes(text) == value


def test_the_rise_is_that_of_the_second_half():
    memory = soak.Memory.__new__(soak.Memory)
    memory.samples = {"worker": [(hour, 100 * hour if hour < 4 else 400 + 2 * hour) for hour in range(8)]}
    assert memory.table().splitlines()[-1] == "| worker | 50 | 413 | 414 | +2 |"
