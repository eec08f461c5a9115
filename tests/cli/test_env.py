"""`./pipeline env`: what would change, what did, and the way back."""

import pytest
from typer.testing import CliRunner

from include.cli.app import app
from include.cli.env import env_app
from include.core.settings import get_settings
from include.env_file import EnvFile, Reason
from include.satellite.artifacts import COMPARISON
from include.satellite.registry import promotion, store
from include.satellite.schemas import CnnComparison, CnnScore, Comparison, Decision, LstmComparison, LstmScore

WHY = Reason(by="airflow, step configure", why="every gate passed", run="satellite_pipeline/manual__1", version="v1")


@pytest.fixture
def env(tmp_path, monkeypatch):
    path = tmp_path / "config" / ".env"
    path.parent.mkdir()
    path.write_text("PASSWORD=secret\nUSE_AI_MODELS=false\n")
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(path))
    get_settings.cache_clear()
    return EnvFile(path)


@pytest.fixture(autouse=True)
def followed(monkeypatch):
    """Env files that MLflow's alias was told to follow."""
    told = []
    monkeypatch.setattr(promotion, "follow_env_file", lambda env_file: told.append(env_file.path))
    return told


@pytest.fixture
def call():
    def run(*arguments, code=0):
        done = CliRunner().invoke(env_app, [str(argument) for argument in arguments])
        assert done.exit_code == code, done.output
        return done.output

    return run


def a_run(data_dir, promote, reasons=(), name="manual__1"):
    """A run's folder as `compare` leaves it."""
    files = data_dir / "runs" / "satellite_pipeline" / name / "files"
    files.mkdir(parents=True)
    for each in store.FILES:
        (files / each).write_text(each)
    cnn = CnnComparison(
        samples=1, blocks=1, dates=[], classes=[], left_out=[], accuracy_improvement=1.0, differences=[],
        models={"real": CnnScore(accuracy=0.9, balanced_accuracy=0.9, recall={})},
    )  # fmt: skip
    lstm = LstmComparison(
        samples=1, blocks=1, dates=[], mae_improvement=1.0, differences=[],
        models={"real": LstmScore(mae=0.1, rmse=0.1, accuracy=0.95)},
    )  # fmt: skip
    document = Comparison(
        decided_at="2026-07-01T12:00:00Z", label_source="reference", synthetic=False, allow_synthetic=False,
        env_file={}, champion=None, baseline={}, notes=[], resamples=4000, seed=0, cnn_comparison=cnn,
        lstm_comparison=lstm, decision=Decision(promote=promote, reasons=list(reasons), gates=[]),
    )  # fmt: skip
    (files / "comparison.json").write_text(document.model_dump_json())
    return files


def test_it_is_a_command_of_the_pipeline():
    done = CliRunner().invoke(app, ["env", "--help"])
    assert done.exit_code == 0
    assert all(word in done.output for word in ("diff", "history", "rollback"))


@pytest.mark.parametrize("command", ["diff", "history", "rollback"])
def test_every_command_explains_itself(command):
    done = CliRunner().invoke(app, ["env", command, "--help"])
    assert "--file" in done.output
    assert "Usage" in done.output


# diff


def test_diff_without_runs_says_what_to_begin_with(call, env):
    output = call("diff")
    assert "no satellite run has reached a decision yet; begin with ./pipeline run satellite" in output
    assert f"{env.path} was never changed by a promotion" in output


def test_diff_shows_what_the_latest_decision_would_change_and_no_secret(call, env, data_dir):
    files = a_run(data_dir, promote=True)
    output = call("diff")
    assert "run manual__1" in output
    for line in env.diff(promotion.planned_changes(files)).splitlines():
        assert line[:150] in output
    assert "+USE_AI_MODELS=true" in output
    assert "secret" not in output
    assert env.read()["USE_AI_MODELS"] == "false", "showing changes nothing"


def test_diff_after_the_promotion_shows_the_last_change(call, env, data_dir):
    files = a_run(data_dir, promote=True)
    entry = env.update(promotion.planned_changes(files), WHY)
    output = call("diff")
    assert f"it passed every gate; {env.path} uses it" in output
    assert f"last change: {entry.id}, airflow, step configure: every gate passed" in output
    assert "-USE_AI_MODELS=false" in output


def test_diff_of_a_refusal_gives_its_reasons(call, env, data_dir):
    a_run(data_dir, promote=False, reasons=["CNN accuracy 0.700 is below the minimum of 0.85."])
    assert "not promoted: CNN accuracy 0.700 is below the minimum of 0.85." in call("diff")


def test_the_latest_run_counts(call, env, data_dir):
    import os

    first = a_run(data_dir, promote=False, reasons=["old"], name="manual__1")
    os.utime(first / "comparison.json", (1, 1))
    a_run(data_dir, promote=True, name="manual__2")
    assert "run manual__2" in call("diff")
    assert COMPARISON.read(first).decision.reasons == ["old"]


# history


def test_history_lists_who_what_and_why(call, env):
    assert "no changes yet" in call("history")
    first = env.update({"USE_AI_MODELS": "true", "AI_CNN_MODEL_PATH": "/data/models/store/v1/cnn.safetensors"}, WHY)
    second = env.rollback(None, Reason(by="ada", why="it was worse"))
    output = call("history")
    for text in (
        first.id,
        second.id,
        "USE_AI_MODELS: false → true",
        "satellite_pipeline/manual__1",
        "it was worse",
        "ada",
    ):
        assert text in output
    assert "AI_CNN_MODEL_PATH: (not set) → …/v1/cnn.safetensors" in output
    assert output.index(first.id) < output.index(second.id)


def test_another_file_may_be_looked_at(call, env, tmp_path):
    other = EnvFile(tmp_path / "other.env")
    entry = other.update({"A": "1"}, WHY)
    assert entry.id in call("history", "--file", other.path)
    assert entry.id not in call("history")


@pytest.mark.parametrize("command", [("history",), ("diff",), ("rollback",)])
def test_values_of_keys_that_are_not_ours_are_not_printed(call, env, command):
    """Any DAG may set keys of the env file; their values may be secrets, and a terminal is no place for them."""
    env.update({"PASSWORD": "hunter2", "API_TOKEN": "abcdef", "AI_MODEL_VERSION": "v9"}, WHY)
    output = call(*command)
    assert "PASSWORD" in output
    assert "(not shown)" in output
    assert "v9" in output
    assert not any(secret in output for secret in ("secret", "hunter2", "abc"))


# rollback


def test_rollback_goes_to_before_the_last_change(call, env, followed):
    env.update({"USE_AI_MODELS": "true", "AI_MODEL_VERSION": "v1"}, WHY)
    output = call("rollback", "--why", "bad maps")
    assert env.read() == {"PASSWORD": "secret", "USE_AI_MODELS": "false"}
    last = env.history()[-1]
    assert last.why == "bad maps"
    assert last.by.endswith("./pipeline env rollback")
    assert f"rolled back (entry {last.id})" in output
    assert "+USE_AI_MODELS=false" in output
    assert followed == [env.path]


def test_rollback_goes_to_a_named_entry(call, env):
    entries = [env.update({"AI_MODEL_VERSION": version}, WHY) for version in ("v1", "v2", "v3")]
    call("rollback", entries[0].id)
    assert env.read()["AI_MODEL_VERSION"] == "v1"
    assert "says so already; nothing changed" in call("rollback", entries[0].id)


def test_what_cannot_be_is_an_error_in_words(call, env):
    assert "has no history to roll back" in call("rollback", code=1)
    env.update({"AI_MODEL_VERSION": "v1"}, WHY)
    assert "nonsense: no such entry" in call("rollback", "nonsense", code=1)
    env.path.write_text('A="1\n')
    assert "line 1: its quotes do not close" in call("rollback", code=1)
    env.path.with_name(".env.history.jsonl").write_text("{}\n")
    assert "line 1: is not an entry of the history" in call("history", code=1)
    assert "line 1: is not an entry of the history" in call("diff", code=1)


def test_an_alias_that_does_not_follow_is_said(call, env, monkeypatch):
    monkeypatch.setattr(promotion, "follow_env_file", lambda _: "MLflow (http://x): no answer")
    env.update({"AI_MODEL_VERSION": "v1"}, WHY)
    assert "! MLflow (http://x): no answer" in call("rollback")
