"""Trees as tensors predict what scikit-learn predicts, and a damaged file is refused."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from include.core.errors import ContractError
from include.satellite.crops.models import fit
from include.satellite.crops.trees import NAMES, Ensemble, ensemble_of

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(90, 6))
CROP = {
    2: (VALUES[:, 0] > 0.3).astype(int),
    3: (VALUES[:, 0] > 0.3).astype(int) + (VALUES[:, 1] > 0.5),
}


@pytest.fixture
def few_trees(monkeypatch):
    from include.satellite.crops import models

    few = {kind: {**settings, "n_estimators": 7} for kind, settings in models.SETTINGS.items()}
    monkeypatch.setattr(models, "SETTINGS", few)


@pytest.mark.parametrize("kind", ["random_forest", "gradient_boosting"])
@pytest.mark.parametrize("crops", [2, 3])
def test_tensors_predict_what_scikit_learn_predicts(few_trees, tmp_path, kind, crops):
    model = fit(kind, VALUES, CROP[crops], seed=3)
    ensemble_of(model, kind).save(tmp_path / "model.safetensors")
    fresh = RANDOM.normal(size=(2500, 6))
    stored = Ensemble.load(tmp_path / "model.safetensors")
    assert np.abs(stored.predict(fresh) - model.predict_proba(fresh)).max() < 1e-12


def test_nothing_but_sound_trees_is_loaded(few_trees, tmp_path):
    path = tmp_path / "model.safetensors"
    sound = ensemble_of(fit("random_forest", VALUES, CROP[2], 0), "random_forest")
    tensors = {name: getattr(sound, name) for name in NAMES}
    circle = tensors["left"].copy()
    circle[0] = 0
    for broken in (tensors | {"left": circle}, tensors | {"root": tensors["root"] + 10**6}, {"left": circle}):
        save_file(broken, path)
        with pytest.raises(ContractError):
            Ensemble.load(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(ContractError, match="complete safetensors"):
        Ensemble.load(path)
