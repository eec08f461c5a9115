"""Measures the forecast on fresh simulated worlds: `make bench-models` prints who passes the gates, what is covered.

Each world is five years of previews over the default area, by the simulator with another seed; the seeds were fixed
before any was looked at, and none below 10 is used, for those served to design the forecast. Dataset, training,
forecasts, intervals and gates are the pipeline's own functions, in a folder of their own.

- *worlds*: gates, skill, coverage of the 90 % interval, and how many falls of 0.10 NDVI are found. The threshold is the
  95 % quantile of (forecast − truth) on the dates that calibrate the interval.
- *classes*: of the next date, by the LSTM and by gradient boosting, with their gates.
- *one year*: the same world with the last 365 days alone.
- *nulls*: the differences of each world, centred, their signs flipped by spell or by block; a gate that passes is
  false. 2.5 % are to be expected.
- *coverage*: of the two-way clustered 95 % intervals, on simulated effects of blocks and spells.

Data, weights and predictions of each world are kept in `data/bench-models/<hash of the code that decides them>/`, so an
interrupted measurement goes on where it stopped; scores and gates are computed each time.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from include.core.settings import get_settings
from include.satellite.artifacts import HISTORY, LSTM, VALIDATED
from include.satellite.datasets.sequences import SequenceDataset, load_sequences, prepare_lstm
from include.satellite.evaluation.baselines import sequence_baselines, sequence_regressions
from include.satellite.evaluation.clusters import LEVEL, Clusters, mean_influence
from include.satellite.evaluation.gates import lstm_gates, next_gates
from include.satellite.evaluation.metrics import forecast_score, interval_of, score_forecasts, score_next_classes
from include.satellite.evaluation.next_classes import BOOSTING, next_boosting, next_rules
from include.satellite.evaluation.predictions import Predictions, read_predictions
from include.satellite.evaluation.student_t import critical_value
from include.satellite.imagery.area import area_geometry, make_grid
from include.satellite.imagery.history import history_scope
from include.satellite.imagery.schemas import Acquisition, Imagery, Scope
from include.satellite.imagery.store import ImageryStore
from include.satellite.params import LUDHIANA, AreaParams, ImageryStepParams, LstmTrainParams
from include.satellite.schemas import REAL, SYNTHETIC, Gate
from include.satellite.training.networks import ModelBundle, load_bundle, predict_sequences
from include.satellite.training.train import train_lstm
from include.standins.sentinel_hub.land import survey
from include.standins.sentinel_hub.rendering import Scene
from include.standins.sentinel_hub.scenes import Grid
from include.standins.sentinel_hub.simulator import Simulator, passes
from tools.bench import print_table

Box = tuple[float, float, float, float]
SEEDS = (11, 23, 37, 58, 91)
BASELINE: tuple[str, int, Box] = ("simple", 7919, (76.80, 30.40, 76.90, 30.50))
END, YEARS_DAYS, ONE_YEAR_DAYS = datetime(2025, 11, 1, tzinfo=UTC), 1825, 365
FALL, THRESHOLD = 0.10, 0.95
NULLS, SIMULATIONS = 200, 2000
SHAPES = ((11, 3), (11, 10), (5, 6))
PARAMS = LstmTrainParams(
    sequence_length=8,
    locations_per_window=100,
    lstm_epochs=12,
    lstm_patience=4,
    lstm_batch_size=128,
    min_lstm_accuracy=0,
)
"""Those of the demo."""


@dataclass(frozen=True)
class World:
    """A simulated world, its sequences, and the forecasts of all models on the held-out ones."""

    seed: int
    dataset: SequenceDataset
    forecasts: Predictions
    calibration: Predictions | None

    @property
    def gates(self) -> list[Gate]:
        """The gates of the forecast."""
        return lstm_gates(score_forecasts(self.dataset, self.forecasts), LstmTrainParams().min_lstm_accuracy)

    @property
    def clusters(self) -> Clusters:
        """Blocks and spells of the held-out samples."""
        rows = self.forecasts.sample
        return Clusters.of(self.dataset.block[rows], self.dataset.days[self.dataset.target[rows]])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="Seeds of the worlds, 10 or more.")
    parser.add_argument("--epochs", type=int, default=PARAMS.lstm_epochs)
    parser.add_argument("--folder", type=Path, default=Path("data/bench-models"), help="Where measurements are kept.")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    params = PARAMS.model_copy(update={"lstm_epochs": options.epochs})
    print_coverage()
    folder = options.folder / code_hash(params)
    baseline = trained(folder / "baseline", BASELINE, YEARS_DAYS, params)
    worlds = [measured(folder / f"world{seed}", seed, YEARS_DAYS, params, baseline) for seed in options.seeds]
    print_worlds(worlds)
    print_classes(worlds)
    year = measured(folder / f"year{options.seeds[0]}", options.seeds[0], ONE_YEAR_DAYS, params)
    say(f"\nOne year of world {year.seed}:")
    for gate in year.gates:
        say(f"  {gate.sentence}")
    print_nulls(worlds)


def code_hash(params: LstmTrainParams) -> str:
    """Return what data and weights depend on: code of the pipeline and of the simulator, and parameters."""
    root = Path(__file__).resolve().parents[1] / "include"
    parts = ("satellite/datasets", "satellite/imagery", "satellite/sensors", "standins/sentinel_hub")
    modules = (f"satellite/training/{name}.py" for name in ("loop", "machine", "networks", "train"))
    digest = hashlib.sha256(f"{params!r}{BASELINE}{END}{LUDHIANA}{inspect.getsource(write_world)}".encode())
    for path in (
        *(path for part in parts for path in sorted((root / part).rglob("*.py"))),
        *map(root.joinpath, modules),
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def say(line: str) -> None:
    """Print a line at once: a world takes minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@contextmanager
def data_folder(folder: Path) -> Iterator[None]:
    """Let the imagery store lie in a folder."""
    os.environ["GROUNDTRUTH_DATA_DIR"] = str(folder)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def write_world(files: Path, world: str, seed: int, bbox: Box, days: int, end: datetime = END) -> None:
    """Write the previews of a simulated world as the search leaves them, for the preparation of the sequences."""
    files.mkdir(parents=True)
    params, geometry = ImageryStepParams(), area_geometry(AreaParams(bbox=bbox))
    scope = Scope(
        collection="sentinel-2-l2a",
        source="demo",
        grid=make_grid(geometry, 10),
        geometry=geometry,
        bands=list(params.bands),
        start=end - timedelta(days=ONE_YEAR_DAYS),
        end=end,
    )
    past = history_scope(scope, make_grid(geometry, 60), days)
    simulator, grid, store = Simulator(world, seed), past.grid, ImageryStore(past)
    pixels = Grid(int(grid.crs.rpartition(":")[2]), grid.bounds, grid.width, grid.height)
    land = survey(pixels, world, simulator.seed)
    usable = []
    for day, satellite in passes(int(grid.crs[-2:]), past.start, past.end, simulator.seed):
        moment = datetime(day.year, day.month, day.day, 5, 30, tzinfo=UTC)
        scene = Scene(land, pixels, world, simulator.seed, day)
        layers = np.stack([scene.band(band).astype(np.uint16) for band in past.bands])
        shares = store.scene(layers).shares(store.inside)
        if not past.start <= moment < past.end or params.rejection(shares.clear, shares.cloud) is not None:
            continue
        draft = Acquisition(
            date=day,
            datetime=moment,
            product_ids=[f"S2{satellite}_{day:%Y%m%d}_{world}_{seed}"],
            source="demo",
            synthetic=True,
            usable=True,
            bands=past.bands,
        )
        usable.append(store.put(draft, np.maximum(layers, 1)))
    empty: dict[str, Any] = {"synthetic": True, "unusable": [], "units_spent": 0, "units_estimated": 0}
    HISTORY.write(files, Imagery(**past.fields_of(Scope), acquisitions=usable, **empty))
    VALIDATED.write(files, Imagery(**scope.fields_of(Scope), acquisitions=[], **empty))


def trained(files: Path, world: tuple[str, int, Box], days: int, params: LstmTrainParams) -> ModelBundle:
    """Return the forecast of a world (name, seed, area), trained unless its folder holds it; imagery is not kept."""
    if not LSTM.predictions.at(files).exists():
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name, data_folder(Path(name)):
            write_world(files, *world, days)
            prepare_lstm(files, params)
            train_lstm(files, params, plots=False)
        shutil.rmtree(files / "checkpoints", ignore_errors=True)
        say(f"{files.name}: {time.monotonic() - began:.0f} s")
    return load_bundle(files, LSTM)


def measured(files: Path, seed: int, days: int, params: LstmTrainParams, baseline: ModelBundle | None = None) -> World:
    """Return a world with the forecasts of all models."""
    trained(files, ("standard", seed, LUDHIANA), days, params)
    dataset, own = load_sequences(files), read_predictions(LSTM.predictions, files)
    rows = own.sample
    rival = {} if baseline is None else {SYNTHETIC: predict_sequences(baseline, dataset, rows)}
    values = {
        REAL: own.values[REAL],
        **rival,
        **sequence_baselines(dataset, rows),
        **sequence_regressions(dataset, rows),
    }
    later = read_predictions(LSTM.calibration, files) if LSTM.calibration.at(files).exists() else None
    return World(seed, dataset, Predictions(rows, own.truth, values), later)


def print_worlds(worlds: Sequence[World]) -> None:
    """Print the table of the worlds, and the coverage of all."""
    rows, covered, passed = [], [], 0
    for world in worlds:
        values, truth, later = world.forecasts.values, world.forecasts.truth, world.calibration
        assert later is not None  # noqa: S101 - five years hold seasons
        mae = {name: forecast_score(truth, forecast).mae for name, forecast in values.items()}
        interval = interval_of(world.dataset, later, truth, values[REAL])
        covered.append((interval.coverage, len(truth)))
        threshold, below = np.quantile(later.values[REAL] - later.truth, THRESHOLD), values[REAL] - truth
        failed = [gate.name.removeprefix("lstm_") for gate in world.gates if gate.required and not gate.passed]
        passed += not failed
        row = (
            str(world.seed),
            str(len(world.dataset.info.dates)),
            f"{mae[REAL]:.4f}",
            *(f"{1 - mae[REAL] / mae[name]:+.1%}" for name in ("persistence", "climatology", "anomaly_persistence")),
            f"failed: {', '.join(failed)}" if failed else "all passed",
            f"{interval.coverage:.1%}",
            f"{(below + FALL > threshold).mean():.1%} / {(below > threshold).mean():.1%}",
        )
        rows.append(row)
    title = f"{passed} of {len(rows)} forecasts pass all gates; five years"
    columns = ("seed", "dates", "MAE", "on persistence", "on climatology", "on anomaly persistence", "gates")
    print_table(title, (*columns, "90 % covers", "falls found / false"), rows, width=140)
    shares, samples = np.array(covered).T
    say(f"\n90 % intervals cover {np.average(shares, weights=samples):.1%} pooled, {shares.min():.1%} at least.")


def print_classes(worlds: Sequence[World]) -> None:
    """Print balanced accuracy of the class of the next date, and its gates."""
    names, rows = (REAL, BOOSTING, "persistence", "climatology", "majority"), []
    for world in worlds:
        rules = next_rules(world.dataset, world.forecasts)
        values = {**rules.values, BOOSTING: next_boosting(world.dataset, rules.sample)}
        comparison = score_next_classes(world.dataset, Predictions(rules.sample, rules.truth, values))
        gates = next_gates(comparison)
        failed = [gate.name.removeprefix("next_") for gate in gates if gate.required and not gate.passed]
        scores = (f"{comparison.models[name].balanced_accuracy:.3f}" for name in names)
        rows.append((str(world.seed), *scores, f"failed: {', '.join(failed)}" if failed else "all passed"))
    columns = ("seed", "LSTM", *(name.replace("_", " ") for name in names[1:]), "gates")
    print_table("Class of the next date, balanced accuracy", columns, rows)


def print_nulls(worlds: Sequence[World]) -> None:
    """Print how many of the sign-flipped nulls pass, by gate and world."""
    counts = [passed_nulls(world.forecasts, world.clusters) for world in worlds]
    rows = [(name, *(str(count[name]) for count in counts)) for name in counts[0]]
    columns = [f"world {world.seed}: {world.clusters.blocks} × {world.clusters.spells}" for world in worlds]
    print_table(
        f"Sign-flipped nulls that pass, of {NULLS} (blocks × spells)", ("gate against", *columns), rows, width=140
    )


def passed_nulls(forecasts: Predictions, clusters: Clusters) -> dict[str, int]:
    """Return how many of the sign-flipped nulls pass, by the rival of the gate."""
    random, truth = np.random.default_rng(0), forecasts.truth.astype(np.float64)
    errors = {name: np.abs(values - truth) for name, values in forecasts.values.items()}
    passed = {}
    for name in sorted(errors.keys() - {REAL}):
        gain = mean_influence(errors[name] - errors[REAL])
        passed[name] = 0
        for number in range(NULLS):
            cluster, size = (clusters.spell, clusters.spells) if number % 2 else (clusters.block, clusters.blocks)
            null = gain * random.choice([-1.0, 1.0], size)[cluster]
            low, _ = clusters.interval(float(null.mean()), mean_influence(null))
            passed[name] += low is not None and low > 0
    return passed


def print_coverage() -> None:
    """Print how often the clustered 95 % intervals cover the truth, on simulated effects."""
    table = []
    for blocks, spells in SHAPES:
        random = np.random.default_rng([blocks, spells])
        block, spell = (axis.ravel().repeat(20) for axis in np.indices((blocks, spells)))
        clusters = Clusters(block, spell)
        quantile, hits = critical_value(min(blocks, spells) - 1, LEVEL), 0
        for _ in range(SIMULATIONS):
            values = random.normal(size=blocks)[block] + random.normal(size=spells)[spell]
            values += random.normal(size=len(block))
            hits += abs(values.mean()) <= quantile * clusters.standard_error(mean_influence(values))
        table.append((f"{blocks} × {spells}", f"{hits / SIMULATIONS:.1%}"))
    print_table(f"95 % intervals, {SIMULATIONS} simulations", ("blocks × spells", "cover"), table)


if __name__ == "__main__":
    main()
