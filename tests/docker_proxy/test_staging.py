"""What the engine mounts is the policy server's own: no name that a worker can exchange is in its path."""

import os
import stat
import time

import pytest

from include.docker_proxy.mounts import read_mounts
from include.docker_proxy.requests import RefusedError
from include.docker_proxy.settings import ProxySettings
from include.docker_proxy.staging import FILE, GRACE_S, Staging, StagingError, give, opened, remove, token_of
from tests.docker_proxy.create_requests import RUN, SHA256, every_mount, mount

HOST = "/srv/data"


@pytest.fixture
def staging(settings) -> Staging:
    return Staging(settings)


def prepared(staging, mounts=None):
    """The sources of a new container by target, as paths of this test."""
    settings = staging.settings
    binds = staging.prepare(read_mounts(mounts or every_mount(settings), settings))
    return {bind["Target"]: settings.data_dir / bind["Source"].removeprefix(f"{HOST}/") for bind in binds}


def test_the_engine_gets_paths_of_the_policy_server_alone(staging, settings):
    binds = staging.prepare(read_mounts(every_mount(settings), settings))
    token = token_of([binds[0]["Source"]], settings)
    folder = f"{HOST}/mounts/{token}"
    scratch = binds[2]["Source"]
    assert scratch.rpartition("/")[0] == f"{HOST}/mounts/scratch/{RUN.removeprefix('runs/')}"
    assert binds == [
        {"Type": "bind", "Target": "/data", "Source": f"{folder}/work", "ReadOnly": False},
        {"Type": "bind", "Target": "/data/source/my day.csv", "Source": f"{folder}/inputs/1", "ReadOnly": True},
        {"Type": "bind", "Target": "/data/checkpoints", "Source": scratch, "ReadOnly": False},
        {"Type": "bind", "Target": "/stores", "Source": f"{folder}/stores", "ReadOnly": True},
    ]


def test_inputs_and_scenes_are_other_names_of_the_same_files(staging, settings):
    sources = prepared(staging)
    for place, path in {
        sources["/data/source/my day.csv"]: f"{RUN}/artifacts/{SHA256}",
        sources["/stores"] / "scenes" / "l2a" / "day.tif": "scenes/l2a/day.tif",
    }.items():
        assert place.samefile(settings.data_dir / path)
        assert not place.is_symlink()


def test_the_work_folder_has_a_place_for_each_mount_and_nothing_else(staging):
    work = prepared(staging)["/data"]
    assert sorted(path.relative_to(work).as_posix() for path in work.rglob("*")) == [
        "checkpoints", "source", "source/my day.csv",
    ]  # fmt: skip
    assert (work / "source" / "my day.csv").stat().st_size == 0
    assert {path.stat().st_uid for path in (work, *work.rglob("*"))} == {staging.settings.step_uid}


def test_each_container_has_a_work_folder_of_its_own_and_shares_scratch(staging):
    first, second = prepared(staging), prepared(staging)
    assert first["/data"] != second["/data"]
    assert first["/data/checkpoints"] == second["/data/checkpoints"]


def test_scratch_folders_never_lie_within_each_other(staging, settings):
    """A step could exchange what lies in its scratch folder, so no other mount may lead through it."""
    work = every_mount(settings)[0]
    folders = [
        prepared(staging, [work, mount(settings, "/data/s", f"{RUN}/scratch/{name}", read_only=False)])["/data/s"]
        for name in ("a", "a/b", "a/b/c")
    ]
    assert len({folder.parent for folder in folders}) == 1
    assert len(set(folders)) == 3


LINKS = [f"{RUN}/artifacts/{SHA256}", f"{RUN}/artifacts", RUN, RUN.rpartition("/")[0], "runs"]


@pytest.mark.parametrize("path", [*LINKS, "scenes/l2a/day.tif", "scenes/l2a", "scenes"])
def test_a_link_anywhere_on_the_way_is_refused(staging, settings, path):
    place = settings.data_dir / path
    place.rename(settings.data_dir / "elsewhere")
    place.symlink_to(settings.data_dir / "elsewhere")
    with pytest.raises(RefusedError, match=r"must be a (folder|regular file)"):
        prepared(staging)
    left = [folder.name for folder in staging.folder.iterdir() if folder.name != "scratch"]
    assert left == [], "nothing stays of a refused request"


@pytest.mark.parametrize("make", ["mkdir", "fifo", "nothing"])
def test_what_is_not_a_regular_file_is_refused(staging, settings, make):
    place = settings.data_dir / "scenes" / "l2a" / "day.tif"
    place.unlink()
    if make == "mkdir":
        place.mkdir()
    elif make == "fifo":
        os.mkfifo(place)
    with pytest.raises(RefusedError, match=r"must be a regular file|bind source path does not exist: /srv/data/scenes"):
        prepared(staging)


def test_an_exchange_between_opening_and_linking_changes_nothing(staging, settings, monkeypatch, tmp_path):
    """The link is to what was opened, not to what lies at the path by then."""
    place, secret = settings.data_dir / RUN / "artifacts" / SHA256, tmp_path / "secret"
    secret.write_text("of the host")
    link = os.link

    def exchange_and_link(source, *arguments, **options):
        if not place.is_symlink():
            place.rename(place.with_name("old"))
            place.symlink_to(secret)
        link(source, *arguments, **options)

    monkeypatch.setattr(os, "link", exchange_and_link)
    assert prepared(staging)["/data/source/my day.csv"].read_text() == "sealed"
    assert place.read_text() == "of the host", "it was exchanged"


def test_only_the_step_reaches_its_work_folder_until_it_has_ended(staging, settings):
    work = prepared(staging)["/data"]
    folder = work.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (work / "private").mkdir(0o700)
    (work / "private" / "out.csv").write_text("1")
    (work / "private" / "out.csv").chmod(0o600)
    (work / "link").symlink_to("/etc/passwd")
    for _ in range(2):
        staging.hand_over(folder.name)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    assert {path.lstat().st_uid for path in (work, *work.rglob("*"))} == {settings.worker_uid}
    assert os.stat("/etc/passwd").st_uid == 0, "links are not followed"  # noqa: PTH116


def test_a_removed_container_leaves_nothing_but_scratch(staging, settings):
    sources = prepared(staging)
    deep = sources["/data"]
    for _ in range(1200):  # deeper than Python can recurse
        deep = deep / "d"
        deep.mkdir()
    (sources["/data/checkpoints"] / "epoch-1").write_text("weights")
    staging.discard(sources["/data"].parent.name)
    assert [path.name for path in staging.folder.iterdir()] == ["scratch"]
    assert (settings.data_dir / RUN / "artifacts" / SHA256).read_text() == "sealed"
    assert prepared(staging)["/data/checkpoints"].joinpath("epoch-1").read_text() == "weights"


def test_scratch_goes_with_the_container_of_the_step_that_succeeded(staging, settings):
    sources = prepared(staging)
    on_host = [f"{HOST}/{path.relative_to(settings.data_dir).as_posix()}" for path in sources.values()]
    staging.discard_scratch(on_host)
    assert not sources["/data/checkpoints"].exists()
    assert sources["/data"].exists()


def test_the_sweep_removes_what_no_container_mounts(staging, settings):
    kept, lost, young = prepared(staging), prepared(staging), prepared(staging)
    for sources in (kept, lost):
        os.utime(sources["/data"].parent, (0, time.time() - GRACE_S - 1))
    mounted = [f"{HOST}/{path.relative_to(settings.data_dir).as_posix()}" for path in kept.values()]
    staging.sweep([*mounted, "/etc", f"{HOST}/runs/a/b/files"])
    assert [sources["/data"].exists() for sources in (kept, lost, young)] == [True, False, True]
    (settings.data_dir / RUN).rename(settings.data_dir / "pruned")
    staging.sweep(mounted)
    assert kept["/data/checkpoints"].exists(), "a container mounts it"
    staging.sweep([])
    assert not kept["/data/checkpoints"].exists(), "its run is gone"


@pytest.mark.parametrize(
    ("source", "token"),
    [
        (f"{HOST}/mounts/{'0a' * 16}/work", "0a" * 16),
        (f"{HOST}/mounts/{'0a' * 16}/inputs", ""),
        (f"{HOST}/mounts/{'0a' * 16}/work/x", ""),
        (f"{HOST}/mounts/scratch/work", ""),
        (f"/other/mounts/{'0a' * 16}/work", ""),
        (f"{HOST}/runs/a/b/files", ""),
        (None, ""),
    ],
)
def test_a_container_of_a_step_is_known_by_its_work_folder(settings, source, token):
    assert token_of([source], settings) == token


def test_opening_leaves_nothing_open(settings):
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for parts in (RUN.split("/"), ["runs", "missing", "a"], [*RUN.split("/"), "artifacts", SHA256, "x"]):
        try:
            with opened(parts, settings, FILE):
                pass
        except RefusedError:
            continue
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_cannot_be_done_is_said_in_one_sentence(tmp_path):
    with pytest.raises(StagingError, match=r"^chown: .*missing"):
        give(tmp_path / "missing", os.getuid())
    remove(tmp_path / "missing")


def owned(settings, **changes) -> list[str]:
    return Staging(settings.model_copy(update=changes)).faults()


def test_a_deployment_in_which_a_worker_could_exchange_the_folder_does_not_start(settings: ProxySettings, tmp_path):
    user, data = os.getuid(), settings.data_dir
    others = {"worker_uid": user + 1, "step_uid": user + 2}
    assert owned(settings, **others) == []
    assert stat.S_IMODE((data / "mounts").stat().st_mode) == 0o711
    assert owned(settings, **others | {"worker_uid": user}) == [
        f"user {user}: is the workers' or the steps'; run this service as a user of its own"
    ]
    data.chmod(0o777)
    assert owned(settings, **others) == [f"{data}: others may exchange folders in it; set its sticky bit (chmod +t)"]
    data.chmod(0o1777)
    assert owned(settings, **others) == []
    (data / "mounts").rmdir()
    (data / "mounts").symlink_to(tmp_path)
    assert "must be a folder of the user" in owned(settings, **others)[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to others: run the tests as root")
def test_a_data_folder_of_the_workers_is_refused(settings):
    os.chown(settings.data_dir, settings.worker_uid, -1)
    assert owned(settings) == [f"{settings.data_dir}: belongs to the workers or the steps; give it to root (chown 0)"]
