"""A step may mount its work folder, inputs and scratch of its run, and files of stores. All else is refused."""

import pytest

from include.docker_proxy.mounts import MOST_MOUNTS, Role, StepMount, read_mounts
from include.docker_proxy.requests import RefusedError
from tests.docker_proxy.create_requests import RUN, SHA256, every_mount, mount

OTHER_RUN = RUN.replace("manual", "scheduled")


def test_each_mount_of_a_step_is_understood(settings):
    run = tuple(RUN.split("/"))
    assert read_mounts(every_mount(settings), settings) == [
        StepMount(Role.WORK, "/data", (*run, "work", "analyze.1")),
        StepMount(Role.INPUT, "/data/source/my day.csv", (*run, "artifacts", SHA256)),
        StepMount(Role.SCRATCH, "/data/checkpoints", (*run, "scratch", "analyze", "checkpoints")),
        StepMount(Role.STORE, "/stores/scenes/l2a/day.tif", ("scenes", "l2a", "day.tif")),
    ]


@pytest.mark.parametrize("name", ["a.csv", "source/Zähler 1, Süd (2).csv", "a/b/c/d.json", "..a", "a:b", "%2e%2e"])
def test_an_input_has_the_name_that_the_contract_or_the_user_gave_it(settings, name):
    mounts = [every_mount(settings)[0], mount(settings, f"/data/{name}", f"{RUN}/artifacts/{SHA256}")]
    assert read_mounts(mounts, settings)[1].target == f"/data/{name}"


@pytest.mark.parametrize(
    "source",
    [
        None, 7, "", "/", "/etc", "{data}", "{data}/", "{data}/runs", "{run}", "{run}/work", "{run}/work/",
        "{run}/work/a/b", "{run}/files", "{run}/steps", "{run}/work/..", "{run}/work/a\n", "{run}//work/a",
        "{run}/./work/a", "{run}/Work/a", "{data}/runs/a/work/b", "{data}/runs/../runs/a/b/work/c",
        "{data}x/runs/a/b/work/c", "/x{data}/runs/a/b/work/c", "runs/a/b/work/c", "{data}/mounts/{token}/work",
        "{run}/work/{long}", "{run}/artifacts/{sha}",
    ],
)  # fmt: skip
def test_a_work_folder_elsewhere_is_refused(settings, source):
    names = {"data": "/srv/data", "run": f"/srv/data/{RUN}", "long": "b" * 256, "sha": SHA256, "token": "0a" * 16}
    work = every_mount(settings)[0] | {"Source": source.format(**names) if isinstance(source, str) else source}
    with pytest.raises(RefusedError, match=r"Mounts\[0\]\.Source: must be /srv/data/runs/<dag>/<run>/work/<name>"):
        read_mounts([work], settings)


@pytest.mark.parametrize(
    ("target", "path", "read_only", "sentence"),
    [
        ("/data/a", f"{RUN}/artifacts/{SHA256}", False, "HostConfig.Mounts[1].ReadOnly: must be True"),
        ("/data/a", f"{RUN}/artifacts/{SHA256.upper()}", True, "Source: must be /srv/data/runs/<dag>/<run>/artifacts/"),
        ("/data/a", f"{RUN}/artifacts/{SHA256[:-1]}", True, "Source: must be /srv/data/runs/<dag>/<run>/artifacts/"),
        ("/data/a", f"{RUN}/artifacts/.sealing-x", True, "Source: must be /srv/data/runs/<dag>/<run>/artifacts/"),
        ("/data/a", f"{OTHER_RUN}/artifacts/{SHA256}", True, "Source: must belong to the run of the work folder"),
        ("/data/a", f"{OTHER_RUN}/scratch/a", False, "Source: must belong to the run of the work folder"),
        ("/data/a", f"{RUN}/scratch/a", True, "HostConfig.Mounts[1].ReadOnly: must be False"),
        ("/data/a", f"{RUN}/scratch", False, "Source: must be"),
        ("/data/a", f"{RUN}/work/other", False, "Source: must be"),
        ("/data/a", f"{RUN}/run.json", True, "Source: must be"),
        ("/data/a", "mounts/scratch/a/b/c", True, "Source: must be"),
        ("/data", f"{RUN}/artifacts/{SHA256}", True, "the target '/data' must be a plain path below /data"),
        ("/data/", f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        ("/data/../etc", f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        ("/data/./a", f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        ("/data/a//b", f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        ("/data/a\n", f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        (f"/data/{'ä' * 128}", f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        ("/etc/a", f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        (None, f"{RUN}/artifacts/{SHA256}", True, "must be a plain path below /data"),
        ("/stores/scenes/day.tif", "scenes/day.tif", False, "HostConfig.Mounts[1].ReadOnly: must be True"),
        ("/stores/scenes/day.tif", "scenes/day.tif", 1, "HostConfig.Mounts[1].ReadOnly: must be True"),
        ("/stores/scenes/day.tif", "scenes/night.tif", True, "Target: must be '/stores/scenes/night.tif'"),
        ("/stores/scenes", "scenes", True, "or a file of one of DOCKER_PROXY_STORES (scenes, library/drafts"),
        ("/stores/library/a", "library/a", True, "or a file of one of DOCKER_PROXY_STORES"),
        ("/stores/scenes/../x", "scenes/../x", True, "or a file of one of DOCKER_PROXY_STORES"),
        ("/stores/scenes-old/a", "scenes-old/a", True, "or a file of one of DOCKER_PROXY_STORES"),
    ],
)  # fmt: skip
def test_any_other_mount_is_refused(settings, target, path, read_only, sentence):
    asked = mount(settings, target, path, read_only=read_only)
    with pytest.raises(RefusedError) as refused:
        read_mounts([every_mount(settings)[0], asked], settings)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d")])
def test_a_mount_on_another_mount_is_refused(settings, one, other):
    """Its place would lie where a step can exchange it."""
    scratch = mount(settings, f"/data/{one}", f"{RUN}/scratch/x", read_only=False)
    sealed = mount(settings, f"/data/{other}", f"{RUN}/artifacts/{SHA256}")
    beside = mount(settings, "/data/a.b", f"{RUN}/artifacts/{SHA256}")
    work = every_mount(settings)[0]
    with pytest.raises(RefusedError, match="lies on another mount"):
        read_mounts([work, scratch, beside, sealed], settings)
    assert len(read_mounts([work, scratch, beside], settings)) == 3


def test_the_work_folder_comes_first_and_once(settings):
    work, *others = every_mount(settings)
    for mounts in ([], others, [work, work], [work] * (MOST_MOUNTS + 1), {"0": work}):
        with pytest.raises(RefusedError, match=r"HostConfig\.Mounts"):
            read_mounts(mounts, settings)


@pytest.mark.parametrize("change", [{"Type": "volume"}, {"BindOptions": {"Propagation": "rshared"}}, {"Source": ["/"]}])
def test_a_mount_of_another_type_is_refused(settings, change):
    with pytest.raises(RefusedError):
        read_mounts([every_mount(settings)[0] | change], settings)
