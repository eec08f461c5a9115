"""A domain's object: names that follow from it."""

from dataclasses import replace

from include.core.contracts import Credentials
from include.core.domain import Domain, Option
from include.core.settings import ROOT
from tests.core.small_pipeline import MEASURE

TOY = Domain(name="toy", title="Toys", steps={"measure": MEASURE}, image="groundtruth-toy:latest")


def test_an_option_is_an_identifier_by_its_first_flag():
    assert Option(("--skip-download", "--skip"), "", "skip_download").name == "skip_download"


def test_a_domain_lies_in_its_package():
    assert TOY.folder == ROOT / "include" / "toy"


def test_a_domain_s_connections_are_those_of_its_steps():
    account = Credentials("account", "ID", "SECRET", ("api",))
    steps = {name: replace(MEASURE, id=name, credentials=account) for name in ("one", "two")}
    assert replace(TOY, steps={**steps, "three": MEASURE}).connections == (account,)


def test_the_environment_may_name_another_image(monkeypatch):
    monkeypatch.delenv("GROUNDTRUTH_TOY_IMAGE", raising=False)
    assert TOY.step_image == "groundtruth-toy:latest"
    monkeypatch.setenv("GROUNDTRUTH_TOY_IMAGE", "other:1")
    assert TOY.step_image == "other:1"
