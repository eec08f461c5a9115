"""The manifest of a published folder: what it is checked against, and by whom."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from include.core.errors import BadInputError, ContractError
from include.core.publications import by_hand, check_published, faults_of, find_publications, read_publication
from include.core.run_folder import Run

OLD = {"dag_id": "p", "run_id": "r1", "results_ended_at": "2026-01-01T00:00:00Z"}


def published(folder: Path, **files: str) -> Path:
    """A folder as an earlier release published it: without the keys that are new."""
    records = []
    for name, text in files.items():
        path = folder / name.replace("_", "/", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        checksum = sha256(text.encode()).hexdigest()
        records.append({"path": path.relative_to(folder).as_posix(), "sha256": checksum, "bytes": len(text)})
    (folder / "publication.json").write_text(json.dumps(OLD | {"files": records}))
    return folder


def checksum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("started_by", "hand"), [("schedule", False), ("asset", False), ("backfill", False),
                                                  ("user", True), (None, True)])  # fmt: skip
def test_what_a_user_started_is_by_hand_and_so_is_what_states_nothing(started_by, hand):
    run = Run(pipeline="p", dag_id="p", run_id="r", runtime="local", created_at=datetime.now(UTC), steps=[],
              started_by=started_by)  # fmt: skip
    assert by_hand(run) is hand


@pytest.mark.parametrize(("run_id", "hand"), [("scheduled__2026-01-01", False), ("backfill__1", False),
                                              ("manual__1", True), ("cli__1", True)])  # fmt: skip
def test_a_run_of_an_earlier_release_is_known_by_its_name(run_id, hand):
    run = Run(pipeline="p", dag_id="p", run_id=run_id, runtime="local", created_at=datetime.now(UTC), steps=[])
    assert by_hand(run) is hand


def test_a_publication_of_an_earlier_release_is_read(tmp_path):
    publication = read_publication(published(tmp_path / "a", day="1"))
    assert (publication.run_id, publication.schema_version, publication.params) == ("r1", 0, {})
    assert read_publication(tmp_path) is None


def test_a_damaged_manifest_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "publication.json").write_text("{")
    with pytest.raises(ContractError, match=r"publication\.json: must be readable.*damaged"):
        read_publication(tmp_path)


def test_an_input_file_that_is_no_longer_what_was_published_is_refused(tmp_path):
    folder = published(tmp_path / "key", day="1", maps_indices="2")
    for path in (folder / "day", folder / "maps/indices"):
        check_published(path, checksum(path))
        path.write_text("changed")
        with pytest.raises(BadInputError, match="is not what the run r1 published"):
            check_published(path, checksum(path))
    (folder / "mine.csv").write_text("a file of somebody else, beside it")
    check_published(folder / "mine.csv", "any")


def test_faults_name_each_file_that_is_missing_or_differs(tmp_path):
    folder = published(tmp_path / "key", one="1", two="2", three="3")
    (folder / "one").unlink()
    (folder / "two").write_text("other")
    assert faults_of(folder) == ["one: is missing", "two: differs from the manifest"]
    with pytest.raises(ContractError, match="must hold publication"):
        faults_of(tmp_path)


def test_all_publications_are_found_the_replaced_ones_last_and_no_half_written_one(tmp_path):
    for key in ("energy/2026-01-01", "energy/manual/2026-01-01", "energy/.2026-01-02.abcdefgh",
                ".replaced/energy/2026-01-01/t"):  # fmt: skip
        published(tmp_path / key, day="1")
    names = [folder.relative_to(tmp_path).as_posix() for folder in find_publications(tmp_path)]
    assert names == ["energy/2026-01-01", "energy/manual/2026-01-01", ".replaced/energy/2026-01-01/t"]
