import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from include.energy.params import GeneratorParams
from include.energy.schemas import EnergySource
from include.energy.steps import ENERGY_STEPS
from tests.energy.analysis import DAY
from tests.energy.lies import Proving

OWN_HEADER = "timestamp,household_id,power_consumption,voltage,current\n"


class Converted:
    """What the generator wrote: its records as dicts of texts, and its account of them."""

    def __init__(self, files: Path) -> None:
        with (files / "energy_data.csv").open(encoding="utf-8", newline="") as file:
            self.records = list(csv.DictReader(file))
        self.source = EnergySource.model_validate(json.loads((files / "energy_source.json").read_text()))

    def column(self, name: str) -> list[str]:
        return [record[name] for record in self.records]

    @property
    def messages(self) -> str:
        return " ".join(finding.message for finding in self.source.findings)


@pytest.fixture
def files(tmp_path):
    """The `files/` folder of a run."""
    folder = tmp_path / "files"
    (folder / "source").mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def day_of_files(tmp_path_factory):
    """The files of a day's run: all three steps with synthetic households."""
    files = tmp_path_factory.mktemp("day") / "files"
    (files / "source").mkdir(parents=True)
    for step in ENERGY_STEPS.values():
        step.load()(files, step.params(**{key: DAY[key] for key in DAY if key in step.params.model_fields}))
    return files


@pytest.fixture
def done(day_of_files, files):
    """A copy of the files of a day's run."""
    return shutil.copytree(day_of_files, files, dirs_exist_ok=True)


@pytest.fixture
def proving(tmp_path):
    """A run in which one step at a time runs under its contract, and may lie."""
    return Proving(tmp_path)


@pytest.fixture
def convert(files):
    """Return a function that writes input files by name (text or bytes) and reads them through the generator."""
    from include.energy.generator import generate

    def convert(sources, **params):
        sources = sources if isinstance(sources, dict) else {"meter.csv": sources}
        for name, content in sources.items():
            path = files / "source" / name
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        names = tuple(name for name in sources if name != params.get("meters"))
        generate(files, GeneratorParams(files=names, **params))
        return Converted(files)

    return convert


@pytest.fixture
def own_header():
    return OWN_HEADER


@pytest.fixture(scope="session")
def real_data():
    """The folder of measured data, or a skip that says how to get it."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("REAL_DATA_DIR", default)) / "energy"
    if not folder.is_dir():
        pytest.skip(f"no measured data in {folder}: set REAL_DATA_DIR to a folder that holds energy/*.csv")
    return folder
