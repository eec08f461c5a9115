"""Loading definitions from documents in memory."""

import json

import pytest

from include.core.definitions.load import load_definition
from include.core.definitions.model import Definition
from tests.core.definitions.documents import REGISTERED


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory):
    """Write a document, or bytes, to a file and load it."""
    file = tmp_path_factory.mktemp("definitions") / "pipeline.json"

    def load(content: object) -> Definition:
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return load_definition(file, REGISTERED)

    return load
