"""The first screen of a report on crops."""

import pytest

from include.core.overview import AcceptedFiles
from include.satellite.artifacts import CONFIGURATION, CROP_CLASSIFICATION, CROP_COMPARISON, CROP_DATA
from include.satellite.crops.overview import overview
from include.satellite.crops.schemas import CropClasses
from include.satellite.overview import overview as overview_of_the_domain
from include.satellite.schemas import Configuration


@pytest.fixture
def accepted(trained, monkeypatch):
    """The files of a run, all of them accepted."""
    monkeypatch.setattr(AcceptedFiles, "holds", lambda self, artifact: artifact.at(self.folder).is_file())
    return AcceptedFiles(trained.files, {})


def test_a_run_states_its_decision_its_gain_and_its_weakest_crop(accepted):
    comparison = CROP_COMPARISON.read(accepted.folder)
    shown = overview(accepted)
    recall = comparison.models["real"].recall
    assert shown.headlines[0].value == f"{100 * comparison.models['real'].balanced_accuracy:.0f} %"
    assert shown.headlines[2].note == f"recall of {min(recall, key=recall.get)}"
    assert f"{comparison.differences[0].difference:+.3f} above the best single month" in shown.checks[0].statement
    assert shown.checks[0].level == ("pass" if comparison.differences[0].low > 0 else "warn")
    assert "One season" in shown.checks[1].statement
    assert comparison.decision.promote
    assert shown.notices == ("Every gate passed; the run has not updated the configuration.",)
    assert shown.lead_plots == ("plot_crops.png",)
    assert overview_of_the_domain(accepted) == shown


def test_a_promotion_is_the_first_thing_that_is_said(accepted):
    document = Configuration(promoted=True, reasons=["."], version="V1", env_file="/srv/.env", synthetic=True)
    CONFIGURATION.write(accepted.folder, document)
    comparison = CROP_COMPARISON.read(accepted.folder)
    CROP_COMPARISON.write(accepted.folder, comparison.model_copy(update={"synthetic": True}))
    assert overview(accepted).notices[0] == "Promoted: /srv/.env now names crop classifier V1."
    assert "Simulated series" in overview(accepted).notices[1]


def test_a_classification_states_who_made_it_and_what_does_not_fit(accepted):
    data = CROP_DATA.read(accepted.folder)
    document = CropClasses(
        model_version="V1", model_sha256="0", file="new.csv", months=data.months, fields=3, stated=0, agreeing=0,
        by_crop={"maize": 2, "wheat": 1}, synthetic=False,
        findings=[{"severity": "warning", "message": "the season begins in 2023-04"}],
    )  # fmt: skip
    CROP_CLASSIFICATION.write(accepted.folder, document)
    shown = overview(accepted)
    assert [headline.value for headline in shown.headlines] == ["3", "maize"]
    assert shown.checks[0].statement == "The season begins in 2023-04."
