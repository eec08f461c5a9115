"""Containers of the old shape see the `files` folder of one run and whole stores, where the settings accept that."""

import pytest

from include.docker_proxy.create import rebuild_create
from include.docker_proxy.requests import RefusedError
from include.docker_proxy.whole_folders import (
    asks_for_whole_folders,
    check_folder,
    is_run_folder,
    store_name,
    whole_folder_mounts,
)
from tests.docker_proxy.create_requests import RUN, changed, good_create

HOST = "/srv/data"
FILES = f"{RUN}/files"


@pytest.fixture
def settings(settings):
    (settings.data_dir / FILES).mkdir()
    return settings


@pytest.fixture
def whole(settings):
    return settings.model_copy(update={"whole_folders": True})


RUN_MOUNT = {"Type": "bind", "Source": f"{HOST}/{FILES}", "Target": "/data", "ReadOnly": False}
SCENES = {"Type": "bind", "Source": "/srv/data/scenes", "Target": "/stores/scenes", "ReadOnly": True}
PUBLIC = {"Type": "bind", "Source": "/srv/data/library/public", "Target": "/stores/library/public", "ReadOnly": True}


@pytest.mark.parametrize("stores", [[SCENES], [PUBLIC], [SCENES, PUBLIC], [SCENES | {"ReadOnly": False}, PUBLIC]])
def test_a_step_may_see_what_runs_share(stores, whole):
    assert asks_for_whole_folders([RUN_MOUNT, *stores], whole)
    assert whole_folder_mounts([RUN_MOUNT, *stores], whole) == [RUN_MOUNT, *stores]
    asked = changed(good_create(whole), "HostConfig.Mounts", [RUN_MOUNT, *stores])
    assert rebuild_create(asked, whole)["HostConfig"]["Mounts"] == [RUN_MOUNT, *stores]


def test_the_old_shape_is_refused_unless_the_settings_accept_it(settings):
    assert not asks_for_whole_folders([RUN_MOUNT], settings)
    with pytest.raises(RefusedError, match=r"Source: must be /srv/data/runs/<dag>/<run>/work/<name>"):
        rebuild_create(changed(good_create(settings), "HostConfig.Mounts", [RUN_MOUNT]), settings)


@pytest.mark.parametrize("mounts", [None, {}, [], [None], [SCENES]])
def test_a_request_of_the_new_shape_is_left_to_its_own_rules(whole, mounts):
    assert not asks_for_whole_folders(mounts, whole)


@pytest.mark.parametrize(
    ("mounts", "said"),
    [
        (
            [RUN_MOUNT, RUN_MOUNT],
            "the source of a store must be one of DOCKER_PROXY_STORES (/srv/data/scenes, /srv/data/library/drafts",
        ),
        ([RUN_MOUNT, SCENES, SCENES], "HostConfig.Mounts: a store must not be repeated"),
        ([RUN_MOUNT, SCENES | {"Source": "/srv/data/scenes/.."}], "the source of a store must be one of"),
        ([RUN_MOUNT, SCENES | {"Source": "/srv/data/library"}], "the source of a store must be one of"),
        ([RUN_MOUNT, SCENES | {"Source": "/srv/config"}], "the source of a store must be one of"),
        ([RUN_MOUNT, SCENES | {"Target": "/data"}], "HostConfig.Mounts[1].Target: must be '/stores/scenes'"),
        ([RUN_MOUNT, SCENES | {"Type": "volume"}], "HostConfig.Mounts[1].Type: must be 'bind'"),
        ([RUN_MOUNT, SCENES | {"ReadOnly": 1}], "HostConfig.Mounts[1].ReadOnly: must be False"),
        ([RUN_MOUNT, PUBLIC | {"ReadOnly": False}], "HostConfig.Mounts[1].ReadOnly: must be True"),
    ],
)
def test_a_mount_that_is_no_store_is_refused(mounts, said, whole):
    with pytest.raises(RefusedError) as refused:
        whole_folder_mounts(mounts, whole)
    assert said in str(refused.value)


def test_a_runs_folder_is_found(settings):
    assert is_run_folder(f"{HOST}/{FILES}", settings)
    check_folder(f"{HOST}/{FILES}", settings)


def test_a_store_is_found_and_no_link(settings):
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
    assert not is_run_folder(source, settings)
    with pytest.raises(RefusedError, match=r"must be the `files` folder of a run, or a store"):
        check_folder(source, settings)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_link_anywhere_on_the_way_is_refused(depth, settings):
    place = settings.data_dir.joinpath(*FILES.split("/")[:depth])
    place.rename(settings.data_dir / "elsewhere")
    place.symlink_to(settings.data_dir / "elsewhere")
    with pytest.raises(RefusedError, match=f"`{place.name.replace('+', '.')}` must be a folder, not a link or a file"):
        check_folder(f"{HOST}/{FILES}", settings)


def test_a_file_is_no_folder(settings):
    (settings.data_dir / FILES).rmdir()
    (settings.data_dir / FILES).touch()
    with pytest.raises(RefusedError, match="`files` must be a folder"):
        check_folder(f"{HOST}/{FILES}", settings)


def test_a_missing_folder_is_said_as_the_engine_says_it(settings):
    """The operator knows these words, and names the setting that is wrong."""
    with pytest.raises(RefusedError, match="bind source path does not exist: /srv/data/runs/a/b/files"):
        check_folder(f"{HOST}/runs/a/b/files", settings)
