"""An env file of the test's own, and a folder of DAG files."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import pytest

from include.core.settings import get_settings


@pytest.fixture(autouse=True)
def env_path(tmp_path, monkeypatch):
    path = tmp_path / ".env"
    path.write_text("# team\nMODEL=old\nGONE=1\n")
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(path))
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("GROUNDTRUTH_APPROVE", raising=False)
    get_settings.cache_clear()
    yield path
    get_settings.cache_clear()


@pytest.fixture
def dags(tmp_path, monkeypatch):
    folder = tmp_path / "dags"
    folder.mkdir()
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(folder))
    return folder
