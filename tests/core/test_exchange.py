"""What a run takes from another pipeline's runs: accepted, verified, of a producer that its pipeline names."""

import pytest

from include.core.errors import BadInputError, ContractError
from include.core.exchange import Handed, Producer, check_handed, handed_over, refuse_runs
from include.core.run_folder import FileRecord, RunFolder
from tests.core.handed import accepted
from tests.core.small_pipeline import plan

IMAGERY = {"imagery": Producer("satellite_pipeline", "validate", "validated.json")}


def taken(data_dir, value=None, triggers=()):
    handed = handed_over(IMAGERY, {"imagery": value}, triggers, data_dir)
    return handed["imagery"].run if handed else None


def test_the_newest_triggering_run_counts_then_the_run_accepted_last(tmp_path):
    accepted(tmp_path, "b", b"1", day=1)
    accepted(tmp_path, "a", b"2", day=2)
    accepted(tmp_path, "c", b"3", day=3, status="failed")
    accepted(tmp_path, ".removed-d", b"4", day=4)
    assert taken(tmp_path) == taken(tmp_path, "") == "a"
    assert taken(tmp_path, triggers=[("satellite_pipeline", "b"), ("satellite_pipeline", "a")]) == "b"
    assert taken(tmp_path, triggers=[("satellite_pipeline", "gone"), ("satellite_pipeline", "b")]) == "b"
    accepted(tmp_path, "z", b"5", day=5, dag="other")
    assert taken(tmp_path, triggers=[("other", "z")]) == "a", "a DAG that the pipeline does not name hands over nothing"


def test_a_run_may_be_named_and_a_file_stands_for_itself(tmp_path):
    accepted(tmp_path, "manual__2026-01-01T00-00-00+00-00", b"1")
    assert taken(tmp_path, "run:manual__2026-01-01T00:00:00+00:00") == "manual__2026-01-01T00-00-00+00-00"
    assert taken(tmp_path, "mine.json") is None, "also where no run has anything to hand over"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            None,
            "imagery: no run of satellite_pipeline has an accepted validated.json yet: run satellite_pipeline first",
        ),
        ("run:never", "imagery: the run never of satellite_pipeline has no accepted validated.json"),
        ("run:../other/z", r"imagery: the run \.\./other/z of satellite_pipeline has no accepted"),
        ("run:failed", "has no accepted validated.json"),
        ("run:gone", "has no accepted validated.json"),
    ],
)
def test_a_run_that_has_nothing_to_hand_over_is_named(tmp_path, value, message):
    accepted(tmp_path, "z", b"5", dag="other")
    accepted(tmp_path, "failed", b"1", status="failed")
    accepted(tmp_path, "gone", b"1").unlink()
    with pytest.raises(BadInputError, match=message):
        taken(tmp_path, value)


@pytest.mark.parametrize("damage", ["{", '{"step": "validate", "status": "success"}', ""])
def test_a_damaged_record_hands_over_nothing_and_breaks_nothing(tmp_path, damage):
    accepted(tmp_path, "old", b"1", day=1)
    accepted(tmp_path, "new", b"2", day=2)
    (RunFolder.of(tmp_path, "satellite_pipeline", "new").step("validate") / "result.json").write_text(damage)
    assert taken(tmp_path) == "old"


def test_a_file_that_changed_since_is_not_handed_over(tmp_path):
    path = accepted(tmp_path, "a", b"1")
    path.write_bytes(b"2")
    with pytest.raises(ContractError, match="must be as the run a left it"):
        taken(tmp_path)


def test_a_copy_that_differs_is_refused(folder):
    source = FileRecord(path="source/validated.json", sha256="1", bytes=1)
    run = plan(folder, sources=[source], imagery="validated.json")
    check_handed(run, {"imagery": Handed(folder.files / "validated.json", "1", "a")})
    with pytest.raises(ContractError, match="must be as the run a left it"):
        check_handed(run, {"imagery": Handed(folder.files / "validated.json", "2", "a")})


def test_files_of_runs_are_no_input_files(tmp_path):
    runs, inbox = tmp_path / "runs", tmp_path / "inbox"
    path = accepted(tmp_path, "a", b"1")
    inbox.mkdir()
    (inbox / "link").symlink_to(path.parent)
    refuse_runs([None, 3, "x.csv", "bad\0name", "../published/x.csv"], [inbox], runs)
    for lie in (str(path), "../runs/satellite_pipeline/a/files/validated.json", "link/validated.json", str(runs)):
        with pytest.raises(BadInputError, match="lies among the runs"):
            refuse_runs([lie], [inbox], runs)
