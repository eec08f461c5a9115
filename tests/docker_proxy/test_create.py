"""A create request is rebuilt: what is not ours stops here, and nothing is passed on that was not understood."""

import copy
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.docker_proxy.create import check_folder, is_run_folder, rebuild_create, require_run_folder, store_name
from include.docker_proxy.requests import RefusedError, parse_json
from include.docker_proxy.settings import ProxySettings
from tests.docker_proxy.create_requests import RUN, changed, good_create, needed

HOST = "/srv/data"

SETTINGS = ProxySettings(
    images="python:3.11-slim-bookworm",
    stores="scenes:rw library/drafts:rw library/public:ro",
    host_data_dir=Path("/srv/data"),
    step_uid=50000,
    max_memory_mb=2048,
    max_cpus=2,
)
GOOD = good_create(SETTINGS, "python", "-c", "print('hello')")


def test_a_good_create_is_passed_on_without_what_changes_nothing():
    assert rebuild_create(GOOD, SETTINGS) == needed(GOOD)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("HostConfig.Privileged", False, "HostConfig.Privileged: a step's container must not have this key"),
        ("hostconfig", {}, "hostconfig: a step's container must not have this key"),
        ("Tty", True, "Tty: must be False"),
        ("Tty", 0, "Tty: must be False"),
        ("Tty", None, "Tty: must be False"),
        ("WorkingDir", "/", "WorkingDir: must be '/data'"),
        ("User", "0:0", "User: must be '50000:50000'"),
        ("User", "50000", "User: must be '50000:50000'"),
        ("Image", "other", "Image: must be one of DOCKER_PROXY_IMAGES (python:3.11-slim-bookworm)"),
        ("Image", ["python:3.11-slim-bookworm"], "Image: must be one of"),
        ("Cmd", "sleep 1", "Cmd: must be a list of strings"),
        ("Cmd", [1], "Cmd: must be a list of strings"),
        ("Env", ["DATA_DIR"], "Env: each entry must be NAME=value"),
        ("Env", ["=x"], "Env: each entry must be NAME=value"),
        ("Labels", None, "Labels: must hold io.groundtruth=step"),
        ("Labels", {"io.groundtruth": "other"}, "Labels: must hold io.groundtruth=step"),
        ("Labels", {"io.groundtruth": "step", "io.groundtruthx": ""}, "must begin with io.groundtruth."),
        ("Labels", {"io.groundtruth": "step", "io.groundtruth.run": "a\nb"}, "must be printable text"),
        ("Labels", {"io.groundtruth": "step", "io.groundtruth.run": "x" * 1025}, "of at most 1024 letters"),
        ("HostConfig", None, "HostConfig: must be an object"),
        ("HostConfig.Init", 1, "HostConfig.Init: must be True"),
        ("HostConfig.Memory", 2049 << 20, "HostConfig.Memory: must be an integer from 6291456 to 2147483648"),
        ("HostConfig.Memory", True, "HostConfig.Memory: must be an integer"),
        ("HostConfig.MemorySwap", -1, "HostConfig.MemorySwap: must be 67108864"),
        ("HostConfig.NanoCpus", 2 * 10**9 + 1, "HostConfig.NanoCpus: must be an integer from 1 to 2000000000"),
        ("HostConfig.PidsLimit", 257, "HostConfig.PidsLimit: must be an integer from 1 to 256"),
        ("HostConfig.Tmpfs", {"/tmp": "exec"}, "HostConfig.Tmpfs: must be"),  # noqa: S108
        ("HostConfig.Mounts", [], "HostConfig.Mounts: must be the run's folder and at most 3 stores"),
        ("HostConfig.Mounts", [None], "HostConfig.Mounts[0]: must be an object"),
    ],
)
def test_each_departure_is_refused_by_name(path, value, said):
    with pytest.raises(RefusedError) as refused:
        rebuild_create(changed(GOOD, path, value), SETTINGS)
    assert said in str(refused.value)


RUN_MOUNT = GOOD["HostConfig"]["Mounts"][0]
SCENES = {"Type": "bind", "Source": "/srv/data/scenes", "Target": "/stores/scenes", "ReadOnly": True}
PUBLIC = {"Type": "bind", "Source": "/srv/data/library/public", "Target": "/stores/library/public", "ReadOnly": True}


@pytest.mark.parametrize("stores", [[SCENES], [PUBLIC], [SCENES, PUBLIC], [SCENES | {"ReadOnly": False}, PUBLIC]])
def test_a_step_may_see_what_runs_share(stores):
    asked = changed(GOOD, "HostConfig.Mounts", [RUN_MOUNT, *stores])
    assert rebuild_create(asked, SETTINGS)["HostConfig"]["Mounts"] == [RUN_MOUNT, *stores]


@pytest.mark.parametrize(
    ("mounts", "said"),
    [
        ([SCENES], "HostConfig.Mounts[0].Source: must be /srv/data/runs/"),
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
def test_a_mount_that_is_no_store_is_refused(mounts, said):
    with pytest.raises(RefusedError) as refused:
        rebuild_create(changed(GOOD, "HostConfig.Mounts", mounts), SETTINGS)
    assert said in str(refused.value)


@pytest.mark.parametrize("key", sorted(needed(GOOD)))
def test_nothing_is_left_to_the_engines_defaults(key):
    with pytest.raises(RefusedError) as refused:
        rebuild_create({name: value for name, value in GOOD.items() if name != key}, SETTINGS)
    assert str(refused.value) == f"{key}: is missing"


@pytest.mark.parametrize("key", sorted(GOOD["HostConfig"]))
def test_nor_is_anything_of_the_host_config(key):
    host = {name: value for name, value in GOOD["HostConfig"].items() if name != key}
    with pytest.raises(RefusedError) as refused:
        rebuild_create(GOOD | {"HostConfig": host}, SETTINGS)
    assert str(refused.value) == f"HostConfig.{key}: is missing"


KEYS = st.sampled_from(
    ["Binds", "binds", "Bindſ", "Privileged", "CapAdd", "Devices", "PidMode", "Source", "Image", "Mounts", "x"]
) | st.text(max_size=4)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "host", "/", "/srv/data", "/srv/data/runs/a/b/files", "0:0", "ALL", "step"])
    | st.text(max_size=6)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=4
)


def places(document, path=()):
    """All paths into a document."""
    yield path
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield from places(document[key], (*path, key))


@st.composite
def mutated(draw):
    """A good create with up to three values set, keys added or removed, anywhere."""
    document = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places(document), key=str)))
        here = document
        for key in path[:-1]:
            here = here[key]
        place = here[path[-1]] if path else document
        action = draw(st.sampled_from(["set", "add", "remove"]))
        if action == "add" and isinstance(place, dict):
            place[draw(KEYS)] = draw(VALUES)
        elif action == "add" and isinstance(place, list):
            place.append(draw(VALUES))
        elif path and action == "remove":
            del here[path[-1]]
        elif path:
            here[path[-1]] = draw(VALUES)
    return document


@hypothesis_settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
@example(GOOD)
@example(changed(GOOD, "Cmd", ["other"]))
def test_what_passes_is_what_was_asked_for_and_nothing_else(document):
    """Whatever is changed in a good create, it is refused, or it goes on as it was understood, and is harmless."""
    try:
        passed = rebuild_create(parse_json(json.dumps(document).encode()), SETTINGS)
    except RefusedError:
        assert json.dumps(document) != json.dumps(GOOD)  # where 1 is not True
        return
    assert json.dumps(passed, sort_keys=True) == json.dumps(needed(document), sort_keys=True)
    free = {"Cmd", "Env", "Labels"}
    assert {key: passed[key] for key in passed if key not in {*free, "HostConfig"}} == {
        key: value for key, value in needed(GOOD).items() if key not in {*free, "HostConfig"}
    }
    host, usual = dict(passed["HostConfig"]), dict(GOOD["HostConfig"])
    assert 0 < host.pop("Memory") == host.pop("MemorySwap") <= 2048 << 20
    assert 0 < host.pop("NanoCpus") <= 2 * 10**9
    assert 0 < host.pop("PidsLimit") <= 256
    (mount,) = host.pop("Mounts")
    assert mount["Source"].startswith("/srv/data/runs/")
    assert mount["Source"].endswith("/files")
    assert ".." not in mount["Source"].split("/")
    assert host == {key: value for key, value in usual.items() if key in host}
    assert len(host) == len(usual) - 5


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
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for source in (f"{HOST}/{RUN}", f"{HOST}/runs/a/b/files"):
        try:
            check_folder(source, settings)
        except RefusedError:
            continue
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
