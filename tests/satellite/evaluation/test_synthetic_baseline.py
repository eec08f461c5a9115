from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from include.core.errors import ContractError, TransientError
from include.satellite.artifacts import BASELINE, BASELINE_INFO, PATCH_INFO, SEQUENCE_INFO
from include.satellite.evaluation import synthetic_baseline
from include.satellite.evaluation.synthetic_baseline import keep_baseline, provide_baseline, stored_baseline
from include.satellite.params import CompareParams
from tests.satellite.small_data import write_patches, write_sequences

PARAMS = CompareParams(
    patch_size=8, stride=8, sequence_length=4, location_size=8, cnn_epochs=1, lstm_epochs=1, label_source="reference"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of a run whose baseline was made."""
    files = tmp_path_factory.mktemp("made")
    write_patches(files)
    provide_baseline(files, PARAMS, PATCH_INFO.read(files))
    return files


@pytest.fixture
def not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_baseline, "_make", lambda *_: pytest.fail("it is made again"))


def test_it_is_made_on_the_run_s_bands_from_simulated_imagery(made: Path) -> None:
    baseline, dataset = synthetic_baseline.read_baseline(made), PATCH_INFO.read(made)
    assert baseline.cnn.card.data.synthetic
    assert baseline.cnn.card.inputs == dataset.bands
    assert baseline.cnn.card.size == baseline.lstm.card.location_size == 8
    assert (baseline.info.world, baseline.info.seed) == ("simple", "7919")


def test_of_its_making_nothing_else_is_left(made: Path) -> None:
    assert {path.name for path in (made / "baseline").iterdir()} == {Path(artifact.path).name for artifact in BASELINE}
    assert not list(made.glob(".baseline*"))


def test_a_stored_one_is_taken_by_later_runs(made: Path, data_dir: Path, tmp_path: Path, not_made: None) -> None:
    keep_baseline(made, PARAMS)
    write_patches(tmp_path)
    dataset = PATCH_INFO.read(tmp_path)
    assert all((data_dir / name).is_file() for name in stored_baseline(tmp_path, PARAMS))
    provide_baseline(tmp_path, PARAMS, dataset)
    assert [artifact.at(tmp_path).read_bytes() for artifact in BASELINE] == [
        artifact.at(made).read_bytes() for artifact in BASELINE
    ]
    keep_baseline(tmp_path, PARAMS)


def test_the_baseline_reaches_as_far_back_as_the_run_s_series(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: list[dict[str, object]] = []
    monkeypatch.setattr(synthetic_baseline, "_make", lambda files, recipe: recipes.append(recipe))
    monkeypatch.setattr(synthetic_baseline, "read_baseline", lambda files: None)
    write_patches(tmp_path)
    write_sequences(tmp_path)
    provide_baseline(tmp_path, PARAMS, PATCH_INFO.read(tmp_path))
    info = SEQUENCE_INFO.read(tmp_path)
    SEQUENCE_INFO.write(tmp_path, info.model_copy(update={"dates": [date(2021, 1, 1), *info.dates]}))
    provide_baseline(tmp_path, PARAMS, PATCH_INFO.read(tmp_path))
    provide_baseline(tmp_path, PARAMS.model_copy(update={"history_days": 0}), PATCH_INFO.read(tmp_path))
    assert [recipe["history_days"] for recipe in recipes] == [0, 1825, 1095], "own dates of more than two years count"


def test_other_parameters_and_damage_make_another_one(
    made: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_baseline(made, PARAMS)
    recipes: list[object] = []
    monkeypatch.setattr(synthetic_baseline, "_make", lambda files, recipe: recipes.append(recipe))
    dataset = PATCH_INFO.read(made)
    provide_baseline(made, PARAMS, dataset)
    assert not recipes
    provide_baseline(made, PARAMS.model_copy(update={"cnn_epochs": 2}), dataset)
    [weights] = [name for name in stored_baseline(made, PARAMS) if name.endswith("lstm_model.safetensors")]
    (data_dir / weights).write_bytes(b"damaged")
    provide_baseline(made, PARAMS, dataset)
    assert [recipe["cnn_epochs"] for recipe in recipes] == [2, 1]  # type: ignore[index]


def test_one_that_differs_from_the_stored_one_is_not_compared_with(made: Path, data_dir: Path) -> None:
    keep_baseline(made, PARAMS)
    [metrics] = [name for name in stored_baseline(made, PARAMS) if name.endswith("cnn_metrics.json")]
    (data_dir / metrics).write_text("{}")
    with pytest.raises(TransientError, match="is not the stored one"):
        keep_baseline(made, PARAMS)


def test_one_of_another_recipe_is_not_kept(made: Path, data_dir: Path) -> None:
    with pytest.raises(ContractError, match=f"{BASELINE_INFO.path}: must be of the baseline"):
        keep_baseline(made, PARAMS.model_copy(update={"cnn_epochs": 2}))
    assert not (data_dir / "models").exists()
