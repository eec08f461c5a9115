"""Functions that a definition names: what is read of them, and what is refused."""

import json

import pytest

from include.core.definitions.document import DefinitionError
from include.core.definitions.load import load_definition
from tests.core.definitions.documents import document

SOURCE = "def write(files, params):\n    (files / 'a.csv').write_text('x')\n"


@pytest.fixture
def put(tmp_path):
    """Return what a definition says whose only container calls `steps/a.py:write`, where that file holds a text."""

    def load(source: str | None = SOURCE, place: str = "steps/a.py:write"):
        (tmp_path / "steps").mkdir(exist_ok=True)
        if source is not None:
            (tmp_path / "steps" / "a.py").write_text(source)
        content = document({"id": "a", "function": place, "output_file": "a.csv"})
        (tmp_path / "a.json").write_text(json.dumps(content))
        return load_definition(tmp_path / "a.json", {})

    return load


def test_a_function_is_read_with_its_definition_so_that_a_container_needs_no_file_of_it(put):
    [step] = put().steps
    assert (step.function, step.source, step.command, step.image) == ("steps/a.py:write", SOURCE, None, None)
    assert step.program("python")[-3:] == ("steps/a.py", "write", SOURCE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "steps/a.py: cannot be read: No such file or directory; put the file there"),
        ("def write(files, params:\n", r"steps/a.py: is not Python: .* \(line 1\)"),
        ("def other(files, params): ...\n", "steps/a.py: defines no function write; it defines other"),
        ("def write(files): ...\n", "steps/a.py: write must take two arguments"),
        ("def write(files, params, *, mode): ...\n", "steps/a.py: write must take two arguments"),
        (f"{SOURCE}# {'x' * 100_000}\n", "steps/a.py: has more than 100,000 bytes"),
    ],
)
def test_a_function_that_could_not_be_called_is_refused_with_its_place(put, source, message):
    with pytest.raises(DefinitionError, match=rf"\$\.containers\[0\]\.function: {message}"):
        put(source)


@pytest.mark.parametrize("place", ["write", "a.py:write", "../a.py:write", "/steps/a.py:write", "steps/a.py"])
def test_a_function_lies_in_a_folder_beside_its_definition(put, place):
    with pytest.raises(DefinitionError, match=r"function: must be FILE:FUNCTION"):
        put(place=place)
