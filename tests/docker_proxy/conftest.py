import pytest

from include.docker_proxy.settings import ProxySettings
from tests.docker_proxy.create_requests import IMAGE, RUN


@pytest.fixture
def settings(tmp_path) -> ProxySettings:
    """A deployment with one run; its host calls the data folder `/srv/data`."""
    (tmp_path / "data" / RUN).mkdir(parents=True)
    return ProxySettings(
        images=f"{IMAGE} groundtruth-energy:latest",
        stores="scenes:rw library/drafts:rw library/public:ro",
        host_data_dir="/srv/data",
        data_dir=tmp_path / "data",
        step_uid=50000,
        max_memory_mb=2048,
        max_cpus=2,
    )
