"""A new domain is a package and a line in include/domains.py: `make generate` writes all else that names it."""

import subprocess
from types import SimpleNamespace

import pytest
import yaml

from tools.generate import BLOCKS, MESSAGES, PROTOCOL, ROOT, main, messages, regenerate

STORES = ("orchards", "library/public")
STAND_IN = SimpleNamespace(
    service="weather", module="include.standins.weather", port=8123, url_variable="GROUNDTRUTH_WEATHER_URL"
)
TOY = SimpleNamespace(
    name="toy",
    image="groundtruth-toy:latest",
    stores=STORES,
    stand_ins=(STAND_IN,),
)
BARE = SimpleNamespace(name="bare", image=None, stores=(), stand_ins=())


@pytest.fixture
def checkout(tmp_path):
    """The files with generated blocks, without any domain, and the control protocol with its messages."""
    for name in (PROTOCOL, MESSAGES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in BLOCKS:
        (tmp_path / name).write_text(regenerate(name, (ROOT / name).read_text(), []))
    return tmp_path


@pytest.fixture
def generated(checkout):
    """The same with the toy domain and one that has nothing but a package."""
    assert main([], [TOY, BARE], checkout) == 0
    return checkout


@pytest.fixture
def composition(generated):
    return yaml.safe_load((generated / "docker-compose.yaml").read_text())["services"]


def test_the_docker_proxy_learns_the_images_and_stores_of_a_new_domain(composition):
    settings = composition["docker-policy"]["environment"]
    assert settings["DOCKER_PROXY_IMAGES"] == "${GROUNDTRUTH_STEP_IMAGES:-groundtruth-toy:latest}"
    assert settings["DOCKER_PROXY_STORES"] == "orchards library/public"


def test_a_stand_in_of_a_new_domain_is_a_service_that_all_parts_of_airflow_find(composition):
    service = composition["weather"]
    assert service["command"] == [
        "python", "-m", "include.standins.weather", "--host", "0.0.0.0", "--port", "8123",  # noqa: S104
    ]  # fmt: skip
    assert service["profiles"] == ["demo"]
    assert service["cap_drop"] == ["ALL"]
    for name in ("api-server", "scheduler", "worker"):
        url = composition[name]["environment"]["GROUNDTRUTH_WEATHER_URL"]
        assert url == "${GROUNDTRUTH_WEATHER_URL:-http://weather:8123}"


def test_the_import_rules_hold_a_new_domain_too(generated):
    import tomllib

    contracts = tomllib.loads((generated / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (independent,) = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    assert independent == ["include.toy", "include.bare"]
    core = next(contract for contract in contracts if contract.get("source_modules") == ["include.core"])
    assert {"include.toy", "include.bare"} < {*core["forbidden_modules"]}


def test_make_finds_the_image_and_the_locks_of_a_new_domain_by_its_domain_module(tmp_path):
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for path in (
        "toy/domain.py",
        "toy/Dockerfile",
        "toy/requirements.txt",
        "bare/domain.py",
        "core/domain.py",
        "x/Dockerfile",
    ):
        (tmp_path / "include" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "include" / path).touch()
    command = ["make", "-s", "--eval=show: ; @echo $(DOMAIN_IMAGES) $(DOMAIN_LOCKS) $(LOCKS)", "show"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    lock = "include/toy/requirements.txt"
    assert shown == ["include/toy", lock, "requirements.txt", "requirements-stack.txt", lock]


def test_make_run_runs_the_pipeline_of_a_new_domain_with_its_demo_profile(tmp_path):
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / "tools").mkdir()
    for path, text in (("tools/setup", "true"), ("pipeline", 'echo "$@"')):
        (tmp_path / path).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / path).chmod(0o755)
    for path in (
        "include/toy/domain.py", "include/toy/profiles/demo.json", "include/config/toy-pipeline.json",
        "include/wired/domain.py", "dags/wired_pipeline.py", "include/bare/domain.py",
    ):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    process = subprocess.run(["make", "-s", "run"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == ["run toy --profile demo", "run wired"]


def test_a_stale_file_fails_with_its_name_and_the_command(checkout, capsys):
    before = {name: (checkout / name).read_text() for name in BLOCKS}
    assert main(["--check"], [TOY], checkout) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: {name}: does not match include/domains.py: run `make generate` and commit what it changes"
        for name in BLOCKS
    ]
    assert {name: (checkout / name).read_text() for name in BLOCKS} == before


def test_a_fresh_file_passes_and_is_not_written_again(generated, capsys):
    capsys.readouterr()
    assert main(["--check"], [TOY, BARE], generated) == 0
    assert main([], [TOY, BARE], generated) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("begin addresses", "begin roads"),
        ("domains.py: end", "domains.py: enough"),
        ("# generated from", "# made from"),
    ],
)
def test_a_block_that_is_missing_or_unknown_is_an_error(checkout, capsys, old, new):
    path = checkout / "docker-compose.yaml"
    path.write_text(path.read_text().replace(old, new))
    assert main([], [TOY], checkout) == 1
    sentence = (
        "docker-compose.yaml: must have the generated blocks images and stores, addresses, stand-ins and no others"
    )
    assert sentence in capsys.readouterr().err


def test_the_files_of_this_checkout_are_fresh():
    from include.domains import DOMAINS

    assert main(["--check"], DOMAINS) == 0


def test_the_messages_of_the_control_protocol_follow_from_its_description(generated, capsys):
    capsys.readouterr()
    protocol = generated / PROTOCOL
    protocol.write_text(protocol.read_text().replace("string sha256", "string checksum"))
    assert main(["--check"], [TOY, BARE], generated) == 1
    stated = capsys.readouterr().err
    assert stated == f"error: {MESSAGES}: does not match {PROTOCOL}: run `make generate` and commit what it changes\n"
    assert main([], [TOY, BARE], generated) == 0
    assert main(["--check"], [TOY, BARE], generated) == 0
    protocol.write_text("nothing")
    with pytest.raises(ValueError, match="cannot be compiled"):
        messages(generated)
