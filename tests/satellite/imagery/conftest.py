"""Imagery for tests: a store of its own, and acquisitions synthetic to the pixel."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from include.satellite.artifacts import IMAGERY, SEARCH
from include.satellite.imagery import client, download, search
from include.satellite.imagery.area import area_geometry, inside_mask, make_grid
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from include.satellite.imagery.schemas import Acquisition, Imagery, Scope, SearchResult
from include.satellite.imagery.store import ImageryStore
from include.satellite.params import AreaParams, ImageryStepParams

BANDS = ["B02", "B03", "B04", "B08", "SCL"]
SMALL = (75.80, 30.90, 75.806, 30.905)
"""59 × 57 pixels of 10 m."""
START = datetime(2025, 1, 1, tzinfo=UTC)


class World:
    """A small area, its store, and scenes that tests spoil."""

    def __init__(self, files: Path) -> None:
        self.files = files
        self.geometry = area_geometry(AreaParams(bbox=SMALL))
        self.grid = make_grid(self.geometry, 10)
        self.inside = inside_mask(self.geometry, self.grid)
        self.scope = Scope(
            collection="sentinel-2-l2a",
            source="demo",
            grid=self.grid,
            geometry=self.geometry,
            bands=BANDS,
            start=START,
            end=datetime(2026, 1, 1, tzinfo=UTC),
        )
        self.store = ImageryStore(self.scope)
        self.acquisitions: list[Acquisition] = []
        self.unusable: list[Acquisition] = []

    def scene(self, number: int) -> np.ndarray:
        """Fields of a plausible green, different each time; all clear."""
        random = np.random.default_rng(number)
        shape = (self.grid.height, self.grid.width)
        levels = (400, 700, 500, 3000)
        bands = [level * random.uniform(0.8, 1.2, shape) for level in levels]
        return np.stack([*bands, np.full(shape, 4)]).astype(np.uint16)

    def draft(self, number: int, **other: object) -> Acquisition:
        day = START + timedelta(days=10 * number, hours=5)
        known = {
            "date": day.date(),
            "datetime": day,
            "product_ids": [f"S2A_{day:%Y%m%d}"],
            "source": "demo",
            "synthetic": False,
            "usable": True,
            "bands": BANDS,
            "tile_cloud": 3.0,
            "fetched": True,
            "units_spent": 1.0,
        }
        return Acquisition(**(known | other))

    def add(self, spoil: Callable[[np.ndarray], None] = lambda scene: None, **other: object) -> Acquisition:
        """One more date, its scene as the test wants it."""
        number = len(self.acquisitions)
        scene = self.scene(number)
        spoil(scene)
        kept = self.store.put(self.draft(number, **other), scene)
        self.acquisitions.append(kept)
        return kept

    def path(self, acquisition: Acquisition) -> Path:
        assert acquisition.file is not None
        return self.store.root / acquisition.file

    def write(self) -> None:
        """The manifest that the validation reads."""
        imagery = Imagery(
            **self.scope.fields_of(Scope),
            synthetic=any(acquisition.synthetic for acquisition in self.acquisitions),
            acquisitions=self.acquisitions,
            unusable=self.unusable,
            units_spent=1.0,
            units_estimated=1.0,
        )
        IMAGERY.write(self.files, imagery)


@pytest.fixture
def world(data_dir: Path, tmp_path: Path) -> World:
    """An area with an empty store and an empty run."""
    files = tmp_path / "files"
    files.mkdir()
    return World(files)


@pytest.fixture
def first_day() -> date:
    """The date of the first acquisition."""
    return START.date()


class StandIn:
    """The stand-in of the API, in a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def fault(self, kind: str, **rule: object) -> None:
        """Have requests go wrong."""
        requests.post(f"{self.url}/control/faults", json={"kind": kind, **rule}, timeout=10).raise_for_status()

    def heal(self) -> None:
        """End all faults."""
        requests.delete(f"{self.url}/control/faults", timeout=10).raise_for_status()

    def forget(self) -> None:
        """Forget the requests so far."""
        requests.delete(f"{self.url}/control/requests", timeout=10).raise_for_status()

    @property
    def served(self) -> list[dict[str, Any]]:
        """The requests so far, with what they were answered."""
        return list(requests.get(f"{self.url}/control/requests", timeout=10).json())

    def scenes_served(self) -> list[str]:
        """Dates of the full downloads that were answered."""
        return [
            answer["date"] for answer in self.served if answer["status"] == 200 and "B04" in answer.get("bands", ())
        ]

    def previews_served(self) -> int:
        """Number of previews that were answered."""
        return sum(answer["status"] == 200 and answer.get("bands") == ["SCL", "dataMask"] for answer in self.served)


@pytest.fixture(scope="session")
def simulator() -> Iterator[StandIn]:
    """The stand-in with simulated scenes."""
    with stand_in() as url:
        yield StandIn(url)


@pytest.fixture
def api(simulator: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in without faults, named by the environment; what fails fails soon."""
    monkeypatch.setenv(URL_VARIABLE, simulator.url)
    bounds = client.Bounds(attempts=3, first_wait_s=0.02, silence_s=20, least_wait_s=0.01, wall_time_s=1.5)
    monkeypatch.setattr(client, "BOUNDS", bounds)
    simulator.heal()
    simulator.forget()
    yield simulator
    simulator.heal()


class Run:
    """A run's files, and its steps up to the collected imagery."""

    def __init__(self, files: Path, **params: object) -> None:
        self.files = files
        known: dict[str, Any] = {
            "bbox": SMALL,
            "end": datetime(2025, 7, 1, tzinfo=UTC),
            "days_back": 60,
            "history_days": 0,
            "target_count": 4,
            "min_dates": 3,
        }
        self.params = ImageryStepParams(**(known | params))

    def search(self) -> SearchResult:
        search.search(self.files, self.params)
        return SEARCH.read(self.files)

    def download(self, *indices: int) -> list[Acquisition]:
        """Some of the chosen dates; all of them if none is named."""
        for index in indices or range(len(SEARCH.read(self.files).chosen)):
            download.download(self.files, self.params, index)
        paths = sorted((self.files / "acquisitions").glob("*.json"))
        return [Acquisition.model_validate_json(path.read_text()) for path in paths]

    def collect(self) -> Imagery:
        download.collect(self.files, self.params)
        return IMAGERY.read(self.files)

    def go(self) -> Imagery:
        self.search()
        self.download()
        return self.collect()


@pytest.fixture
def make_run(data_dir: Path, tmp_path: Path) -> Callable[..., Run]:
    """Runs that share a data folder."""
    made: list[Run] = []

    def make(**params: object) -> Run:
        files = tmp_path / f"run{len(made)}"
        files.mkdir()
        made.append(Run(files, **params))
        return made[-1]

    return make
