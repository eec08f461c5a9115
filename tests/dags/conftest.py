import json
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_data_dir(data_dir, quick_plots):
    """Runs of a test lie in its own folder, with empty plots."""


@pytest.fixture
def definitions(tmp_path, monkeypatch):
    """A folder of pipeline definitions; call it with `name=document` (or text) to put one there."""
    folder: Path = tmp_path / "definitions"
    folder.mkdir()
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(folder))

    def put(**documents):
        for name, document in documents.items():
            text = document if isinstance(document, str) else json.dumps(document)
            (folder / f"{name}.json").write_text(text)
        return folder

    return put
