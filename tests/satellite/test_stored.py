"""Each step names the very files of stores that it reads, as its inputs and the env file give them."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from include.core.artifacts import sha256
from include.core.contracts import StepParams, StoredFile
from include.core.errors import BadInputError, ContractError
from include.env_file import EnvFile, Reason
from include.satellite import stored
from include.satellite.artifacts import COMPARISON, FIELDS, IMAGERY, VALIDATED
from include.satellite.evaluation.synthetic_baseline import stored_baseline
from include.satellite.fields.collection import mapped_path
from include.satellite.fields.observations import observe
from include.satellite.fields.params import MapParams
from include.satellite.fields.schemas import FieldSet
from include.satellite.fields.store import keep_measurements, store_file
from include.satellite.params import CompareParams, HealthMapParams
from include.satellite.registry import store
from include.satellite.registry.store import FILES
from include.satellite.steps import SATELLITE_STEPS
from tests.satellite.fields.squares import make_imagery, three_fields
from tests.satellite.imagery_store import ImageryMaker, grid_of
from tests.satellite.registry.test_store import comparison
from tests.satellite.small_data import write_patches

PARAMS = CompareParams(patch_size=8, stride=8, sequence_length=4)
DAYS = (date(2026, 5, 1), date(2026, 6, 1))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "source").mkdir(parents=True)
    return folder


@pytest.fixture
def maker(data_dir: Path) -> ImageryMaker:
    return ImageryMaker(data_dir, grid_of(4, 4))


@pytest.fixture
def scenes(maker: ImageryMaker, files: Path) -> list[StoredFile]:
    """The scenes of all manifests of a run, as a step that verifies them must name them."""
    acquisitions = [maker.scene(day, np.full((5, 4, 4), 4)) for day in DAYS]
    for name in (IMAGERY.path, VALIDATED.path, f"source/{VALIDATED.path}"):
        maker.manifest(files, acquisitions, name)
    return [StoredFile(f"imagery/{item.file}", item.sha256, "the validation") for item in acquisitions]


@pytest.fixture
def model(files: Path, env_file: Path) -> store.StoredModel:
    """A stored model, which the env file enables."""
    for name in FILES:
        (files / name).write_text(f"content of {name}")
    model = store.put(files, comparison(), "dag/run")
    EnvFile(env_file).update(store.env_changes(model, ["cnn", "lstm"]), Reason(by="tester", why="a test"))
    return model


def of_model(model: store.StoredModel) -> list[StoredFile]:
    folder = f"models/store/{model.version}"
    return [
        StoredFile(f"{folder}/model.json"),
        *(StoredFile(f"{folder}/{name}", sha256(model.folder / name), "the promotion") for name in FILES),
    ]


def test_every_step_that_reads_a_store_declares_a_function_of_this_module():
    declared = {step.id: step.stored for step in SATELLITE_STEPS.values() if step.stored}
    assert {name.rpartition(":")[0] for name in declared.values()} == {stored.__name__}
    assert all(callable(getattr(stored, name.rpartition(":")[2])) for name in declared.values())


def test_the_validation_judges_the_scenes_of_the_manifest_itself(files, scenes):
    assert list(stored.collected_scenes(files, StepParams())) == [StoredFile(scene.path) for scene in scenes]


def test_the_scenes_of_validated_imagery_must_be_as_the_validation_left_them(files, scenes):
    assert list(stored.validated_scenes(files, StepParams())) == scenes


def test_a_map_needs_its_latest_scene_alone_and_the_enabled_model(files, scenes, env_file):
    assert list(stored.map_files(files, HealthMapParams())) == scenes[1:]


def test_a_map_reads_the_enabled_model(files, scenes, model):
    assert list(stored.map_files(files, HealthMapParams())) == [scenes[1], *of_model(model)]


def test_a_comparison_reads_the_enabled_model_and_the_baseline_whether_or_not_it_is_stored(files, model):
    write_patches(files)
    baseline = [StoredFile(path) for path in stored_baseline(files, PARAMS)]
    assert {Path(file.path).parts[:2] for file in baseline} == {("models", "baselines")}
    assert list(stored.rivals(files, PARAMS)) == [*of_model(model), *baseline]


@pytest.mark.parametrize("damage", ["file", "manifest"])
def test_of_an_enabled_model_that_is_damaged_the_step_states_what_is_wrong(files, scenes, model, damage):
    (model.folder / ("model.json" if damage == "manifest" else FILES[0])).unlink()
    assert list(stored.map_files(files, HealthMapParams())) == scenes[1:]


@pytest.mark.parametrize("version", [None, "the stored one", "20260101T000000Z-01234567"])
def test_the_verification_reads_the_champion_that_the_comparison_names(files, model, monkeypatch, version):
    name = model.version if version == "the stored one" else version
    monkeypatch.setattr(type(COMPARISON), "read", lambda *_: comparison(champions={"lstm": name} if name else {}))
    if version == "20260101T000000Z-01234567":
        with pytest.raises(BadInputError, match="there is no model version"):
            list(stored.champion(files, PARAMS))
        return
    assert list(stored.champion(files, PARAMS)) == ([] if version is None else of_model(model))


@pytest.mark.parametrize("file", ["../../.env", "/etc/passwd", "test/../../models/store/x.tif"])
def test_a_scene_that_a_manifest_names_outside_the_store_is_refused(maker, files, scenes, file):
    acquisition = VALIDATED.read(files).acquisitions[0].model_copy(update={"file": file})
    maker.manifest(files, [acquisition], VALIDATED.path)
    with pytest.raises(ContractError):
        list(stored.validated_scenes(files, StepParams()))


def test_a_link_in_the_store_leads_a_step_nowhere(data_dir, files, scenes):
    place = data_dir / scenes[0].path
    place.unlink()
    place.symlink_to("/etc/passwd")
    with pytest.raises(ContractError):
        list(stored.validated_scenes(files, StepParams()))


def test_fields_are_measured_on_scenes_of_which_the_store_of_measurements_lacks_one(data_dir, files):
    imagery = make_imagery(data_dir, files)
    fields = three_fields(imagery.grid)
    FIELDS.write(files, FieldSet(file="farm.gpkg", fields=fields, findings=[]))
    measurements = StoredFile(store_file(imagery))
    scenes = [StoredFile(f"imagery/{item.file}", item.sha256, "the validation") for item in imagery.acquisitions]
    assert list(stored.measured_scenes(files, StepParams())) == [measurements, *scenes]
    mapped = StoredFile(mapped_path(FIELDS.read(files), imagery))
    assert list(stored.mapped_scenes(files, MapParams())) == [mapped, *scenes]
    assert list(stored.mapped_scenes(files, MapParams(map_every_pass=False))) == [mapped, scenes[-1]]
    some = imagery.model_copy(update={"acquisitions": imagery.acquisitions[:2]})
    keep_measurements(imagery, observe(fields, some, None))
    assert list(stored.measured_scenes(files, StepParams())) == [measurements, scenes[-1]]
