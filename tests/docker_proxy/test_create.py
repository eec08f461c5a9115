"""A create request is rebuilt: what is not ours stops here, and nothing is passed on that was not understood."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.docker_proxy.create import rebuild_create
from include.docker_proxy.requests import RefusedError, parse_json
from include.docker_proxy.settings import ProxySettings
from tests.docker_proxy.create_requests import changed, every_mount, good_create, needed

SETTINGS = ProxySettings(
    images="python:3.11-slim-bookworm",
    stores="scenes library/drafts library/public",
    host_data_dir=Path("/srv/data"),
    step_uid=50000,
    worker_uid=50001,
    max_memory_mb=2048,
    max_cpus=2,
)
GOOD = changed(good_create(SETTINGS, "python", "-c", "print('hello')"), "HostConfig.Mounts", every_mount(SETTINGS))


def test_a_step_joins_a_network_that_the_deployment_allows_and_no_other():
    allowing = SETTINGS.model_copy(update={"networks": frozenset({"crm", "meters"})})
    joining = changed(GOOD, "HostConfig.NetworkMode", "crm")
    assert rebuild_create(joining, allowing)["HostConfig"]["NetworkMode"] == "crm"
    with pytest.raises(RefusedError, match=r"must be 'none' or one of DOCKER_PROXY_NETWORKS \(crm meters\)"):
        rebuild_create(changed(GOOD, "HostConfig.NetworkMode", "bridge"), allowing)


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
        ("HostConfig.NetworkMode", "crm", "must be 'none' or one of DOCKER_PROXY_NETWORKS (none are set)"),
        ("HostConfig.NetworkMode", "host", "HostConfig.NetworkMode: must be 'none' or one of"),
        ("HostConfig.NetworkMode", ["none"], "HostConfig.NetworkMode: must be 'none' or one of"),
        ("HostConfig.Init", 1, "HostConfig.Init: must be True"),
        ("HostConfig.Memory", 2049 << 20, "HostConfig.Memory: must be an integer from 6291456 to 2147483648"),
        ("HostConfig.Memory", True, "HostConfig.Memory: must be an integer"),
        ("HostConfig.MemorySwap", -1, "HostConfig.MemorySwap: must be 67108864"),
        ("HostConfig.NanoCpus", 2 * 10**9 + 1, "HostConfig.NanoCpus: must be an integer from 1 to 2000000000"),
        ("HostConfig.PidsLimit", 257, "HostConfig.PidsLimit: must be an integer from 1 to 256"),
        ("HostConfig.Tmpfs", {"/tmp": "exec"}, "HostConfig.Tmpfs: must be"),  # noqa: S108
        ("HostConfig.Mounts", None, "HostConfig.Mounts: must be the work folder and at most 999 files and folders"),
        ("HostConfig.Mounts", [None], "HostConfig.Mounts[0]: must be an object"),
    ],
)
def test_each_departure_is_refused_by_name(path, value, said):
    with pytest.raises(RefusedError) as refused:
        rebuild_create(changed(GOOD, path, value), SETTINGS)
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
    | st.sampled_from(["", "host", "/", "/srv/data", "/srv/data/runs/a/b/files", "/data/a", "0:0", "ALL", "step"])
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
    work, *others = host.pop("Mounts")
    assert (work["Target"], work["ReadOnly"]) == ("/data", False)
    run = work["Source"].partition("/work/")[0]
    for mount in (work, *others):
        source = mount["Source"]
        assert mount["Type"] == "bind"
        assert source.startswith((f"{run}/", "/srv/data/scenes/", "/srv/data/library/"))
        assert not {"", ".", ".."} & set(f"{source}{mount['Target']}".split("/")[1:])
        assert mount["ReadOnly"] or source.startswith((f"{run}/work/", f"{run}/scratch/"))
    assert host == {key: value for key, value in usual.items() if key in host}
    assert len(host) == len(usual) - 5
