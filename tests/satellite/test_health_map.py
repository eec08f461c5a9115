"""The crop-health map: the rule by pixel, the model by sliding patches, and the truth about who drew it."""

import json
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from include.core.errors import BadInputError, ContractError
from include.env_file import EnvFile, Reason
from include.satellite.datasets.cube import CubeScene
from include.satellite.health_map import (
    Layers,
    classify_by_model,
    classify_by_rule,
    draw_map,
    draw_map_outcome,
    plot_map,
    raster_of,
    recompute_map,
)
from include.satellite.imagery.schemas import Grid
from include.satellite.params import HealthMapParams
from include.satellite.registry import store
from include.satellite.schemas import HealthMap
from include.satellite.sensors.sentinel2 import SENTINEL2
from include.satellite.training import networks
from include.satellite.training.networks import ModelBundle
from tests.satellite.imagery_store import ImageryMaker, grid_of, layers_of
from tests.satellite.registry.test_store import comparison

SIDE, FIRST, LAST = 64, date(2026, 5, 1), date(2026, 6, 1)
WHY = Reason(by="tester", why="a test")
NDVI = np.repeat([0.8, 0.6, 0.4, 0.2], 16)[:, None] * np.ones(SIDE)


@pytest.fixture
def run(data_dir, env_file):
    """A run's `files/` with its manifest of two dates: the latest has a cloud, water and a field of each class."""
    folder = data_dir / "runs" / "crop_health_map" / "manual__1" / "files"
    (folder / "source").mkdir(parents=True)
    make(data_dir, folder)
    return folder


def make(data_dir, folder, ndvi=NDVI, synthetic=False, layers=None, **options):
    maker = ImageryMaker(data_dir, grid_of(SIDE, SIDE), synthetic=synthetic, **options)
    scl = np.full((SIDE, SIDE), 4, np.uint8)
    scl[:, :4], scl[:, 4:8], scl[:, 8:12], scl[:, 12:16] = 9, 6, 5, 7
    first = maker.scene(FIRST, layers_of(np.full((SIDE, SIDE), 0.8), np.full((SIDE, SIDE), 4)))
    last = maker.scene(LAST, layers_of(ndvi, scl) if layers is None else layers)
    return maker.manifest(folder, [first, last], "source/validated.json")


def document(folder):
    return HealthMap.model_validate_json((folder / "health_map.json").read_bytes())


def texture(classes, seed=9):
    """A scene as the small models learnt them: the red band's texture is the class."""
    draw = np.random.default_rng(seed)
    bands = np.full((4, SIDE, SIDE), 3000) + draw.integers(-100, 100, (4, SIDE, SIDE))
    bands[2] += classes * 300 * draw.choice([-1, 1], (SIDE, SIDE))
    return np.concatenate([bands, np.full((1, SIDE, SIDE), 4)])


@pytest.fixture
def drawn(run, quick_plots):
    """The same with its map by the rule, whose plot is empty."""
    draw_map(run, HealthMapParams())
    return run


@pytest.fixture
def enabled(trained_run, env_file):
    """The small models, promoted."""
    (trained_run / "comparison.json").write_text("{}")
    model = store.put(trained_run, comparison(synthetic=True), "dag/run")
    EnvFile(env_file).update(store.env_changes(model, ["cnn", "lstm"]), WHY)
    return model


# by the rule


def test_without_a_model_the_rule_draws_each_pixel(run):
    draw_map(run, HealthMapParams())
    drawn = document(run)
    assert (drawn.date, drawn.drawn_by, drawn.model_version, drawn.label_source) == (LAST, "ndvi_rule", None, None)
    assert "does not enable AI models" in drawn.why
    per_class = 16 * (SIDE - 12) / 100  # hectares: cloud, water and unclassified are 12 columns of 64
    assert drawn.hectares == dict.fromkeys(("Healthy", "Moderate", "Stressed", "Critical"), per_class)
    assert drawn.not_assessed == pytest.approx(12 * SIDE / 100)
    assert drawn.outside == 0
    with rasterio.open(run / "health_map.tif") as raster:
        classes, confidence = raster.read()
        assert raster.descriptions == ("class", "confidence")
        assert raster.nodata == 255
        assert raster.crs.to_epsg() == 32643
        assert raster.tags()["DRAWN_BY"] == "ndvi_rule"
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert (classes[:, 8:12] == np.repeat([1, 2, 3, 4], 16)[:, None]).all(), "soil is assessed like vegetation"
    assert (classes[:, 16:] == np.repeat([1, 2, 3, 4], 16)[:, None]).all()
    assert set(np.unique(classes[:, :8])) | set(np.unique(classes[:, 12:16])) == {0}
    assert (confidence == 255).all(), "a rule has no confidence"


def test_pixels_outside_the_area_are_nodata_and_count_apart(run, data_dir):
    everywhere = make(data_dir, run)
    ring = everywhere.geometry["coordinates"][0]
    (west, south), (east, north) = ring[0], ring[2]
    middle = (west + east) / 2
    half = [(west, south), (middle, south), (middle, north), (west, north), (west, south)]
    make(data_dir, run, geometry={"type": "Polygon", "coordinates": [half]})
    draw_map(run, HealthMapParams())
    drawn = document(run)
    with rasterio.open(run / "health_map.tif") as raster:
        classes = raster.read(1)
    assert 0.45 < (classes == 255).mean() < 0.55
    assert drawn.outside == pytest.approx((classes == 255).sum() / 100)
    assert sum(drawn.hectares.values()) + drawn.not_assessed + drawn.outside == pytest.approx(SIDE * SIDE / 100)


@pytest.mark.parametrize("values", [{"USE_AI_MODELS": "false"}, {"USE_AI_MODELS": None}])
def test_a_disabled_model_draws_nothing(run, enabled, env_file, values):
    EnvFile(env_file).update(values, WHY)
    draw_map(run, HealthMapParams())
    assert document(run).drawn_by == "ndvi_rule"


# by the model


def test_the_promoted_model_draws_what_the_rule_cannot_see(run, data_dir, enabled):
    true = np.kron(np.array([[0, 3], [3, 0]]), np.ones((32, 32), int))
    make(data_dir, run, synthetic=True, layers=texture(true))
    draw_map(run, HealthMapParams())
    drawn = document(run)
    assert (drawn.drawn_by, drawn.model_version, drawn.label_source) == ("model", enabled.version, "reference")
    assert drawn.synthetic
    with rasterio.open(run / "health_map.tif") as raster:
        classes, confidence = raster.read()
        assert raster.tags()["DRAWN_BY"] == enabled.version
        assert raster.scales == (1.0, 0.01)
    inner = np.zeros((SIDE, SIDE), bool)
    for row in (0, 32):
        for column in (0, 32):
            inner[row + 8 : row + 24, column + 8 : column + 24] = True
    assert (classes[inner] == true[inner] + 1).mean() > 0.9
    assert confidence[inner].mean() > 60
    assert drawn.mean_confidence == pytest.approx(confidence[classes > 0].mean() / 100, abs=0.01)
    assert (run / "plot_health_map.png").read_bytes()[:4] == b"\x89PNG"


def test_a_model_from_simulated_imagery_says_so_on_real_imagery(run, data_dir, enabled):
    make(data_dir, run, layers=texture(np.zeros((SIDE, SIDE), int)))
    draw_map(run, HealthMapParams())
    assert document(run).synthetic
    assert "says nothing about real fields" in document(run).notes[0]


# what cannot be


@pytest.mark.parametrize("fault", ["gone", "damaged", "nameless"])
def test_a_missing_or_damaged_model_is_an_error_that_says_the_way_back(run, enabled, env_file, fault):
    if fault == "gone":
        enabled.folder.rename(enabled.folder.with_name("elsewhere"))
    elif fault == "damaged":
        (enabled.folder / "cnn_model.safetensors").write_bytes(b"nonsense")
    else:
        EnvFile(env_file).update({"AI_CNN_MODEL_PATH": "weights"}, WHY)
    with pytest.raises(BadInputError) as error:
        draw_map(run, HealthMapParams())
    assert f"{env_file} enables model" in str(error.value)
    assert "`./pipeline env rollback`" in str(error.value)
    assert not (run / "health_map.json").exists()


def test_changed_imagery_is_refused(run, data_dir):
    (path,) = (data_dir / "imagery").glob(f"**/{LAST}.tif")
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ContractError, match="must be as it was validated"):
        draw_map(run, HealthMapParams())


@pytest.mark.parametrize(("content", "error"), [("{}", "is not a manifest"), ("not json", "Invalid JSON")])
def test_a_file_that_is_not_a_manifest_is_refused(run, content, error):
    (run / "source" / "mine.json").write_text(content)
    with pytest.raises(BadInputError, match=rf"mine\.json: is not a manifest of validated imagery.*|{error}"):
        draw_map(run, HealthMapParams(imagery="mine.json"))
    with pytest.raises(ContractError, match=r"source/other\.json: must exist"):
        draw_map(run, HealthMapParams(imagery="other.json"))


def test_no_usable_date_is_said(run):
    path = run / "source" / "validated.json"
    manifest = json.loads(path.read_bytes())
    for acquisition in manifest["acquisitions"]:
        acquisition["usable"] = False
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match="holds no usable acquisition"):
        draw_map(run, HealthMapParams())


# pictures and figures


def test_the_legend_names_every_class_with_its_area(run, monkeypatch):
    from matplotlib.figure import Figure

    seen, real = {}, Figure.savefig

    def capture(figure, *arguments, **options):
        seen["legend"] = [text.get_text() for text in figure.legends[0].get_texts()]
        seen["title"] = figure.get_suptitle()
        real(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", capture)
    draw_map(run, HealthMapParams())
    assert seen["legend"] == [
        *(f"{name}: 8.3 ha (20%)" for name in ("Healthy", "Moderate", "Stressed", "Critical")),
        "not assessed: 7.7 ha (19%)",
    ]
    assert seen["title"] == "Crop health on 2026-06-01, drawn by the NDVI rule"


def test_the_summary_says_who_drew_and_how_much(run):
    draw_map(run, HealthMapParams())
    summary = draw_map_outcome(run).model_dump(mode="json")
    assert (summary["drawn_by"], summary["date"]) == ("ndvi_rule", "2026-06-01")
    assert summary["hectares"]["Healthy"] == pytest.approx(8.32)
    assert "Drawn by the NDVI rule" in summary["findings"][0]["message"]
    assert summary["tables"][0]["rows"][-1] == ["not assessed", 7.68]


# classes of pixels and their files

GRID = Grid(crs="EPSG:32643", resolution=10, bounds=(0, 0, 30, 20), width=3, height=2)
DOCUMENT = HealthMap(
    date=date(2026, 6, 1), place="75.800E_30.900N_75.900E_31.000N", drawn_by="model", why="", model_version="v1",
    label_source="reference",
    synthetic=True, notes=[], env_file=".env", crs="EPSG:32643", resolution=10, not_assessed=0.01, outside=0.01,
    hectares={"Healthy": 0.01, "Moderate": 0.01, "Stressed": 0.01, "Critical": 0.01}, mean_confidence=0.6,
)  # fmt: skip
CLASSES = np.array([[0, 1, 2], [3, -1, -1]], np.int8)
INSIDE = np.array([[True, True, True], [True, True, False]])
CONFIDENCE = np.array([[0.5, 0.6, 0.7], [0.8, np.nan, np.nan]], np.float32)


def test_the_rule_classifies_vegetation_and_soil_alone():
    ndvi = np.array([[0.8, 0.6, 0.4], [0.1, 0.8, 0.8]])
    dn = np.zeros((2, 3, 4), np.uint16)
    dn[..., 2], dn[..., 3] = 5000 * (1 - ndvi), 5000 * (1 + ndvi)
    classes = classify_by_rule(
        CubeScene(SENTINEL2, SENTINEL2.base_bands, dn, np.array([[4, 5, 4], [5, 6, 9]], np.uint8))
    )
    assert classes.tolist() == [[0, 1, 2], [3, -1, -1]]


def test_the_raster_holds_classes_and_confidence_in_percent(tmp_path):
    (tmp_path / "map.tif").write_bytes(raster_of(Layers(CLASSES, CONFIDENCE, INSIDE), GRID, DOCUMENT))
    with rasterio.open(tmp_path / "map.tif") as raster:
        classes, confidence = raster.read()
        assert (raster.nodata, raster.crs.to_epsg(), raster.scales) == (255, 32643, (1.0, 0.01))
        assert raster.tags()["DRAWN_BY"] == "v1"
        assert raster.tags()["SYNTHETIC"] == "YES"
    assert classes.tolist() == [[1, 2, 3], [4, 0, 255]]
    assert confidence.tolist() == [[50, 60, 70], [80, 255, 255]]


def test_the_plot_has_a_panel_for_the_confidence_of_a_model(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    panels, save = [], Figure.savefig

    def capture(figure, *arguments, **options):
        panels.append([axes.get_title(loc="left") for axes in figure.axes if "km" in axes.get_xlabel()])
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", capture)
    plot_map(tmp_path / "map.png", Layers(CLASSES, CONFIDENCE, INSIDE), DOCUMENT, GRID)
    plot_map(
        tmp_path / "rule.png", Layers(CLASSES, None, INSIDE), DOCUMENT.model_copy(update={"model_version": None}), GRID
    )
    assert panels == [["Class", "Probability of the class"], [""]]


def bundle(size=8, classes=4, inputs=("B02", "B03", "B04", "B08"), resolution=10):
    card = SimpleNamespace(
        size=size, inputs=list(inputs), classes=["a"] * classes,
        data=SimpleNamespace(grid=SimpleNamespace(resolution=resolution)),
    )  # fmt: skip
    return ModelBundle(card, {})


def imagery(resolution=10, bands=("B02", "B03", "B04", "B08", "SCL")):
    return SimpleNamespace(bands=list(bands), grid=SimpleNamespace(resolution=resolution), sensor=SENTINEL2)


def scene(height=20, width=27, seed=0):
    draw = np.random.default_rng(seed)
    scl = np.full((height, width), 4, np.uint8)
    scl[:9, :9], scl[3, 15], scl[15:, 20:] = 9, 8, 6
    return CubeScene(SENTINEL2, SENTINEL2.base_bands, draw.integers(1, 9000, (height, width, 4)).astype(np.uint16), scl)


def test_a_pixel_takes_the_mean_over_all_patches_that_hold_it(monkeypatch):
    def guess(_, patches, rows):
        first = patches.cube[0, patches.row[rows], patches.col[rows], 0] / 9000
        return np.stack([first, 1 - first, np.zeros(len(rows)), np.zeros(len(rows))], axis=1)

    monkeypatch.setattr(networks, "predict_patches", guess)
    one = scene()
    classes, confidence = classify_by_model(bundle(), one, imagery())
    total, seen = np.zeros((20, 27)), np.zeros((20, 27), int)
    for top in range(0, 13, 2):
        for left in [*range(0, 20, 2), 19]:
            window = one.scl[top : top + 8, left : left + 8]
            clear, land = np.isin(window, (4, 5, 6, 7)).sum(), np.isin(window, (4, 5)).sum()
            if clear >= 0.8 * 64 and land >= 0.5 * clear:
                total[top : top + 8, left : left + 8] += one.dn[top, left, 0] / 9000
                seen[top : top + 8, left : left + 8] += 1
    assessed = (seen > 0) & np.isin(one.scl, (4, 5))
    mean = total[assessed] / seen[assessed]
    assert 0.5 < assessed.mean() < 0.9
    assert seen.max() >= 16
    assert np.array_equal(classes >= 0, assessed)
    assert np.array_equal(~np.isnan(confidence), assessed)
    assert np.allclose(confidence[assessed], np.maximum(mean, 1 - mean), atol=1e-5)
    assert np.array_equal(classes[assessed], (mean < 0.5).astype(int))


def test_bands_that_the_model_does_not_take_are_left_out(monkeypatch):
    cubes = []
    monkeypatch.setattr(
        networks, "predict_patches", lambda _, patches, rows: cubes.append(patches.cube) or np.ones((len(rows), 4))
    )
    classify_by_model(bundle(inputs=("B08", "B04")), scene(), imagery())
    assert np.array_equal(cubes[0][0], scene().dn[..., [3, 2]])


def test_a_scene_without_a_clear_patch_is_not_assessed():
    cloudy = CubeScene(SENTINEL2, SENTINEL2.base_bands, np.ones((16, 16, 4), np.uint16), np.full((16, 16), 9, np.uint8))
    classes, confidence = classify_by_model(bundle(), cloudy, imagery())
    assert (classes == -1).all()
    assert np.isnan(confidence).all()


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (bundle(inputs=("B04", "B11")), "needs the bands B11"),
        (bundle(resolution=20), "was trained on pixels of 20 m, not of 10 m"),
        (bundle(size=64), "a tile of 64 pixels does not fit into the area of 20 × 27 pixels"),
    ],
)
def test_a_model_that_takes_other_data_is_refused(model, fault):
    with pytest.raises(BadInputError, match=fault):
        classify_by_model(model, scene(), imagery())


# what the orchestrator derives again


def state(run, **changes):
    document = json.loads((run / "health_map.json").read_bytes())
    (run / "health_map.json").write_text(json.dumps(document | changes))


def altered(run, change):
    """Write the map again with other pixels or another form: what `change` makes of its layers, profile and tags."""
    with rasterio.open(run / "health_map.tif") as raster:
        kept = ("dtype", "count", "height", "width", "crs", "transform", "nodata")
        form = {name: raster.profile[name] for name in kept}
        layers, tags, scales, names = raster.read(), raster.tags(), list(raster.scales), raster.descriptions
    layers = change(layers, form, tags, scales)
    form["count"] = len(layers)
    with rasterio.open(run / "health_map.tif", "w", driver="GTiff", **form) as raster:
        raster.write(layers)
        raster.descriptions = names + ("more",) * (len(layers) - len(names))
        raster.scales = (*scales, *[1.0] * (len(layers) - len(scales)))
        raster.update_tags(**tags)


def changed(**changes):
    """A change of the form, the tags or the scale of the classes that leaves the pixels as they are."""

    def change(layers, form, tags, scales):
        for place in (form, tags):
            place.update({name: value for name, value in changes.items() if name in place})
        scales[0] = changes.get("scale", scales[0])
        return layers

    return change


def tagged(**more):
    def change(layers, form, tags, scales):
        tags |= more
        return layers

    return change


def painted(band, rows, value):
    """A change of pixels."""

    def change(layers, *_):
        layers[band, rows, 20:30] = value
        return layers

    return change


def paint(run, band, value):
    """Change one pixel of the map."""
    altered(run, painted(band, 20, value))


def test_a_map_by_the_rule_is_confirmed(drawn):
    recompute_map(drawn, HealthMapParams())


def test_a_map_by_the_model_is_confirmed(run, data_dir, enabled, quick_plots):
    make(data_dir, run, synthetic=True, layers=texture(np.kron([[0, 3], [3, 0]], np.ones((32, 32), int))))
    draw_map(run, HealthMapParams())
    recompute_map(run, HealthMapParams())
    state(run, mean_confidence=document(run).mean_confidence + 0.1)
    with pytest.raises(ContractError, match=r"\$\.mean_confidence"):
        recompute_map(run, HealthMapParams())


@pytest.mark.parametrize(
    "place",
    [
        "../other", "../../../etc", "/etc", "", ".", "75.800e_30.900n_75.900e_31.000n", "a\0b",
        "75.800E_30.900N_75.900E_31.000N/..", "75.800E_30.900N_75.900E_31.000N\n",
    ],
)  # fmt: skip
def test_a_place_that_is_no_place_is_refused_before_anything_is_published(drawn, place):
    state(drawn, place=place)
    with pytest.raises(ContractError, match=r"health_map\.json: must keep to its schema"):
        draw_map_outcome(drawn)
    with pytest.raises(ContractError, match="must keep to its schema"):
        recompute_map(drawn, HealthMapParams())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"place": "75.800E_30.900N_75.900E_31.000N"}, "place"),
        ({"date": "2026-05-01"}, "date"),
        ({"hectares": {"Healthy": 99.0, "Moderate": 0.0, "Stressed": 0.0, "Critical": 0.0}}, "hectares"),
        ({"not_assessed": 0.0}, "not_assessed"),
        ({"outside": 9.0}, "outside"),
        ({"synthetic": True}, "synthetic"),
        ({"resolution": 20}, "resolution"),
        ({"notes": ["All is well."]}, "notes"),
    ],
)
def test_a_document_that_states_another_map_is_refused(drawn, changes, field):
    state(drawn, **changes)
    with pytest.raises(ContractError, match=rf"health_map\.json: must state what follows .*\$\.{field}"):
        recompute_map(drawn, HealthMapParams())


@pytest.mark.parametrize(
    ("band", "value", "rule"),
    [
        (0, 3, "must hold the class of the NDVI of 2026-06-01"),
        (0, 9, "must hold the classes 0 to 4"),
        (0, 255, "must cover the area"),
    ],
)
def test_a_pixel_of_another_class_is_found(drawn, band, value, rule):
    paint(drawn, band, value)
    with pytest.raises(ContractError, match=rf"health_map\.tif: {rule}"):
        recompute_map(drawn, HealthMapParams())


UTM_44, NORTH = "EPSG:32644", rasterio.Affine(10, 0, 600_000, 0, -10, 3_600_000)
MAP_LIES = {
    "a map of another UTM zone": (changed(crs=UTM_44), "georeference of the imagery; found CRS EPSG:32644"),
    "a map of another place": (changed(transform=NORTH), "georeference of the imagery; found bounds"),
    "a map without nodata": (changed(nodata=None), "found nodata None, not 255"),
    "classes that readers scale": (changed(scale=2.0), "found scales"),
    "a third band": (lambda layers, *_: np.concatenate([layers, layers[:1]]), "found bands"),
    "simulated imagery, marked so in the document alone": (
        changed(SYNTHETIC="YES"),
        "must have the tags .* found other tags",
    ),
    "another date in its tags": (changed(DATE="2026-05-01"), "must have the tags .* found other tags"),
    "a tag more": (tagged(CERTIFIED_BY="ESA"), "must have the tags .* found other tags"),
    "a confidence that the rule does not have": (painted(1, 20, 99), "must hold a confidence"),
}


@pytest.mark.parametrize("lie", MAP_LIES)
def test_a_lie_in_the_raster_of_a_map_is_red(drawn, lie):
    change, message = MAP_LIES[lie]
    altered(drawn, lambda layers, *_: layers)
    recompute_map(drawn, HealthMapParams())  # writing it again is no lie
    altered(drawn, change)
    with pytest.raises(ContractError, match=rf"health_map\.tif: .*{message}"):
        recompute_map(drawn, HealthMapParams())


def with_overview(path):
    """Add an overview that is healthy everywhere, and leave the pixels as they are."""
    with rasterio.open(path) as raster:
        layers, profile = raster.read(), raster.profile | {"driver": "GTiff", "tiled": True}
        tags, bands, scales = raster.tags(), raster.descriptions, raster.scales
    profile.update(blockxsize=16, blockysize=16)
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(np.where(layers < 255, 1, layers).astype(np.uint8))
        raster.descriptions, raster.scales = bands, scales
        raster.update_tags(**tags)
    for change in (lambda raster: raster.build_overviews([2], Resampling.nearest), lambda raster: raster.write(layers)):
        with rasterio.open(path, "r+") as raster:
            change(raster)


def with_mask(path):
    """Hide what is stressed or critical."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        raster.write_mask(raster.read(1) < 3)


@pytest.mark.parametrize(("lie", "found"), [(with_overview, "overviews"), (with_mask, "masks")])
def test_a_map_that_a_viewer_would_show_otherwise_is_refused(drawn, lie, found):
    lie(drawn / "health_map.tif")
    with pytest.raises(ContractError, match=rf"health_map\.tif: must have the tags .* found other .*{found}"):
        recompute_map(drawn, HealthMapParams())


MODEL_MAP_LIES = {
    "a class where the model has none": (painted(0, slice(None), 1), "must hold a class for each pixel"),
    "no class where the model has one": (painted(0, 20, 0), "must hold a class for each pixel"),
    "a class without confidence": (painted(1, 20, 255), "must hold a confidence"),
    "more than certain": (painted(1, 20, 101), "must hold a confidence"),
}


@pytest.mark.parametrize("lie", MODEL_MAP_LIES)
def test_a_lie_in_the_raster_of_a_models_map_is_red(run, data_dir, enabled, quick_plots, lie):
    change, message = MODEL_MAP_LIES[lie]
    layers = texture(np.kron([[0, 3], [3, 0]], np.ones((32, 32), int)))
    layers[-1, :8] = 9  # clouds
    make(data_dir, run, synthetic=True, layers=layers)
    draw_map(run, HealthMapParams())
    altered(run, change)
    with pytest.raises(ContractError, match=rf"health_map\.tif: {message}"):
        recompute_map(run, HealthMapParams())


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"why": "Drawn by the ministry."}, "why"), ({"env_file": "/etc/approved"}, "env_file")],
)
def test_a_document_that_states_another_reason_for_its_author_is_refused(drawn, changes, field):
    state(drawn, **changes)
    with pytest.raises(ContractError, match=rf"health_map\.json: must state what follows .*\$\.{field}"):
        recompute_map(drawn, HealthMapParams())


def test_a_map_by_the_rule_that_is_called_the_models_is_refused(drawn):
    state(drawn, drawn_by="model", model_version="20260101T000000Z-12345678", label_source="ndvi_rule")
    with pytest.raises(ContractError, match=r"health_map\.json: must be drawn by the NDVI rule, as .* states"):
        recompute_map(drawn, HealthMapParams())


def test_a_map_by_the_rule_where_a_model_is_enabled_is_refused(drawn, request):
    model = request.getfixturevalue("enabled")
    with pytest.raises(ContractError, match=rf"health_map\.json: must be drawn by model {model.version}, as .* states"):
        recompute_map(drawn, HealthMapParams())
