"""The crop-health map of the latest usable date: by the model that the env file switches on, else by the NDVI rule.

The rule gives each pixel of vegetation or soil the class of its NDVI. The model sees patches, as it was trained:
overlapping ones, slid over the area; a pixel takes the mean of the probabilities of all patches that hold it. What is
cloud, shadow, snow, water or nodata is not assessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from include.core.contracts import Summary
from include.core.errors import BadInputError, ContractError, GroundtruthError
from include.core.run_folder import SOURCE_FOLDER, read_model, write_json
from include.core.settings import get_settings
from include.env_file import EnvFile, read_keys
from include.satellite.imagery.schemas import Acquisition, Imagery
from include.satellite.models import model_store
from include.satellite.models.results import HealthMap
from include.satellite.params import HealthMapParams

if TYPE_CHECKING:
    from include.satellite.models.documents import ModelCard
    from include.satellite.models.pixels import Layers

MANIFEST, DOCUMENT, RASTER, PICTURE = "validated.json", "health_map.json", "health_map.tif", "plot_health_map.png"
SQUARE_METRES = 10_000


def draw_map(files: Path, params: HealthMapParams) -> None:
    """Write `health_map.tif`, `plot_health_map.png` and `health_map.json`.

    Args:
        files: The run's `files/` folder, with the imagery's manifest in `source/`.
        params: Name the manifest.

    Raises:
        BadInputError: There is no usable date, or the model that the env file names cannot draw this imagery.
        ContractError: The imagery is not as it was validated.
        SetupError: The folder cannot be written.
    """
    from include.satellite.datasets.cube import read_scene
    from include.satellite.imagery.area import inside_mask
    from include.satellite.models.map_files import plot_map, write_raster
    from include.satellite.models.pixels import Layers, classify_by_model, classify_by_rule
    from include.satellite.models.predict import load_bundle

    imagery = _imagery(files, params.imagery or MANIFEST)
    acquisition = _latest(imagery)
    env_file = EnvFile(get_settings().env_file)
    inside = inside_mask(imagery.geometry, imagery.grid)
    scene = read_scene(acquisition, imagery, inside)
    version = _promoted(env_file)
    if version is None:
        layers, card = Layers(classify_by_rule(scene), None, inside), None
    else:
        with _saying_the_way_back(env_file, version):
            model = model_store.find(version)
            bundle = load_bundle(model.path(model_store.CNN_WEIGHTS), model.path(model_store.CNN_CARD))
            layers, card = Layers(*classify_by_model(bundle, scene, imagery), inside), bundle.card
    document = _document(imagery, acquisition, layers, env_file, version, card)
    write_raster(files / RASTER, layers, imagery.grid, document)
    plot_map(files / PICTURE, layers, document)
    write_json(files / DOCUMENT, document)


def health_map_summary(files: Path) -> Summary:
    """Hectares by class, and who drew them."""
    document = read_model(files / DOCUMENT, HealthMap)
    if document is None:
        raise ContractError(DOCUMENT, "must exist", "no such file")
    rows: list[list[object]] = [[name, hectares] for name, hectares in document.hectares.items()]
    return {
        "date": document.date.isoformat(),
        "published_as": f"{document.place}/{document.date}",
        "drawn_by": document.drawn_by,
        "model_version": document.model_version,
        "hectares": document.hectares,
        "not_assessed": document.not_assessed,
        "findings": [{"severity": "info", "message": note} for note in (document.why, *document.notes)],
        "tables": [
            {
                "title": f"Crop health on {document.date}",
                "columns": ["class", "hectares"],
                "rows": [*rows, ["not assessed", document.not_assessed]],
            }
        ],
    }


def _imagery(files: Path, manifest: str) -> Imagery:
    name = f"{SOURCE_FOLDER}/{manifest}"
    try:
        imagery = read_model(files / name, Imagery)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise BadInputError(f"{manifest}: is no manifest of validated imagery: {where}: {first['msg']}") from error
    if imagery is None:
        raise ContractError(name, "must exist", "no such file")
    return imagery


def _latest(imagery: Imagery) -> Acquisition:
    usable = [acquisition for acquisition in imagery.acquisitions if acquisition.usable]
    if not usable:
        raise BadInputError(f"{MANIFEST}: holds no usable acquisition between {imagery.start} and {imagery.end}")
    return max(usable, key=lambda acquisition: acquisition.datetime)


def _promoted(env_file: EnvFile) -> str | None:
    values = read_keys(env_file.path, model_store.SWITCHES)
    return values.get(model_store.VERSION, "") if model_store.switched_on(values) else None


@contextmanager
def _saying_the_way_back(env_file: EnvFile, version: str) -> Iterator[None]:
    try:
        yield
    except GroundtruthError as error:
        raise BadInputError(
            f"{env_file.path} switches on model {version or '(none)'}, which cannot draw the map: {error}. Go back "
            f"with `./pipeline env rollback`, or set {model_store.USE}=false there and the NDVI rule draws it"
        ) from error


def _document(
    imagery: Imagery,
    acquisition: Acquisition,
    layers: Layers,
    env_file: EnvFile,
    version: str | None,
    card: ModelCard | None,
) -> HealthMap:
    from include.satellite.datasets.schemas import CLASSES

    hectares = imagery.grid.resolution**2 / SQUARE_METRES
    pixels = [int((layers.classes == position).sum()) for position in range(len(CLASSES))]
    not_assessed = int((layers.inside & (layers.classes < 0)).sum())
    known = None if layers.confidence is None else layers.confidence[layers.classes >= 0]
    trained_on_simulated = card is not None and card.data.synthetic
    return HealthMap(
        place=imagery.place,
        date=acquisition.date,
        drawn_by="ndvi_rule" if card is None else "model",
        why=_why(env_file, version, card),
        model_version=version,
        label_source=None if card is None else card.label_source,
        synthetic=acquisition.synthetic or trained_on_simulated,
        notes=_notes(acquisition, card),
        env_file=str(env_file.path),
        crs=imagery.grid.crs,
        resolution=imagery.grid.resolution,
        hectares={name: round(count * hectares, 2) for name, count in zip(CLASSES, pixels, strict=True)},
        not_assessed=round(not_assessed * hectares, 2),
        outside=round(int((~layers.inside).sum()) * hectares, 2),
        mean_confidence=None if known is None or not len(known) else float(known.mean()),
    )


def _why(env_file: EnvFile, version: str | None, card: ModelCard | None) -> str:
    if card is None:
        return f"Drawn by the NDVI rule: {env_file.path} does not switch on AI models."
    return f"Drawn by model {version}, which {env_file.path} switches on (labels: {card.label_source})."


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
