"""The step `draw_map`: the crop-health map of the latest usable date, by the enabled model or by the NDVI rule.

The rule gives each pixel of vegetation or soil the class of its NDVI. The model classifies patches, as it was trained:
overlapping ones, slid over the area; a pixel takes the mean of the probabilities of all patches that hold it. Cloud,
shadow, snow, water and nodata are not assessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from include.core.errors import BadInputError, ContractError, GroundtruthError
from include.core.files import write_atomically
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.plots import figure_file
from include.core.run_folder import SOURCE_FOLDER, read_model
from include.core.settings import get_settings
from include.env_file import EnvFile, read_keys
from include.satellite.artifacts import CNN, HEALTH_MAP, HEALTH_MAP_PLOT, HEALTH_MAP_RASTER, VALIDATED
from include.satellite.datasets.cube import CubeScene, cube_bands, read_scene
from include.satellite.datasets.labels import assess, classes_of
from include.satellite.datasets.patches import PatchDataset
from include.satellite.datasets.schemas import CLASSES, PatchInfo
from include.satellite.datasets.splits import Tiles
from include.satellite.datasets.storage import Floats, Ints
from include.satellite.evaluation.statements import check_stated
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.scenes import cloud_optimised, differences, form_faults
from include.satellite.imagery.schemas import Acquisition, Grid, Imagery
from include.satellite.params import HealthMapParams
from include.satellite.registry import store
from include.satellite.schemas import HealthMap
from include.satellite.sensors.indices import NDVI

if TYPE_CHECKING:
    from matplotlib.patches import Patch

    from include.satellite.training.networks import ModelBundle
    from include.satellite.training.schemas import ModelCard

Classes = NDArray[np.int8]
SQUARE_METRES_PER_HECTARE = 10_000
OVERLAP = 4
"""A patch is slid by a quarter of its side, so that up to 16 patches hold a pixel."""
NOT_ASSESSED, WHITE = "#A0A0A0", "#FFFFFF"
COLORS = ("#CDE8B5", "#F2B544", "#D0622B", "#6B1526")
"""Of the classes, healthy to critical: each darker than the one before, so that their order shows in grey."""
OUTSIDE, FULL_PERCENT = 255, 100
BANDS = {"class": 1.0, "confidence": 0.01}
"""Bands of the raster, with their scales."""
HALF_A_PERCENT = 0.005
"""The raster holds whole percents."""
BARE_SOIL = (
    "Bare soil is Critical by the NDVI rule, as after harvest or before sowing: an NDVI of 0.3 or less says that "
    "little is green, not that a crop is ill."
)
NOTES = {
    "ndvi_rule": "The model learnt to imitate the NDVI rule.",
    "next_ndvi": "The classes are a forecast for the next usable date.",
}
"""By the label source of a model."""


class HealthMapMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `draw_map`; areas in hectares."""

    date: date
    drawn_by: str
    model_version: str | None
    hectares: dict[str, float]
    not_assessed: float


@dataclass(frozen=True)
class Layers:
    """The layers of a map.

    Args:
        classes: (H, W) position of the class, −1 where it is not assessed.
        confidence: (H, W) probability of the class, NaN where it is not assessed; None for the rule.
        inside: (H, W) pixels of the area.
        version: Of the model that drew it; None for the rule.
        card: Of that model.
    """

    classes: Classes
    confidence: Floats | None
    inside: NDArray[np.bool_]
    version: str | None = None
    card: ModelCard | None = None


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
    from include.satellite.training.networks import load_bundle

    imagery = _imagery(files, params)
    acquisition = _latest(imagery)
    env_file = EnvFile(get_settings().env_file)
    keys = read_keys(env_file.path, store.ENV_KEYS)
    inside = inside_mask(imagery.geometry, imagery.grid)
    scene = read_scene(acquisition, imagery, inside)
    version = store.in_use(keys, "cnn")
    if version is not None:
        try:
            bundle = load_bundle(store.find(version).folder, CNN)
            layers = Layers(*classify_by_model(bundle, scene, imagery), inside, version, bundle.card)
        except GroundtruthError as error:
            raise BadInputError(
                f"{env_file.path} enables model {version or '(none)'}, which cannot draw the map: {error}. Go back "
                f"with `./pipeline env rollback`, or set {store.USE}=false there to draw the map by the NDVI rule"
            ) from error
    else:
        layers = Layers(classify_by_rule(scene), None, inside)
    document = _document(imagery, acquisition, layers, env_file.path)
    write_atomically(HEALTH_MAP_RASTER.at(files), raster_of(layers, imagery.grid, document))
    plot_map(HEALTH_MAP_PLOT.at(files), layers, document, imagery.grid)
    HEALTH_MAP.write(files, document)


def draw_map_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `draw_map` from `health_map.json`."""
    document = HEALTH_MAP.read(files)
    return StepOutcome(
        metrics=HealthMapMetrics(**document.fields_of(HealthMapMetrics)),
        published_as=f"{document.place}/{document.date}",
        findings=tuple(Finding(severity="info", message=note) for note in (document.why, *document.notes)),
        tables=(Table(title=f"Crop health on {document.date}", columns=("class", "hectares"), rows=_areas(document)),),
    )


def recompute_map(files: Path, params: HealthMapParams) -> None:
    """Check that the map's document follows from the imagery and the raster, and a map by the rule from the scene.

    Args:
        files: Inputs and outputs of the step `draw_map`.
        params: The name of the manifest.

    Raises:
        ContractError: A class of the rule's map, an area, the place or the date is another one; names the field.
    """
    document, imagery = HEALTH_MAP.read(files), _imagery(files, params)
    acquisition, inside = _latest(imagery), inside_mask(imagery.geometry, imagery.grid)
    version = _enabled_version(document)
    classes, percent = _read_raster(files, imagery.grid, inside)
    scene = read_scene(acquisition, imagery, inside)
    layers = Layers(classes, None, inside)
    if version is not None:
        card = CNN.card.read(store.find(version).folder)
        _, _, covered = _usable_patches(card, scene)
        if not np.array_equal(classes >= 0, scene.land & covered):
            rule = f"must hold a class for each pixel that the patches of model {version} cover, and for no other"
            raise ContractError(HEALTH_MAP_RASTER.path, rule, f"{int((classes >= 0).sum()):,} pixels with a class")
        layers = Layers(classes, np.where(classes >= 0, percent / 100, np.nan), inside, version, card)
    elif not np.array_equal(classify_by_rule(scene), classes):
        raise ContractError(HEALTH_MAP_RASTER.path, f"must hold the class of the NDVI of {acquisition.date}", "others")
    _check_confidence(percent, layers)
    env_file = get_settings().env_file
    if document.env_file != str(env_file):  # in a container a link is not followed
        env_file = EnvFile(env_file).path
    expected = _document(imagery, acquisition, layers, env_file)
    stated, own = document.mean_confidence, expected.mean_confidence
    if stated is not None and own is not None and abs(stated - own) <= HALF_A_PERCENT:
        expected = expected.model_copy(update={"mean_confidence": stated})
    check_stated(HEALTH_MAP.path, document, expected)
    differing = differences(HEALTH_MAP_RASTER.at(files), raster_of(layers, imagery.grid, document))
    if differing:
        rule = f"must have the tags and masks of {HEALTH_MAP.path}, and overviews of its own pixels"
        raise ContractError(HEALTH_MAP_RASTER.path, rule, f"other {', '.join(differing)}")


def _check_confidence(percent: NDArray[np.uint8], layers: Layers) -> None:
    """Check that a model's classes have a confidence, and that nothing else has one."""
    confident = percent <= FULL_PERCENT
    expected = layers.classes >= 0 if layers.version is not None else np.zeros_like(layers.inside)
    if not np.array_equal(confident, expected) or (percent[~confident] != OUTSIDE).any():
        rule = f"must hold a confidence of 0 to {FULL_PERCENT} % where a model gave a class, and {OUTSIDE} elsewhere"
        raise ContractError(HEALTH_MAP_RASTER.path, rule, f"{int(confident.sum()):,} pixels with a confidence")


def _enabled_version(document: HealthMap) -> str | None:
    """Return the model that the env file enables, None for the rule, after checking that it drew the map."""
    env_file = get_settings().env_file
    keys = read_keys(env_file, store.ENV_KEYS)
    version = store.in_use(keys, "cnn")
    if document.model_version != version:
        author = "the NDVI rule" if version is None else f"model {version}"
        raise ContractError(
            HEALTH_MAP.path,
            f"must be drawn by {author}, as {env_file} states",
            document.model_version or document.drawn_by,
            hint="If the env file changed while the map was drawn, clear this step.",
        )
    return version


def _read_raster(files: Path, grid: Grid, inside: NDArray[np.bool_]) -> tuple[Classes, NDArray[np.uint8]]:
    """Return classes (−1 where there is none) and confidence in percent, after checking form and area."""
    import rasterio

    path = HEALTH_MAP_RASTER.path
    with rasterio.open(HEALTH_MAP_RASTER.at(files)) as raster:
        faults = form_faults(raster, tuple(BANDS), grid, "uint8", OUTSIDE)
        if raster.scales != tuple(BANDS.values()) or any(raster.offsets):
            faults.append(f"scales {raster.scales} and offsets {raster.offsets}, not {tuple(BANDS.values())} and none")
        if faults:
            raise ContractError(path, "must have the bands, size and georeference of the imagery", "; ".join(faults))
        values, percent = raster.read()
    if not np.array_equal(values == OUTSIDE, ~inside):
        raise ContractError(path, f"must cover the area, and hold {OUTSIDE} outside it", "another area")
    classes = np.where(inside, values.astype(np.int16) - 1, -1)
    if not np.isin(classes, range(-1, len(CLASSES))).all():
        raise ContractError(path, f"must hold the classes 0 to {len(CLASSES)}", classes.max() + 1)
    return classes.astype(np.int8), percent


def latest_acquisition(files: Path, params: HealthMapParams) -> Acquisition:
    """Return the acquisition that the map shows.

    Raises:
        BadInputError: The manifest cannot be read, or holds no usable date.
    """
    return _latest(_imagery(files, params))


def _imagery(files: Path, params: HealthMapParams) -> Imagery:
    manifest = params.imagery or VALIDATED.path
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


def classify_by_rule(scene: CubeScene) -> Classes:
    """Return the (H, W) class of each pixel's NDVI, −1 where it is not vegetation or soil."""
    return np.where(scene.land, classes_of(NDVI.of(scene.band)), -1).astype(np.int8)


def classify_by_model(bundle: ModelBundle, scene: CubeScene, imagery: Imagery) -> tuple[Classes, Floats]:
    """Return (H, W) class and probability by the mean over the patches that hold a pixel; −1 and NaN without any.

    Patches count that the model could have been trained on: at least 80 % clear, at least half of that land.

    Raises:
        BadInputError: The model takes other bands or pixels, or larger patches, than there are.
    """
    from include.satellite.training.networks import predict_patches

    card, (height, width) = bundle.card, scene.scl.shape
    dn = scene.dn[..., _band_positions(card, imagery)]
    tops, lefts, covered = _usable_patches(card, scene)
    total, count = np.zeros((height, width, len(card.classes)), np.float32), np.zeros((height, width), np.float32)
    if len(tops):
        patches = _patches(card, dn, scene.scl, tops, lefts)
        predicted = predict_patches(bundle, patches, np.arange(len(tops)))
        for top, left, probabilities in zip(tops, lefts, predicted, strict=True):
            window = slice(top, top + card.size), slice(left, left + card.size)
            total[window] += probabilities
            count[window] += 1
    assessed = scene.land & covered
    mean = total / np.maximum(count, 1)[..., None]
    classes = np.where(assessed, mean.argmax(axis=-1), -1).astype(np.int8)
    return classes, np.where(assessed, mean.max(axis=-1), np.nan).astype(np.float32)


def _usable_patches(card: ModelCard, scene: CubeScene) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Return (N,) rows and columns of the patches that a model may classify, and the (H, W) pixels that they cover."""
    height, width = scene.scl.shape
    tiles = Tiles.on(height, width, card.size, max(1, card.size // OVERLAP))
    tiles = Tiles(card.size, _to_the_edge(tiles.tops, height, card.size), _to_the_edge(tiles.lefts, width, card.size))
    usable = np.flatnonzero(assess(scene, tiles, None).reason == 0)
    tops, lefts = tiles.rows[usable], tiles.columns[usable]
    covered = np.zeros((height, width), np.bool_)
    for top, left in zip(tops, lefts, strict=True):
        covered[top : top + card.size, left : left + card.size] = True
    return tops, lefts, covered


def _band_positions(card: ModelCard, imagery: Imagery) -> list[int]:
    bands, resolution = cube_bands(imagery), card.data.grid.resolution
    missing = [band for band in card.inputs if band not in bands]
    if missing:
        raise BadInputError(f"it needs the bands {', '.join(missing)}, which the imagery lacks (extra_bands)")
    if resolution != imagery.grid.resolution:
        raise BadInputError(f"it was trained on pixels of {resolution} m, not of {imagery.grid.resolution} m")
    return [bands.index(band) for band in card.inputs]


def _to_the_edge(starts: Ints, length: int, size: int) -> Ints:
    """Return the starts, and one more where the last patch ends before the edge."""
    return np.unique(np.append(starts, length - size))


def _patches(card: ModelCard, dn: NDArray[np.uint16], scl: NDArray[np.uint8], tops: Ints, lefts: Ints) -> PatchDataset:
    """Return patches of one scene as the dataset that a model predicts on; only training reads the other columns."""
    zeros = np.zeros(len(tops), np.int64)
    unused: dict[str, Any] = dict.fromkeys(("label", "split", "block", "repeat", "ndvi"), zeros)
    fields: dict[str, Any] = {"bands": card.inputs, "patch_size": card.size}
    info = PatchInfo.model_construct(**fields)
    return PatchDataset(cube=dn[None], scl=scl[None], date=zeros, row=tops, col=lefts, info=info, **unused)


def _document(imagery: Imagery, acquisition: Acquisition, layers: Layers, env_file: Path) -> HealthMap:
    card = layers.card
    hectares = imagery.grid.resolution**2 / SQUARE_METRES_PER_HECTARE
    pixels = [int((layers.classes == position).sum()) for position in range(len(CLASSES))]
    not_assessed = int((layers.inside & (layers.classes < 0)).sum())
    confidence = None if layers.confidence is None else layers.confidence[layers.classes >= 0]
    notes = ["The imagery is simulated."] if acquisition.synthetic else []
    why = f"Drawn by the NDVI rule: {env_file} does not enable AI models."
    if card is not None:
        why = f"Drawn by model {layers.version}, which {env_file} enables (labels: {card.label_source})."
        if card.data.synthetic and not acquisition.synthetic:
            notes.append("The model learnt from simulated imagery: the map says nothing about real fields.")
        if card.label_source in NOTES:
            notes.append(NOTES[card.label_source])
    if card is None or card.label_source != "reference":
        notes.append(BARE_SOIL)
    return HealthMap(
        place=imagery.place,
        date=acquisition.date,
        drawn_by="ndvi_rule" if card is None else "model",
        why=why,
        model_version=layers.version,
        label_source=None if card is None else card.label_source,
        synthetic=acquisition.synthetic or (card is not None and card.data.synthetic),
        notes=notes,
        env_file=str(env_file),
        **imagery.grid.fields_of(HealthMap),
        hectares={name: round(count * hectares, 2) for name, count in zip(CLASSES, pixels, strict=True)},
        not_assessed=round(not_assessed * hectares, 2),
        outside=round(int((~layers.inside).sum()) * hectares, 2),
        mean_confidence=None if confidence is None or not len(confidence) else float(confidence.mean()),
    )


def _areas(document: HealthMap) -> list[tuple[str, float]]:
    """Return name and hectares of each class, and of what is not assessed."""
    return [*document.hectares.items(), ("not assessed", document.not_assessed)]


def raster_of(layers: Layers, grid: Grid, document: HealthMap) -> bytes:
    """Return a GeoTIFF with two bands of bytes, 255 being nodata.

    `class` is 1 Healthy to 4 Critical, or 0 where nothing is assessed; `confidence` is in percent, and nodata where the
    rule draws, which has none.
    """
    classes = np.where(layers.inside, layers.classes + 1, OUTSIDE)
    confidence = np.full(classes.shape, np.nan) if layers.confidence is None else layers.confidence
    percent = np.nan_to_num(np.round(confidence * 100), nan=OUTSIDE)
    bands = np.stack([classes, percent]).astype(np.uint8)
    return cloud_optimised(bands, grid, BANDS, _tags(document), nodata=OUTSIDE)


def _tags(document: HealthMap) -> dict[str, str]:
    """Return what the raster states of itself."""
    return {
        "DATE": document.date.isoformat(),
        "DRAWN_BY": document.model_version or document.drawn_by,
        "SYNTHETIC": "YES" if document.synthetic else "NO",
        "CLASSES": ",".join(f"{number}={name}" for number, name in enumerate(("not assessed", *CLASSES))),
    }


def plot_map(target: Path, layers: Layers, document: HealthMap, grid: Grid) -> None:
    """Plot the classes with a legend in hectares and, if a model drew them, its confidence beside it.

    The axes are the coordinates of the grid, in kilometres.
    """
    from matplotlib.colors import ListedColormap

    height, width = layers.classes.shape
    west, south, east, north = (metres / 1000 for metres in grid.bounds)
    extent = (west, east, south, north)
    panels = 1 if layers.confidence is None else 2
    side = 11 / panels * min(height / width, 1.4)
    with figure_file(target, height=float(np.clip(side, 3.2, 9)) + 1.1) as figure:
        axes = figure.subplots(1, panels, squeeze=False)[0]
        shown = np.where(layers.inside, layers.classes + 1, len(CLASSES) + 1)
        colors = ListedColormap([NOT_ASSESSED, *COLORS, WHITE])
        axes[0].imshow(shown, cmap=colors, vmin=0, vmax=len(CLASSES) + 1, interpolation="nearest", extent=extent)
        if layers.confidence is not None:
            confidence = axes[1].imshow(layers.confidence, cmap="cividis", vmin=0.25, vmax=1, extent=extent)
            hidden = np.where(layers.inside & (layers.classes < 0), 1.0, np.nan)
            axes[1].imshow(hidden, cmap=ListedColormap([NOT_ASSESSED]), extent=extent)
            figure.colorbar(confidence, ax=axes[1], shrink=0.75, pad=0.02)
            axes[0].set_title("Class")
            axes[1].set_title("Probability of the class")
        for panel in axes:
            panel.grid(visible=False)
            panel.set_xlabel(f"Easting (km), {grid.crs}")
            panel.ticklabel_format(style="plain", useOffset=False)
        axes[0].set_ylabel("Northing (km)")
        figure.legend(handles=_legend(document), loc="outside lower center", ncols=3, fontsize=9)
        author = "the NDVI rule" if document.model_version is None else f"model {document.model_version}"
        mark = ", SIMULATED" if document.synthetic else ""
        figure.suptitle(f"Crop health on {document.date}{mark}, drawn by {author}", x=0.01, ha="left")


def _legend(document: HealthMap) -> list[Patch]:
    from matplotlib.patches import Patch

    areas = _areas(document)
    total = sum(area for _, area in areas) or 1
    return [
        Patch(facecolor=color, edgecolor="#777777", linewidth=0.5, label=f"{name}: {area:,.1f} ha ({area / total:.0%})")
        for (name, area), color in zip(areas, (*COLORS, NOT_ASSESSED), strict=True)
    ]
