import io
import json
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_data_dir(data_dir):
    """Runs of a test lie in its own folder."""


@pytest.fixture(scope="session")
def blank_png():
    """The bytes of an empty plot."""
    from matplotlib.figure import Figure

    content = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(content, format="png")
    return content.getvalue()


@pytest.fixture(autouse=True)
def quick_plots(blank_png, monkeypatch):
    """Leave plots empty where a step runs in this process: drawing them takes half of a small run.

    What they show is the subject of the domains' tests; runs of the command line and of containers draw them.
    """
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda _, path, **options: Path(path).write_bytes(blank_png))


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
