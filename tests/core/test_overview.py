"""What a domain may read of a run: accepted files, as long as they are what was accepted."""

import hashlib

import pytest
from pydantic import BaseModel

from include.core.contracts import Artifact
from include.core.overview import AcceptedFiles, worst
from include.core.run_folder import FileRecord


class Document(BaseModel, extra="forbid"):
    number: int


ARTIFACT = Artifact("document.json", Document)


@pytest.fixture
def accepted(tmp_path):
    content = b'{"number": 7}'
    (tmp_path / "document.json").write_bytes(content)
    record = FileRecord(path="document.json", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    return AcceptedFiles(tmp_path, {"document.json": record})


def test_an_accepted_document_is_read(accepted):
    assert accepted.holds(ARTIFACT)
    assert accepted.read(ARTIFACT) == Document(number=7)


def test_a_link_to_a_sealed_file_is_followed(accepted, tmp_path):
    (tmp_path / "document.json").rename(tmp_path / "sealed")
    (tmp_path / "document.json").symlink_to("sealed")
    assert accepted.read(ARTIFACT) == Document(number=7)


def test_a_changed_or_missing_document_is_not_held(accepted, tmp_path):
    (tmp_path / "document.json").write_bytes(b'{"number": 8}')
    assert accepted.read(ARTIFACT) is None
    (tmp_path / "document.json").unlink()
    assert not accepted.holds(ARTIFACT)


def test_a_document_that_no_step_wrote_is_not_held(accepted):
    assert accepted.read(Artifact("other.json", Document)) is None


def test_a_document_of_another_version_is_none(accepted):
    class Other(BaseModel, extra="forbid"):
        name: str

    assert accepted.read(Artifact("document.json", Other)) is None


@pytest.mark.parametrize(
    ("levels", "level"), [([], None), (["pass"], "pass"), (["fail", "warn"], "fail"), (["pass", "warn"], "warn")]
)
def test_the_worst_level_decides(levels, level):
    assert worst(levels) == level
