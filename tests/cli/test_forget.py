"""`./pipeline forget --meter ID`: a meter leaves an energy deployment, and its feed publishes without it."""

import json

import pytest

from tests.airflow_runs import ROOT  # noqa: F401  # isort: skip - sets Airflow's home first

from include.cli import forget as module
from include.cli.forget import backups_of
from tests.feed_files import day_file, energy, make_feed

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
DAY = "2026-03-01"


def holders(data_dir, meter):
    """Files that hold a meter's rows or name it in JSON."""
    marks = (f",{meter},".encode(), f'"{meter}"'.encode())
    paths = (path for path in data_dir.rglob("*") if path.is_file())
    return sorted(path.relative_to(data_dir).as_posix() for path in paths if any(m in path.read_bytes() for m in marks))


def test_a_meter_leaves_a_feed_its_days_and_runs_and_the_day_is_published_without_it(call, data_dir):
    feed = make_feed(data_dir)
    (feed / "day.csv").write_text(day_file(DAY))
    assert call("inbox", "home", "--once").code == 0
    folder = data_dir / "published/energy/home" / DAY
    assert holders(data_dir, "B")
    dry = call("forget", "--meter", "B", "--dry-run")
    assert (dry.code, len(holders(data_dir, "B")) > 0) == (0, True)
    assert f"published/energy/home/{DAY} would be removed" in dry.stderr
    done = call("forget", "--meter", "B", "--json")
    assert done.code == 0, done.stderr
    record = json.loads(done.stdout)
    assert [place["done"] for place in record["inputs"]] == ["rewritten"]
    assert holders(data_dir, "B") == []
    assert not folder.exists()
    [report] = data_dir.glob("runs/energy_pipeline/*/pipeline_report_*.json")
    messages = [finding["message"] for finding in json.loads(report.read_text())["findings"]]
    assert any("All artifacts were removed" in message for message in messages)
    assert "nothing below" in call("forget", "--meter", "B").stderr
    assert call("inbox", "home", "--once").code == 0
    total = json.loads((folder / "output2.json").read_text())["key_figures"]["energy_kwh"]
    assert total == pytest.approx(sum(energy("A", hour) for hour in range(24)), abs=1e-3)
    assert json.loads((folder / "revision.json").read_text())["revision"] == 1


def test_what_still_holds_a_meter_ends_with_1(call, data_dir):
    (data_dir / "inbox").mkdir(parents=True)
    (data_dir / "inbox/unread.dat").write_bytes(b"\x00 B \x00")
    ended = call("forget", "--meter", "B")
    assert ended.code == 1
    assert "inbox/unread.dat still holds it" in ended.stderr


def test_one_subject_has_to_be_named(call):
    ended = call("forget")
    assert (ended.code, "name one subject: --meter ID" in ended.stderr) == (2, True)


def test_backups_are_named(tmp_path, call, data_dir, monkeypatch):
    (tmp_path / "20260101T000000Z.tar.gz").touch()
    assert [path.name for path in backups_of(tmp_path)] == ["20260101T000000Z.tar.gz"]
    monkeypatch.setattr(module, "BACKUPS", tmp_path)
    (data_dir / "inbox").mkdir(parents=True)
    rows = "".join(f"2026-01-01T{hour:02}:00:00Z,B,1\n" for hour in range(3))
    (data_dir / "inbox/b.csv").write_text(f"timestamp,household_id,power_kw\n{rows}")
    ended = call("forget", "--meter", "B")
    assert "the backup 20260101T000000Z.tar.gz was made before, and may hold it" in ended.stderr
    assert not (data_dir / "inbox/b.csv").exists()
