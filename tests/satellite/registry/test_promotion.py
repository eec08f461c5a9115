"""Promotion: the store first, the env file as the commit point; refusals are answers; killed anywhere, the same end."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from dotenv import dotenv_values

from include.core.errors import ContractError, SetupError
from include.core.outcome import StepOutcome
from include.env_file import EnvFile, Reason
from include.satellite.artifacts import CNN, COMPARISON, DECIDES, LSTM
from include.satellite.datasets.storage import read_index, write_index
from include.satellite.evaluation.predictions import read_predictions, write_predictions
from include.satellite.registry import promotion, store, tracking
from include.satellite.registry.promotion import (
    approval_form,
    configure,
    configure_outcome,
    evidence,
    follow_env_file,
    pending_change,
    planned_changes,
    promotion_notice,
    write_approval,
)
from include.satellite.schemas import Approval, Configuration
from tests.satellite.trained_run import CONFIGURE

ROOT = Path(__file__).resolve().parents[3]
WHY = Reason(by="tester", why="a test")
ASKED = CONFIGURE.model_copy(update={"require_approval": True})


@pytest.fixture(autouse=True)
def aliases(monkeypatch):
    """The model of each registered name and alias; MLflow itself has tests of its own."""
    models = {}

    def register(name, training, alias):
        models[name, alias] = f"{training.files[0].parent}/{training.name.split()[0]}"

    monkeypatch.setattr(tracking, "register", register)
    return models


def configuration(folder):
    return Configuration.model_validate_json((folder / "configuration.json").read_bytes())


def stored():
    folder = store.store_dir()
    return sorted(path.name for path in folder.iterdir() if path.name[0].isdigit()) if folder.exists() else []


def test_a_promotion_stores_the_model_and_switches_the_env_file(compared_once, env_file, aliases):
    folder = compared_once()
    configure(folder, CONFIGURE)
    result = configuration(folder)
    model = store.find(result.version)
    assert result.promoted
    assert dotenv_values(env_file) == {
        "PASSWORD": "secret",
        "USE_AI_MODELS": "true",
        "AI_MODEL_VERSION": model.version,
        "AI_CNN_MODEL_PATH": str(model.folder / "cnn_model.safetensors"),
        "AI_LSTM_MODEL_PATH": str(model.folder / "lstm_model.safetensors"),
    }
    assert Path(dotenv_values(env_file)["AI_CNN_MODEL_PATH"]).is_file()
    (entry,) = EnvFile(env_file).history()
    assert (entry.run, entry.version, entry.id) == ("satellite_pipeline/manual__1", model.version, result.entry)
    assert (result.diff, result.backup) == (entry.diff, entry.backup)
    assert "secret" not in (folder / "configuration.json").read_text()
    assert model.run == "satellite_pipeline/manual__1"
    assert {key: path.rpartition("/")[2] for key, path in aliases.items()} == {
        ("crop-health-cnn-simulated", "champion"): "cnn",
        ("ndvi-forecast-lstm-simulated", "champion"): "lstm",
    }


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"allow_synthetic": False}, "only with allow_synthetic"),
    ],
)
def test_a_refusal_is_an_answer_and_changes_nothing(compared_once, env_file, aliases, params, reason):
    before = env_file.read_bytes()
    folder = compared_once(**params)
    configure(folder, CONFIGURE.model_copy(update=params))
    result = configuration(folder)
    assert not result.promoted
    assert [reason in stated for stated in result.reasons] == [True]
    assert (result.version, result.changes, result.diff, result.backup, result.entry) == (None, {}, "", None, None)
    assert env_file.read_bytes() == before
    assert [path.name for path in env_file.parent.iterdir()] == [".env"]
    assert stored() == []
    assert {alias for _, alias in aliases} == {"challenger"}
    summary = configure_outcome(folder).model_dump(mode="json")
    assert summary["promoted"] is False
    assert any(f"not promoted: {result.reasons[0]}" in finding["message"] for finding in summary["findings"])


def test_a_model_that_missed_a_gate_has_no_key_and_the_other_is_in_use(compared_once, env_file, aliases):
    params = {"min_cnn_accuracy": 0.999}
    folder = compared_once(**params)
    configure(folder, CONFIGURE.model_copy(update=params))
    result = configuration(folder)
    assert (result.promoted, result.models) == (True, ["lstm"])
    keys = dotenv_values(env_file)
    assert keys["USE_AI_MODELS"] == "true"
    assert "AI_CNN_MODEL_PATH" not in keys
    assert keys["AI_LSTM_MODEL_PATH"].endswith(f"{result.version}/lstm_model.safetensors")
    assert dict(aliases.keys()) == {
        "crop-health-cnn-simulated": "challenger",
        "ndvi-forecast-lstm-simulated": "champion",
    }


# lies


def state(folder, name, **changes):
    """Change fields of a document of the run."""
    document = json.loads((folder / name).read_bytes())
    (folder / name).write_text(json.dumps(document | changes))


def promote_true(folder):
    decision = COMPARISON.read(folder).decision
    state(folder, "comparison.json", decision=decision.model_dump(mode="json") | {"promote": True})


def real_imagery(folder):
    state(folder, "comparison.json", synthetic=False)


def better_predictions(folder):
    stated = read_predictions(CNN.compared, folder)
    values = {**stated.values, "real": np.eye(4)[stated.truth]}
    write_predictions(CNN.compared.at(folder), replace(stated, values=values))


def better_predictions_everywhere(folder):
    for artifact in (CNN.predictions, CNN.compared):
        stated = read_predictions(artifact, folder)
        values = {**stated.values, "real": np.eye(4)[stated.truth]}
        write_predictions(artifact.at(folder), replace(stated, values=values))


def another_truth(folder):
    stated = read_predictions(LSTM.compared, folder)
    write_predictions(LSTM.compared.at(folder), replace(stated, truth=stated.values["real"]))


def another_label(folder):
    columns = read_index(folder / "cnn_index.parquet")
    columns["label"] = np.where(columns["split"] == 2, (columns["label"] + 1) % 4, columns["label"])
    write_index(folder / "cnn_index.parquet", columns)


def another_split(folder):
    columns = read_index(folder / "lstm_index.parquet")
    columns["split"][np.flatnonzero(columns["split"] == 2)[:5]] = 0
    write_index(folder / "lstm_index.parquet", columns)


def weights_of_another_run(folder):
    with (folder / "cnn_model.safetensors").open("ab") as weights:
        weights.write(b" ")


def no_verification(folder):
    (folder / "verification.json").unlink()


LIES = (
    promote_true, real_imagery, better_predictions, better_predictions_everywhere, another_truth, another_label,
    another_split, weights_of_another_run, no_verification,
)  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_never_reaches_the_env_file(compared_once, env_file, lie):
    """`configure` believes no artifact that the others contradict, whichever step wrote it."""
    before = env_file.read_bytes()
    folder = compared_once(allow_synthetic=False)
    lie(folder)
    with pytest.raises(ContractError):
        configure(folder, CONFIGURE.model_copy(update={"allow_synthetic": False}))
    assert env_file.read_bytes() == before
    assert stored() == []
    assert not (folder / "configuration.json").exists()


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_not_put_before_a_reviewer(compared_once, lie):
    folder = compared_once(allow_synthetic=False)
    lie(folder)
    with pytest.raises(ContractError):
        approval_form(folder, CONFIGURE.model_copy(update={"allow_synthetic": False}))


# approval


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "Approval is required, and no reviewer was asked."),
        (
            {"approved": False, "by": "Ada", "why": "not before the holidays"},
            "Not approved by Ada: not before the holidays",
        ),
    ],
)
def test_without_a_yes_nothing_changes(compared_once, env_file, answer, reason):
    folder = compared_once()
    if answer:
        write_approval(folder, evidence=evidence(folder), **answer)
    configure(folder, ASKED)
    assert configuration(folder).reasons == [reason]
    assert dotenv_values(env_file)["USE_AI_MODELS"] == "false"


def test_a_yes_lets_the_gates_decide(compared_once, env_file):
    folder = compared_once()
    write_approval(folder, approved=True, by="Ada", why="fine", evidence=evidence(folder))
    configure(folder, ASKED)
    assert configuration(folder).promoted
    assert dotenv_values(env_file)["USE_AI_MODELS"] == "true"


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        (lambda folder: None, "is about other evidence"),
        (lambda folder: "0" * 64, "is about other evidence"),
        (lambda folder: evidence(folder)[:12], "is about other evidence"),
    ],
    ids=["without evidence", "of other evidence", "of the code alone"],
)
def test_an_approval_of_other_evidence_does_not_count(compared_once, env_file, of, reason):
    folder = compared_once()
    write_approval(folder, approved=True, by="Ada", why="fine", evidence=of(folder))
    configure(folder, ASKED)
    [refused] = configuration(folder).reasons
    assert reason in refused
    assert "Clear the task approve" in refused
    assert dotenv_values(env_file)["USE_AI_MODELS"] == "false"


def test_an_approval_before_a_retraining_does_not_count_after_it(compared, env_file):
    folder = compared()
    write_approval(folder, approved=True, by="Ada", why="fine", evidence=evidence(folder))
    sleep(1)  # the evidence states the second of the decision
    compared()  # another time: other evidence
    configure(folder, ASKED)
    assert not configuration(folder).promoted
    write_approval(folder, approved=True, by="Ada", why="read again", evidence=evidence(folder))
    configure(folder, ASKED)
    assert configuration(folder).promoted


@pytest.mark.parametrize("artifact", DECIDES, ids=lambda artifact: artifact.path)
def test_the_evidence_is_every_file_that_the_decision_rests_on(compared_once, artifact):
    folder = compared_once()
    before = evidence(folder)
    assert evidence(folder) == before
    with artifact.at(folder).open("ab") as file:
        file.write(b" ")
    assert evidence(folder) != before
    artifact.at(folder).unlink()
    if artifact.optional:
        assert evidence(folder) == before
        return
    with pytest.raises(ContractError, match=f"{artifact.path}: must be there to be approved"):
        evidence(folder)


def test_a_yes_does_not_overrule_a_gate(compared_once, env_file):
    folder = compared_once(allow_synthetic=False)
    write_approval(folder, approved=True, by="Ada", why="fine", evidence=evidence(folder))
    configure(folder, ASKED.model_copy(update={"allow_synthetic": False}))
    assert not configuration(folder).promoted
    assert "allow_synthetic" in configuration(folder).reasons[0]


def test_an_answer_that_nobody_asked_for_does_not_decide(compared_once):
    folder = compared_once()
    write_approval(folder, approved=False, by="Ada", why="no")
    configure(folder, CONFIGURE)
    assert configuration(folder).promoted


def test_the_form_shows_the_diff_that_is_then_made_and_the_measures(compared_once, env_file):
    folder = compared_once()
    form = approval_form(folder, CONFIGURE)
    diff = EnvFile(env_file).diff(planned_changes(folder))
    assert diff in form
    assert "secret" not in form
    comparison = COMPARISON.read(folder)
    assert f"{comparison.cnn_comparison.models['real'].balanced_accuracy:.3f}" in form
    assert all(gate.sentence in form for gate in comparison.decision.gates)
    assert stored() == [], "asking stores nothing"
    configure(folder, CONFIGURE)
    assert configuration(folder).diff == diff


def test_nothing_is_asked_where_the_gates_refuse(compared_once):
    refused = CONFIGURE.model_copy(update={"allow_synthetic": False})
    assert approval_form(compared_once(allow_synthetic=False), refused) is None


def test_the_answer_is_kept_as_configure_reads_it(tmp_path):
    write_approval(tmp_path, approved=True, by="Ada", why="fine", evidence="12ab")
    assert Approval.model_validate_json((tmp_path / "approval.json").read_bytes()) == Approval(
        approved=True, by="Ada", why="fine", evidence="12ab"
    )


# once more


def test_a_second_time_ends_the_same(compared_once, env_file):
    folder = compared_once()
    configure(folder, CONFIGURE)
    first, text = (folder / "configuration.json").read_bytes(), env_file.read_bytes()
    configure(folder, CONFIGURE)
    assert (folder / "configuration.json").read_bytes() == first
    assert env_file.read_bytes() == text
    assert len(EnvFile(env_file).history()) == 1
    assert len(stored()) == 1


KILLED = """
import os, signal
from pathlib import Path
from time import sleep
from include.core import contracts
from include.env_file import replacement
from include.satellite.params import ConfigureParams
from include.satellite.registry import promotion, store, tracking
def dies(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
tracking.register = lambda *_: "1"
{patch}
promotion.configure(Path({files!r}), ConfigureParams.model_validate_json({params!r}))
"""


@pytest.mark.parametrize(
    ("patch", "switched"),
    [
        ("store.replace_folder = dies", False),
        ("store.remember = dies", False),
        ("replacement._exchange = dies", False),
        ("replacement._flush_folder = dies", True),
        ("promotion._set_aliases = dies", True),
        ("store.prune = dies", True),
        ("contracts.write_json = dies", True),
    ],
)
def test_killed_anywhere_and_tried_again_the_end_is_the_same(compared_once, env_file, data_dir, patch, switched):
    folder = compared_once()
    environment = {
        "GROUNDTRUTH_DATA_DIR": str(data_dir),
        "GROUNDTRUTH_ENV_FILE": str(env_file),
        "PATH": "/usr/bin:/bin",
    }
    code = KILLED.format(patch=patch, files=str(folder), params=CONFIGURE.model_dump_json())
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (dotenv_values(env_file)["USE_AI_MODELS"] == "true") is switched
    if switched:
        assert Path(dotenv_values(env_file)["AI_CNN_MODEL_PATH"]).is_file(), "the model was there first"
    configure(folder, CONFIGURE)
    result = configuration(folder)
    (entry,) = EnvFile(env_file).history()
    assert result.promoted
    assert (result.entry, result.diff, result.backup) == (entry.id, entry.diff, entry.backup)
    assert (env_file.parent / result.backup).read_text() == "# of the team\nPASSWORD=secret\nUSE_AI_MODELS=false\n"
    assert dotenv_values(env_file)["AI_MODEL_VERSION"] == result.version
    assert stored() == [result.version]
    leftovers = [path.name for path in (*env_file.parent.iterdir(), *store.store_dir().iterdir())]
    assert not [name for name in leftovers if name.startswith("..") or "pending" in name]


def test_a_champion_that_changed_since_the_comparison_is_not_replaced(compared_once, env_file):
    folder = compared_once()
    EnvFile(env_file).update({"USE_AI_MODELS": "true", "AI_MODEL_VERSION": "20260101T000000Z-12345678"}, WHY)
    configure(folder, CONFIGURE)
    result = configuration(folder)
    assert not result.promoted
    assert "The gates were passed for another state of the env file" in result.reasons[0]
    assert "USE_AI_MODELS is 'true' now; it was 'false'" in result.reasons[0]
    assert dotenv_values(env_file)["AI_MODEL_VERSION"] == "20260101T000000Z-12345678"


def test_of_two_runs_at_once_one_is_promoted_and_the_other_told_why(compared_once, env_file, data_dir):
    first = compared_once()
    second = data_dir / "runs" / "satellite_pipeline" / "manual__2" / "files"
    shutil.copytree(first.parent, second.parent)
    document = json.loads((second / "comparison.json").read_bytes())
    (second / "comparison.json").write_text(json.dumps(document | {"decided_at": "2026-01-01T00:00:00Z"}))
    workers = [
        multiprocessing.get_context("fork").Process(target=configure, args=(folder, CONFIGURE))
        for folder in (first, second)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    results = sorted((configuration(folder) for folder in (first, second)), key=lambda result: not result.promoted)
    assert [result.promoted for result in results] == [True, False]
    assert "AI_MODEL" in results[1].reasons[0] or "USE_AI_MODELS" in results[1].reasons[0]
    assert dotenv_values(env_file)["AI_MODEL_VERSION"] == results[0].version
    assert len(EnvFile(env_file).history()) == 1
    assert len(stored()) == 2


def test_other_keys_may_change_since_the_comparison(compared_once, env_file):
    folder = compared_once()
    env_file.write_text(env_file.read_text().replace("secret", "changed") + "NEW=1\n")
    configure(folder, CONFIGURE)
    assert configuration(folder).promoted
    assert dotenv_values(env_file).items() >= {"PASSWORD": "changed", "NEW": "1"}.items()


# faults


def test_an_env_file_that_cannot_be_replaced_fails_the_step_and_the_model_is_harmless(
    compared_once, env_file, monkeypatch
):
    from include.env_file import replacement

    def busy(*_):
        raise OSError(16, "Device or resource busy")

    folder = compared_once()
    monkeypatch.setattr(replacement, "_exchange", busy)
    with pytest.raises(SetupError, match="is mounted as a single file"):
        configure(folder, CONFIGURE)
    assert dotenv_values(env_file)["USE_AI_MODELS"] == "false"
    assert not (folder / "configuration.json").exists()
    monkeypatch.undo()


def test_a_missing_env_file_is_made(compared, env_file):
    env_file.unlink()
    folder = compared()
    configure(folder, CONFIGURE)
    assert dotenv_values(env_file)["USE_AI_MODELS"] == "true"
    assert configuration(folder).backup is None


def test_mlflow_out_of_reach_is_a_note_and_no_failure(compared_once, monkeypatch):
    def gone(*_):
        raise SetupError("MLflow (http://x): no answer")

    monkeypatch.setattr(tracking, "register", gone)
    folder = compared_once()
    configure(folder, CONFIGURE)
    result = configuration(folder)
    assert result.promoted
    assert result.notes[0] == "MLflow's alias champion of crop-health-cnn-simulated does not follow: " + (
        "MLflow (http://x): no answer"
    )
    warnings = [
        finding["message"]
        for finding in configure_outcome(folder).model_dump()["findings"]
        if finding["severity"] == "warning"
    ]
    assert warnings == result.notes


def test_real_and_simulated_models_have_aliases_of_their_own(compared_once, aliases):
    promotion._set_aliases(compared_once(), {"cnn": "champion", "lstm": "champion"}, synthetic=False)
    assert set(aliases) == {("crop-health-cnn", "champion"), ("ndvi-forecast-lstm", "champion")}


def test_after_a_rollback_the_alias_follows_the_env_file(compared_once, env_file, aliases):
    first = compared_once()
    configure(first, CONFIGURE)
    version = configuration(first).version
    aliases.clear()
    assert follow_env_file(EnvFile(env_file)) is None
    assert all(version in path for path in aliases.values())
    assert {alias for _, alias in aliases} == {"champion"}
    EnvFile(env_file).update({"USE_AI_MODELS": "false"}, WHY)
    aliases.clear()
    assert follow_env_file(EnvFile(env_file)) is None
    assert aliases == {}
    EnvFile(env_file).update({"USE_AI_MODELS": "true", "AI_CNN_MODEL_PATH": "/models/gone/cnn"}, WHY)
    assert "no model version 'gone'" in follow_env_file(EnvFile(env_file))


def test_the_summary_of_a_promotion_says_what_is_used_now(compared_once, env_file):
    folder = compared_once()
    configure(folder, CONFIGURE)
    summary = configure_outcome(folder).model_dump(mode="json")
    assert summary["promoted"] is True
    assert summary["model_version"] == configuration(folder).version
    assert summary["findings"][0]["message"] == f"{env_file} now uses model {summary['model_version']}"
    assert summary["tables"][0]["rows"][0] == ["USE_AI_MODELS", "true"]
    json.dumps(summary, allow_nan=False)


def test_without_a_comparison_nothing_is_pending(data_dir):
    assert pending_change(data_dir) is None


def test_what_is_pending_is_what_a_promotion_would_change(compared_once, data_dir):
    folder = compared_once()
    pending = pending_change(data_dir)
    assert (pending.run, pending.changes) == ("manual__1", planned_changes(folder))
    configure(folder, CONFIGURE)
    assert configuration(folder).changes == pending.changes


def test_a_refused_comparison_is_pending_with_its_reasons_and_no_changes(compared_once, data_dir):
    decision = COMPARISON.read(compared_once(allow_synthetic=False)).decision
    pending = pending_change(data_dir)
    assert (list(pending.reasons), pending.changes) == (decision.reasons, {})


def test_the_comparison_of_a_run_of_an_earlier_version_is_shown_as_it_is_reported(compared_once, data_dir):
    """Its classes of the next date, or the forecasts that calibrate its interval, were not verified."""
    folder = compared_once()
    stated = COMPARISON.read(folder)
    COMPARISON.write(folder, stated.model_copy(update={"label_source": "next_ndvi"}))
    assert list(pending_change(data_dir).reasons) == stated.decision.reasons
    COMPARISON.write(folder, stated)
    LSTM.calibration.at(folder).write_bytes(b"of an earlier version")
    assert list(pending_change(data_dir).reasons) == stated.decision.reasons


def test_a_promotion_is_announced_with_its_version_and_the_way_to_undo_it(compared_once, env_file):
    folder = compared_once()
    configure(folder, CONFIGURE)
    outcome = configure_outcome(folder)
    for read_back in (outcome, StepOutcome.model_validate_json(outcome.model_dump_json())):
        notice = promotion_notice(read_back)
        assert notice.sentence == f"{env_file} now uses model {configuration(folder).version}."
        assert notice.facts["Trained on"] == "simulated imagery"
        assert "./pipeline env rollback" in notice.facts["To undo"]


def test_a_refusal_is_not_announced(compared_once):
    folder = compared_once(allow_synthetic=False)
    configure(folder, CONFIGURE.model_copy(update={"allow_synthetic": False}))
    assert promotion_notice(configure_outcome(folder)) is None
