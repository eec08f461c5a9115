"""Our containers are known by the deployment that they belong to."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import pytest

from include.core.settings import get_settings
from plugins.steps.runtimes.engine import deployment

pytestmark = pytest.mark.airflow


def test_a_deployment_is_its_data_folder_as_the_engine_sees_it(data_dir, monkeypatch):
    assert deployment() == str(data_dir.resolve())
    monkeypatch.setenv("GROUNDTRUTH_HOST_DATA_DIR", "/srv/data")
    get_settings.cache_clear()
    assert deployment() == "/srv/data"


def test_a_run_of_the_command_line_is_one_of_its_own(data_dir, monkeypatch):
    run = data_dir / "runs" / "energy_pipeline" / "cli__1"
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(run))
    get_settings.cache_clear()
    assert deployment() == str(run.resolve())
