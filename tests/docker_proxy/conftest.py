import pytest

from include.docker_proxy.settings import DoorSettings
from tests.docker_proxy.creates import IMAGE, RUN


@pytest.fixture
def settings(tmp_path) -> DoorSettings:
    """A deployment with one run; its host calls the data folder `/srv/data`."""
    (tmp_path / "data" / RUN).mkdir(parents=True)
    return DoorSettings(
        images=f"{IMAGE} groundtruth-energy:latest",
        host_data_dir="/srv/data",
        data_dir=tmp_path / "data",
        step_uid=50000,
        max_memory_mb=2048,
        max_cpus=2,
    )
