"""A crop classifier that passed its gates is stored and named in the env file, as other models are."""

import pytest

from include.core.errors import ContractError
from include.env_file import EnvFile
from include.satellite.artifacts import APPROVAL, CONFIGURATION, CROP_COMPARISON, CROP_WEIGHTS
from include.satellite.crops import promotion
from include.satellite.crops.params import CropConfigureParams
from include.satellite.crops.promotion import (
    configure_crops,
    crop_approval_form,
    crop_evidence,
    decided_crops,
)
from include.satellite.crops.verification import verify_crops
from include.satellite.registry import overview, store
from include.satellite.registry.promotion import configure_crops_outcome, write_approval
from include.satellite.schemas import Decision

PARAMS = CropConfigureParams()


@pytest.fixture
def run(trained, tmp_path, monkeypatch, data_dir):
    """The files of a verified run whose gates pass, and its env file."""
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(tmp_path / ".env"))
    verify_crops(trained.files, trained.params)

    trained.env_file = EnvFile(tmp_path / ".env")
    return trained


def test_a_refusal_names_its_reason_and_changes_nothing(run, monkeypatch):
    refused = Decision(promote=False, reasons=["not better than one month"], gates=[])
    comparison = decided_crops(run.files, PARAMS).model_copy(update={"decision": refused})
    monkeypatch.setattr(promotion, "decided_crops", lambda files, params: comparison)
    configure_crops(run.files, PARAMS)
    document = CONFIGURATION.read(run.files)
    assert (document.promoted, document.reasons) == (False, ["not better than one month"])
    assert run.env_file.read() == {}
    assert crop_approval_form(run.files, PARAMS) is None


def test_a_promotion_stores_the_trees_and_names_them_beside_other_models(run):
    run.env_file.path.write_text("# ours\nAI_MODEL_VERSION=other\n")
    configure_crops(run.files, PARAMS)
    document = CONFIGURATION.read(run.files)
    keys = run.env_file.read()
    model = store.find(document.version, store.CROP_FILES)
    assert keys == {
        "AI_MODEL_VERSION": "other",
        "USE_AI_MODELS": "true",
        "AI_CROPS_MODEL_PATH": str(model.folder / "crop_model.safetensors"),
    }
    assert CROP_WEIGHTS.at(model.folder).read_bytes() == CROP_WEIGHTS.at(run.files).read_bytes()
    assert configure_crops_outcome(run.files).metrics.model_dump()["model_version"] == model.version
    assert overview.crop_champion(run.env_file).version.crops.crops == ["grass", "maize", "wheat"]
    [shown] = overview.versions()
    assert (shown.cnn, shown.lstm, shown.crops.kind) == (None, None, "random_forest")


def test_a_crop_classifier_alone_enables_no_model_of_crop_health(run):
    configure_crops(run.files, PARAMS)
    keys = run.env_file.read()
    assert [store.in_use(keys, kind) for kind in store.PATHS] == [None, None]
    assert overview.champion(run.env_file).problem is None


def test_a_rollback_undoes_a_promotion_and_its_version_is_kept(run):
    from include.env_file import Reason

    configure_crops(run.files, PARAMS)
    run.env_file.rollback(None, Reason(by="Ada", why="a test"))
    assert run.env_file.read() == {}
    assert store.prune() == []
    store.find(CONFIGURATION.read(run.files).version, store.CROP_FILES)


def test_a_promotion_that_needs_a_reviewer_waits_for_an_answer_to_this_evidence(run):
    params = CropConfigureParams(require_approval=True)
    form = crop_approval_form(run.files, params)
    assert "+AI_CROPS_MODEL_PATH=" in form
    assert "balanced accuracy" in form
    for evidence, promoted in ((None, False), ("0" * 64, False), (crop_evidence(run.files), True)):
        if evidence is not None:
            write_approval(run.files, approved=True, by="Ada", why="fine", evidence=evidence)
        configure_crops(run.files, params)
        assert CONFIGURATION.read(run.files).promoted is promoted
    assert APPROVAL.read(run.files).by == "Ada"


def test_a_decision_that_the_predictions_do_not_give_is_refused(run):
    stated = CROP_COMPARISON.read(run.files)
    decision = stated.decision.model_copy(update={"reasons": ["it is the best"]})
    CROP_COMPARISON.write(run.files, stated.model_copy(update={"decision": decision}))
    with pytest.raises(ContractError, match=r"decision.reasons"):
        configure_crops(run.files, PARAMS)
    assert not CONFIGURATION.at(run.files).is_file()
