"""A crop classifier that passed its gates is stored and named in the env file, as other models are."""

import pytest

from include.core.errors import ContractError
from include.env_file import EnvFile
from include.satellite.artifacts import APPROVAL, CONFIGURATION, CROP_CARD, CROP_COMPARISON, CROP_DATA, CROP_WEIGHTS
from include.satellite.crops import promotion
from include.satellite.crops.params import CropConfigureParams
from include.satellite.crops.promotion import (
    configure_crops,
    crop_approval_form,
    crop_evidence,
    decided_crops,
)
from include.satellite.crops.verification import verify_crops
from include.satellite.registry import overview, store, tracking
from include.satellite.registry.promotion import configure_crops_outcome, follow_env_file, write_approval
from include.satellite.registry.tries import CropTry, crop_tries_note, keep_crop_comparison, this_crop_try
from include.satellite.schemas import Decision

PARAMS = CropConfigureParams()


@pytest.fixture
def aliases(monkeypatch):
    """The version of each registered name and alias; MLflow itself has tests of its own."""
    models = {}

    def register(name, training, alias):
        models[name, alias] = training

    monkeypatch.setattr(tracking, "register", register)
    return models


@pytest.fixture
def run(trained, tmp_path, monkeypatch, data_dir, aliases):
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


def test_mlflow_names_the_classifier_in_use_also_after_a_change_of_the_env_file(run, aliases):
    configure_crops(run.files, PARAMS)
    recorded = aliases.pop(("crop-classifier", "champion"))
    own = CROP_COMPARISON.read(run.files).models["real"]
    assert recorded.metrics == {"accuracy": own.accuracy, "balanced_accuracy": own.balanced_accuracy}
    assert {path.name for path in recorded.files} == set(store.CROP_FILES)
    assert follow_env_file(run.env_file) is None
    assert aliases["crop-classifier", "champion"].weights_sha256 == recorded.weights_sha256


def test_a_refused_classifier_is_mlflows_challenger(run, aliases, monkeypatch):
    refused = Decision(promote=False, reasons=["not better than one month"], gates=[])
    comparison = decided_crops(run.files, PARAMS).model_copy(update={"decision": refused})
    monkeypatch.setattr(promotion, "decided_crops", lambda files, params: comparison)
    configure_crops(run.files, PARAMS)
    assert set(aliases) == {("crop-classifier", "challenger")}


def test_other_classifiers_on_the_same_fields_are_counted_and_stated(run):
    keep_crop_comparison(run.files, PARAMS)
    configure_crops(run.files, PARAMS)
    assert CONFIGURATION.read(run.files).notes == []
    for seed in (3, 4):
        card = CROP_CARD.read(run.files)
        CROP_CARD.write(run.files, card.model_copy(update={"weights_sha256": f"of seed {seed}", "seed": seed}))
        keep_crop_comparison(run.files, PARAMS)
    note = "This is one of 3 comparisons on the same held-out fields (seeds of the others: 0, 3; 2 of them passed gates"
    assert crop_tries_note(run.files).startswith(note)


def test_half_of_the_fields_in_an_overlapping_season_are_the_same_data(run):
    own = this_crop_try(run.files)
    fields = own.fields
    assert len(fields) == min(CROP_DATA.read(run.files).fields, 512)

    def same(**changes) -> bool:
        return CropTry(**own.model_dump() | changes).on_the_data_of(own)

    others = [f"z{number}" for number in range(len(fields))]
    half = len(fields) // 2
    assert same()
    assert same(fields=fields[: half + 1] + others[: half - 1])
    assert not same(fields=fields[: half - 3] + others[: half + 3])
    later = tuple(month.replace(year=month.year + 5) for month in own.season)
    assert not same(season=later)


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
