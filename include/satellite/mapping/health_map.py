"""The step `draw_map`: the crop-health map of the latest usable date, by the enabled model or by the NDVI rule.

The rule gives each pixel of vegetation or soil the class of its NDVI. The model classifies patches, as it was trained:
overlapping ones, slid over the area; a pixel takes the mean of the probabilities of all patches that hold it. Cloud,
shadow, snow, water and nodata are not assessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ConfigDict, ValidationError

from include.core.errors import BadInputError, ContractError, GroundtruthError
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.run_folder import SOURCE_FOLDER, read_model
from include.core.settings import get_settings
from include.env_file import EnvFile, read_keys
from include.satellite.artifacts import CNN, HEALTH_MAP, HEALTH_MAP_PLOT, HEALTH_MAP_RASTER, VALIDATED
from include.satellite.datasets.schemas import CLASSES
from include.satellite.imagery.schemas import Acquisition, Imagery
from include.satellite.params import HealthMapParams
from include.satellite.registry import store
from include.satellite.schemas import HealthMap

if TYPE_CHECKING:
    from include.satellite.mapping.layers import Layers
    from include.satellite.training.schemas import ModelCard

SQUARE_METRES_PER_HECTARE = 10_000


class HealthMapMetrics(StepMetrics):
    """Metrics of the step `draw_map`; areas in hectares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: date
    drawn_by: str
    model_version: str | None
    hectares: dict[str, float]
    not_assessed: float


def draw_map(files: Path, params: HealthMapParams) -> None:
    """Write `health_map.tif`, `plot_health_map.png` and `health_map.json`.

    Args:
        files: The run's `files/` folder, with the imagery's manifest in `source/`.
        params: The name of the manifest.

    Raises:
        BadInputError: There is no usable date, or the model that the env file names cannot classify this imagery.
        ContractError: The imagery is not as it was validated.
        SetupError: The folder cannot be written.
    """
    from include.satellite.datasets.cube import read_scene
    from include.satellite.imagery.area import inside_mask
    from include.satellite.mapping.layers import Layers, classify_by_model, classify_by_rule, plot_map, write_raster
    from include.satellite.training.networks import load_bundle

    imagery = _imagery(files, params.imagery or VALIDATED.path)
    acquisition = _latest(imagery)
    env_file = EnvFile(get_settings().env_file)
    keys = read_keys(env_file.path, store.ENV_KEYS)
    inside = inside_mask(imagery.geometry, imagery.grid)
    scene = read_scene(acquisition, imagery, inside)
    if store.enabled(keys):
        version = keys.get(store.VERSION, "")
        with _naming_the_remedy(env_file, version):
            bundle = load_bundle(store.find(version).folder, CNN)
            layers, card = Layers(*classify_by_model(bundle, scene, imagery), inside), bundle.card
        document = _document(imagery, acquisition, layers, env_file, version, card)
    else:
        layers = Layers(classify_by_rule(scene), None, inside)
        document = _document(imagery, acquisition, layers, env_file)
    write_raster(HEALTH_MAP_RASTER.at(files), layers, imagery.grid, document)
    plot_map(HEALTH_MAP_PLOT.at(files), layers, document)
    HEALTH_MAP.write(files, document)


def draw_map_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `draw_map` from `health_map.json`."""
    document = HEALTH_MAP.read(files)
    areas = (*document.hectares.items(), ("not assessed", document.not_assessed))
    return StepOutcome(
        metrics=HealthMapMetrics.model_validate(document.model_dump(include=set(HealthMapMetrics.model_fields))),
        published_as=f"{document.place}/{document.date}",
        findings=tuple(Finding(severity="info", message=note) for note in (document.why, *document.notes)),
        tables=(Table(title=f"Crop health on {document.date}", columns=("class", "hectares"), rows=areas),),
    )


def _imagery(files: Path, manifest: str) -> Imagery:
    name = f"{SOURCE_FOLDER}/{manifest}"
    try:
        imagery = read_model(files / name, Imagery)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise BadInputError(f"{manifest}: is not a manifest of validated imagery: {where}: {first['msg']}") from error
    if imagery is None:
        raise ContractError(name, "must exist", "no such file")
    return imagery


def _latest(imagery: Imagery) -> Acquisition:
    usable = [acquisition for acquisition in imagery.acquisitions if acquisition.usable]
    if not usable:
        raise BadInputError(f"{VALIDATED.path}: holds no usable acquisition between {imagery.start} and {imagery.end}")
    return max(usable, key=lambda acquisition: acquisition.datetime)


@contextmanager
def _naming_the_remedy(env_file: EnvFile, version: str) -> Iterator[None]:
    try:
        yield
    except GroundtruthError as error:
        raise BadInputError(
            f"{env_file.path} enables model {version or '(none)'}, which cannot draw the map: {error}. Go back with "
            f"`./pipeline env rollback`, or set {store.USE}=false there to draw the map by the NDVI rule"
        ) from error


def _document(
    imagery: Imagery,
    acquisition: Acquisition,
    layers: Layers,
    env_file: EnvFile,
    version: str | None = None,
    card: ModelCard | None = None,
) -> HealthMap:
    hectares = imagery.grid.resolution**2 / SQUARE_METRES_PER_HECTARE
    pixels = [int((layers.classes == position).sum()) for position in range(len(CLASSES))]
    not_assessed = int((layers.inside & (layers.classes < 0)).sum())
    confidence = None if layers.confidence is None else layers.confidence[layers.classes >= 0]
    return HealthMap(
        place=imagery.place,
        date=acquisition.date,
        drawn_by="ndvi_rule" if card is None else "model",
        why=_why(env_file, version, card),
        model_version=version,
        label_source=None if card is None else card.label_source,
        synthetic=acquisition.synthetic or (card is not None and card.data.synthetic),
        notes=_notes(acquisition, card),
        env_file=str(env_file.path),
        crs=imagery.grid.crs,
        resolution=imagery.grid.resolution,
        hectares={name: round(count * hectares, 2) for name, count in zip(CLASSES, pixels, strict=True)},
        not_assessed=round(not_assessed * hectares, 2),
        outside=round(int((~layers.inside).sum()) * hectares, 2),
        mean_confidence=None if confidence is None or not len(confidence) else float(confidence.mean()),
    )


def _why(env_file: EnvFile, version: str | None, card: ModelCard | None) -> str:
    if card is None:
        return f"Drawn by the NDVI rule: {env_file.path} does not enable AI models."
    return f"Drawn by model {version}, which {env_file.path} enables (labels: {card.label_source})."


def _notes(acquisition: Acquisition, card: ModelCard | None) -> list[str]:
    notes = ["The imagery is simulated."] if acquisition.synthetic else []
    if card is None:
        return notes
    if card.data.synthetic and not acquisition.synthetic:
        notes.append("The model learnt from simulated imagery: the map says nothing about real fields.")
    if card.label_source == "ndvi_rule":
        notes.append("The model learnt to imitate the NDVI rule.")
    if card.label_source == "next_ndvi":
        notes.append("The classes are a forecast for the next usable date.")
    return notes
