import csv
import json
import os
from pathlib import Path

import pytest

from include.energy.schemas import EnergySource, GeneratorParams

OWN_HEADER = "timestamp,household_id,power_consumption,voltage,current\n"


class Converted:
    """What the generator made of the files: its records as dicts of texts, and its account of them."""

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


@pytest.fixture
def convert(files):
    """Hand in files by name (text or bytes) and read them through the generator."""
    from include.energy.generator import generate

    def convert(handed_in, **params):
        handed_in = handed_in if isinstance(handed_in, dict) else {"meter.csv": handed_in}
        for name, content in handed_in.items():
            path = files / "source" / name
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        generate(files, GeneratorParams(files=tuple(handed_in), **params))
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
