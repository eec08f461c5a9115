"""A run of the steps on a small table, with few trees."""

from types import SimpleNamespace

import pytest

from include.satellite.crops import models
from include.satellite.crops.comparison import compare_crops
from include.satellite.crops.params import CropDataParams, CropVerifyParams
from include.satellite.crops.training import read_series, train_crops
from tests.made_once import made_once
from tests.satellite.crops.fields_table import rows, write_csv


@pytest.fixture(scope="session")
def _trained(tmp_path_factory):
    few = {kind: {**settings, "n_estimators": 4} for kind, settings in models.SETTINGS.items()}
    data, params = CropDataParams(series="series.csv"), CropVerifyParams()

    def train(files):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "SETTINGS", few)
            patch.setenv("GROUNDTRUTH_ENV_FILE", str(files / ".env"))
            write_csv(files / "source" / "series.csv", rows())
            read_series(files, data)
            train_crops(files, params)
            compare_crops(files, params)

    files = made_once(tmp_path_factory, "crops", train)
    return SimpleNamespace(files=files, data=data, params=params, settings=few)


@pytest.fixture
def trained(_trained, tmp_path, monkeypatch):
    """A copy of the run's folder, that a test may change."""
    import shutil

    files = tmp_path / "files"
    shutil.copytree(_trained.files, files)
    monkeypatch.setattr(models, "SETTINGS", _trained.settings)
    return SimpleNamespace(files=files, data=_trained.data, params=_trained.params)
