"""Only the folder of a run, named in the one plain way and reached through real folders, can be mounted."""

import pytest

from include.docker_proxy.folders import check_folder, is_run_folder, require_run_folder, store_name
from include.docker_proxy.requests import RefusedError
from tests.docker_proxy.create_requests import RUN

HOST = "/srv/data"


def test_a_runs_folder_is_found(settings):
    assert is_run_folder(f"{HOST}/{RUN}", settings)
    require_run_folder(f"{HOST}/{RUN}", settings)
    check_folder(f"{HOST}/{RUN}", settings)


def test_a_store_is_found_and_no_link(settings):
    (settings.data_dir / "scenes").mkdir()
    assert store_name(f"{HOST}/scenes", settings) == "scenes"
    check_folder(f"{HOST}/scenes", settings)
    (settings.data_dir / "scenes").rename(settings.data_dir / "elsewhere")
    (settings.data_dir / "scenes").symlink_to(settings.data_dir / "elsewhere")
    with pytest.raises(RefusedError, match="`scenes` must be a folder, not a link or a file"):
        check_folder(f"{HOST}/scenes", settings)


@pytest.mark.parametrize(
    "source",
    [
        None,
        7,
        "",
        "/",
        HOST,
        f"{HOST}/",
        f"{HOST}/runs",
        f"{HOST}/runs/a/b",
        f"{HOST}/runs/a/b/steps",
        f"{HOST}/runs/a/b/files/",
        f"{HOST}/runs/a/b/files/c",
        f"{HOST}/runs/a/../files",
        f"{HOST}/runs/./b/files",
        f"{HOST}/runs//b/files",
        f"{HOST}/models/a/b/files",
        f"{HOST}/Runs/a/b/files",
        f"{HOST}//runs/a/b/files",
        f"{HOST}x/runs/a/b/files",
        "/srv/data/../data/runs/a/b/files",
        "/other/srv/data/runs/a/b/files",
        "runs/a/b/files",
        f"{HOST}/runs/a/b\n/files",
        f"{HOST}/runs/a/{'b' * 256}/files",
    ],
)
def test_any_other_path_is_refused(source, settings):
    with pytest.raises(RefusedError, match=r"Source: must be /srv/data/runs/<dag>/<run>/files"):
        require_run_folder(source, settings)
    assert not is_run_folder(source, settings)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_link_anywhere_on_the_way_is_refused(depth, settings):
    place = settings.data_dir.joinpath(*RUN.split("/")[:depth])
    place.rename(settings.data_dir / "elsewhere")
    place.symlink_to(settings.data_dir / "elsewhere")
    with pytest.raises(RefusedError, match=f"`{place.name.replace('+', '.')}` must be a folder, not a link or a file"):
        check_folder(f"{HOST}/{RUN}", settings)


def test_a_file_is_no_folder(settings):
    (settings.data_dir / RUN).rmdir()
    (settings.data_dir / RUN).touch()
    with pytest.raises(RefusedError, match="`files` must be a folder"):
        check_folder(f"{HOST}/{RUN}", settings)


def test_a_missing_folder_is_said_as_the_engine_says_it(settings):
    """The operator knows these words, and names the setting that is wrong."""
    with pytest.raises(RefusedError, match="bind source path does not exist: /srv/data/runs/a/b/files"):
        check_folder(f"{HOST}/runs/a/b/files", settings)


def test_looking_leaves_nothing_open(settings):
    import os

    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for source in (f"{HOST}/{RUN}", f"{HOST}/runs/a/b/files"):
        try:
            check_folder(source, settings)
        except RefusedError:
            continue
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
