import os

import pytest

from include.docker_proxy.settings import ProxySettings
from tests.docker_proxy.create_requests import IMAGE, RUN, SHA256


@pytest.fixture
def settings(tmp_path) -> ProxySettings:
    """A deployment whose host calls the data folder `/srv/data`: one run with an input, and a store with a file."""
    data = tmp_path / "data"
    for name, text in {f"{RUN}/artifacts/{SHA256}": "sealed", "scenes/l2a/day.tif": "a scene"}.items():
        (data / name).parent.mkdir(parents=True)
        (data / name).write_text(text)
    (data / "mounts").mkdir()
    user = os.getuid()
    return ProxySettings(
        images=f"{IMAGE} groundtruth-energy:latest",
        stores="scenes library/drafts library/public",
        host_data_dir="/srv/data",
        data_dir=data,
        step_uid=user or 50003,  # who is not root can give files to no one else
        worker_uid=user or 50001,
        max_memory_mb=2048,
        max_cpus=2,
    )
