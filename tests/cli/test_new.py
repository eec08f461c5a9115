"""`./pipeline new`: what it writes runs at once, its test passes, and it takes no name twice."""

import runpy
from pathlib import Path

import pytest

from include.cli.new import scaffold
from include.core.errors import BadInputError
from include.core.settings import get_settings
from include.pipelines import load_pipelines
from tests.in_process import call_pipeline as call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of definitions, that of this deployment."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(folder))
    get_settings.cache_clear()
    yield folder
    get_settings.cache_clear()


@pytest.mark.parametrize("image", [None, "python:3.11-slim-bookworm"])
def test_a_new_pipeline_is_a_valid_definition_whose_generated_tests_pass(folder, tmp_path, image):
    files = scaffold("meter-totals", folder, image)
    pipelines, errors = load_pipelines()
    assert errors == []
    assert [one.definition.pipeline for one in pipelines] == ["meter_totals"]
    assert pipelines[0].definition.schedule is None
    [test] = [file for file in files if file.name.startswith("test_")]
    functions = [value for name, value in runpy.run_path(str(test)).items() if name.startswith("test_")]
    assert len(functions) == (3 if image is None else 1)
    for number, function in enumerate(functions):
        function(tmp_path / str(number))


def test_the_files_are_named_and_how_to_run_them(folder):
    result = call("new", "meter-totals")
    assert result.code == 0
    assert {Path(line).name for line in result.stdout.splitlines()} == {
        "meter-totals.json", "meter-totals.md", "meter_totals.py", "test_meter_totals.py",
    }  # fmt: skip
    assert "./pipeline run meter_totals" in result.stderr


@pytest.mark.parametrize("name", ["Meters", "meter_totals", "-a", "a--b", "1a", "", "../a", "a" * 61, "zähler"])
def test_a_name_that_could_be_no_dag_is_refused_with_an_example(folder, name):
    with pytest.raises(BadInputError, match=r"cannot be the name of a pipeline.*such as meter-totals"):
        scaffold(name, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["maintenance", "satellite-pipeline", "fields", "satellite"])
def test_a_name_of_a_pipeline_of_the_project_is_refused(folder, name):
    with pytest.raises(BadInputError, match="already; choose another name"):
        scaffold(name, folder)


def test_nothing_that_is_there_is_replaced(folder):
    scaffold("meter-totals", folder)
    with pytest.raises(BadInputError, match="there is a pipeline meter_totals already"):
        scaffold("meter-totals", folder)
    (folder / "other.md").write_text("mine")
    with pytest.raises(BadInputError, match=r"other\.md: there already"):
        scaffold("other", folder)
    assert (folder / "other.md").read_text() == "mine"
    assert not (folder / "other.json").exists()
