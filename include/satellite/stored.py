"""The files of stores that the satellite steps read: scenes of a manifest, models of the champion and the baseline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from include.core.contracts import StepParams, StoredFile
from include.core.errors import GroundtruthError
from include.core.settings import get_settings
from include.env_file import read_keys
from include.satellite.artifacts import COMPARISON, FIELDS, FIELDS_HISTORY, IMAGERY, VALIDATED
from include.satellite.fields.params import MapParams
from include.satellite.imagery.schemas import Acquisition
from include.satellite.imagery.store import scene_path
from include.satellite.params import CompareParams, HealthMapParams
from include.satellite.registry import store


def collected_scenes(files: Path, params: StepParams) -> Iterator[StoredFile]:
    """Yield the scenes of `imagery.json`; the validation says which of them are intact."""
    for acquisition in IMAGERY.read(files).acquisitions:
        yield StoredFile(_place(acquisition))


def validated_scenes(files: Path, params: StepParams) -> Iterator[StoredFile]:
    """Yield the scenes of `validated.json`, which must be intact."""
    return map(_scene, VALIDATED.read(files).acquisitions)


def series_scenes(files: Path, params: StepParams) -> Iterator[StoredFile]:
    """Yield the previews that the series are made from, or the scenes of `validated.json`; they must be intact."""
    from include.satellite.datasets.series import series_imagery

    return map(_scene, series_imagery(files).acquisitions)


def measured_scenes(files: Path, params: StepParams) -> Iterator[StoredFile]:
    """Yield the measurements of earlier runs, and the accepted scenes that hold something they lack."""
    from include.satellite.fields.observations import unmeasured
    from include.satellite.fields.store import store_file

    imagery = VALIDATED.read(files)
    yield StoredFile(store_file(imagery))
    yield from map(_scene, unmeasured(FIELDS.read(files).fields, imagery))


def stated_alerts(files: Path, params: StepParams) -> Iterator[StoredFile]:
    """Yield the alerts that earlier runs stated, and the latest forecast of the fields."""
    from include.satellite.fields.monitoring import alerts_path
    from include.satellite.forecast.latest import latest_path

    yield StoredFile(alerts_path(VALIDATED.read(files)))
    yield StoredFile(latest_path(FIELDS.read(files).file))


def mapped_scenes(files: Path, params: MapParams) -> Iterator[StoredFile]:
    """Yield the list of passes that were mapped before, and the scenes of the latest one and of those that are new."""
    from include.satellite.fields.collection import mapped_path, new_passes
    from include.satellite.fields.products import latest_pass

    yield StoredFile(mapped_path(FIELDS.read(files), VALIDATED.read(files)))
    scenes = {acquisition.date: acquisition for acquisition in (*new_passes(files, params), latest_pass(files))}
    yield from map(_scene, scenes.values())


def champion(files: Path, params: CompareParams) -> Iterator[StoredFile]:
    """Yield the files of the champions that `comparison.json` names."""
    for version in sorted(set(COMPARISON.read(files).champions.values())):
        yield from _version(store.find(version))


def rivals(files: Path, params: CompareParams) -> Iterator[StoredFile]:
    """Yield the files of the models to compare with: the one that the env file enables, and the synthetic baseline."""
    from include.satellite.evaluation.synthetic_baseline import stored_baseline

    yield from _enabled()
    yield from map(StoredFile, stored_baseline(files, params))


def map_files(files: Path, params: HealthMapParams) -> Iterator[StoredFile]:
    """Yield the latest scene, and the files of the model that the env file enables."""
    from include.satellite.health_map import latest_acquisition

    yield _scene(latest_acquisition(files, params))
    yield from _enabled()


def forecast_files(files: Path, params: StepParams) -> Iterator[StoredFile]:
    """Yield the previews of the fields, and the files of the forecaster that the env file enables."""
    from include.satellite.forecast.history import enabled_forecaster

    yield from map(_scene, FIELDS_HISTORY.read(files).acquisitions)
    with suppress(GroundtruthError):  # the step says why there is none
        yield from _version(enabled_forecaster()[0])


def classifier(files: Path, params: StepParams) -> Iterator[StoredFile]:
    """Yield the files of the crop classifier that the env file enables."""
    from include.satellite.crops.classification import enabled_classifier

    model = enabled_classifier()
    if model is not None:
        yield from _version(model)


def _scene(acquisition: Acquisition) -> StoredFile:
    return StoredFile(_place(acquisition), acquisition.sha256, "the validation")


def _place(acquisition: Acquisition) -> str:
    return scene_path(acquisition).relative_to(get_settings().data_dir).as_posix()


def _enabled() -> Iterator[StoredFile]:
    """Yield the files of the enabled models; a step that cannot find one says why."""
    keys = read_keys(get_settings().env_file, store.ENV_KEYS)
    for version in sorted({version for kind in store.PATHS if (version := store.in_use(keys, kind))}):
        try:
            yield from _version(store.find(version))
        except GroundtruthError:
            continue


def _version(model: store.StoredModel) -> Iterator[StoredFile]:
    folder = f"models/store/{model.version}"
    yield StoredFile(f"{folder}/{store.MANIFEST}")
    for name, file in model.files.items():
        yield StoredFile(f"{folder}/{name}", file.sha256, "the promotion")
