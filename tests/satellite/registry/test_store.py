"""Stored models: complete or absent, identified by their version, kept for as long as an env file may need them."""

import json
import multiprocessing
import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from include.core.errors import BadInputError, ContractError, SetupError
from include.env_file import EnvFile, Reason
from include.satellite.artifacts import CNN, LSTM
from include.satellite.registry import overview, store
from include.satellite.registry.store import FILES, KEPT_SECONDS, KEPT_VERSIONS, champion, env_changes, find, put
from include.satellite.schemas import CnnComparison, Comparison, Decision, LstmComparison

WHY = Reason(by="tester", why="a test")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def comparison(when=NOON, **fields):
    cnn = CnnComparison.model_construct(models={}, differences=[])
    lstm = LstmComparison.model_construct(models={}, differences=[])
    values = {"label_source": "reference", "synthetic": False, "allow_synthetic": False} | fields
    return Comparison.model_construct(
        decided_at=when, cnn_comparison=cnn, lstm_comparison=lstm,
        decision=Decision(promote=True, reasons=[], gates=[]), **values,
    )  # fmt: skip


@pytest.fixture
def files(tmp_path, data_dir):
    folder = tmp_path / "run" / "files"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).write_text(f"content of {name}")
    return folder


@pytest.fixture
def env(tmp_path):
    return EnvFile(tmp_path / ".env")


def versions():
    return sorted(path.name for path in store.store_dir().iterdir() if path.name[0].isdigit())


def make(files, number, *, old=True):
    """A version of its own; so old that it may be pruned."""
    (files / "comparison.json").write_text(f"comparison {number}")
    model = put(files, comparison(NOON + timedelta(days=number)), "dag/run")
    if old:
        past = time.time() - KEPT_SECONDS - 60
        os.utime(model.folder, (past, past))
    return model


def test_a_model_is_stored_whole_with_its_checksums(files):
    model = put(files, comparison(), "dag/run")
    assert model.version.startswith("20260701T120000Z-")
    assert {name: (model.folder / name).read_text() for name in FILES} == {name: f"content of {name}" for name in FILES}
    assert find(model.version) == model
    assert (model.label_source, model.synthetic, model.run) == ("reference", False, "dag/run")
    assert sorted(path.name for path in model.folder.iterdir()) == sorted([*FILES, "model.json"])


def test_the_same_models_are_the_same_version_however_often_they_are_stored(files):
    first = put(files, comparison(), "dag/run")
    before = first.folder.stat().st_ino
    assert put(files, comparison(), "dag/run") == first
    assert first.folder.stat().st_ino == before
    (files / "cnn_model.safetensors").write_text("other")
    assert put(files, comparison(), "dag/run").version != first.version
    assert len(versions()) == 2


def test_a_damaged_version_is_found_out_and_mended_by_storing_it_again(files):
    model = put(files, comparison(), "dag/run")
    (model.folder / "lstm_model.safetensors").write_text("bit rot")
    with pytest.raises(ContractError, match=r"lstm_model\.safetensors: must be as it was stored.*other content"):
        find(model.version)
    (model.folder / "lstm_model.safetensors").unlink()
    with pytest.raises(ContractError, match="no such file"):
        find(model.version)
    assert put(files, comparison(), "dag/run") == model
    assert find(model.version) == model


def test_a_manifest_that_is_none_is_found_out(files):
    model = put(files, comparison(), "dag/run")
    (model.folder / "model.json").write_text("{}")
    with pytest.raises(ContractError, match=r"models/store/.*/model\.json: must keep to its schema"):
        find(model.version)


@pytest.mark.parametrize("version", ["", "../secrets", "20260701T120000Z-abcdef12", "20260701T120000Z-abcdef12/../x"])
def test_a_version_that_is_not_there_is_said(data_dir, version):
    with pytest.raises(BadInputError, match="there is no model version"):
        find(version)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"version": "../../../other"}, "must keep to its schema"),
        ({"version": "/etc"}, "must keep to its schema"),
        ({"version": "20260701T120000Z-abcdef12"}, "must be of the version 2"),
        ({"version": "20260701T120000Z-ABCDEF12"}, "must keep to its schema"),
        ({"version": "٢٠٢٦0701T120000Z-abcdef12"}, "must keep to its schema"),
        ({"files": {}}, "must be of the version .* and list cnn_model"),
        ({"files": {"../../secrets": {"sha256": "0", "bytes": 1}}}, "and list cnn_model"),
    ],
)
def test_a_manifest_that_names_other_places_is_refused_and_not_listed(files, changes, rule):
    model = put(files, comparison(), "dag/run")
    manifest = model.folder / "model.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()) | changes))
    with pytest.raises(ContractError, match=rule):
        find(model.version)
    listed = [version.model.version for version in overview.versions()]
    assert listed in ([], [model.version]), "never another folder"
    with pytest.raises(ContractError, match=r"model\.json: version: must match"):
        assert model.model_copy(update={"version": "../other"}).folder


def test_a_version_whose_file_is_a_link_is_damaged(files, tmp_path):
    model = put(files, comparison(), "dag/run")
    weights = model.folder / "cnn_model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ContractError, match="must be as it was stored"):
        find(model.version)


def test_models_are_alike_where_they_take_the_same_data(trained_run):
    (trained_run / "comparison.json").write_text("{}")
    model = put(trained_run, comparison(), "dag/run")
    assert store.unlike(model, trained_run, LSTM) is None
    card = LSTM.card.read(trained_run)
    LSTM.card.write(trained_run, card.model_copy(update={"size": 99}))
    assert "takes other data (lstm: inputs, size or resolution)" in store.unlike(model, trained_run, LSTM)
    assert store.unlike(model, trained_run, CNN) is None


def test_a_missing_file_is_named_and_nothing_is_stored(files):
    (files / "lstm_metrics.json").unlink()
    with pytest.raises(ContractError, match=r"lstm_metrics\.json: must be there to be stored"):
        put(files, comparison(), "dag/run")
    assert not store.store_dir().exists()


def _put(files):
    put(files, comparison(), "dag/run")


def test_two_runs_may_store_at_once(files):
    workers = [multiprocessing.get_context("fork").Process(target=_put, args=(files,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    (version,) = versions()
    assert find(version).run == "dag/run"
    assert [path.name for path in store.store_dir().iterdir()] == [version]


# the champion


def test_the_champion_is_what_the_env_file_names(files):
    model = put(files, comparison(), "dag/run")
    assert champion(env_changes(model, ["cnn", "lstm"]), CNN, synthetic=False, label_source="reference") == (
        model,
        None,
    )


@pytest.mark.parametrize("value", ["true", "True", "1", " yes ", "ON"])
def test_enabled_is_what_people_write(value):
    assert store.enabled({"USE_AI_MODELS": value})


def test_a_model_whose_path_is_absent_is_not_in_use(files):
    model = put(files, comparison(), "dag/run")
    keys = env_changes(model, ["lstm"])
    assert set(keys) == {"USE_AI_MODELS", "AI_MODEL_VERSION", "AI_LSTM_MODEL_PATH"}
    assert (store.in_use(keys, "lstm"), store.in_use(keys, "cnn")) == (model.version, None)
    assert champion(keys, CNN, synthetic=False, label_source="reference") == (None, None)
    assert champion(keys, LSTM, synthetic=False, label_source="reference") == (model, None)
    assert store.in_use(keys | {"USE_AI_MODELS": "false"}, "lstm") is None


@pytest.mark.parametrize("values", [{}, {"USE_AI_MODELS": "false"}, {"USE_AI_MODELS": ""}, {"USE_AI_MODELS": "0"}])
def test_nothing_switched_on_is_no_champion(data_dir, values):
    assert champion(values, CNN, synthetic=False, label_source="reference") == (None, None)


@pytest.mark.parametrize("kind", [{"synthetic": True}, {"label_source": "ndvi_rule"}])
def test_another_kind_is_no_champion_and_that_is_said(files, kind):
    model = put(files, comparison(), "dag/run")
    keys = env_changes(model, ["cnn", "lstm"])
    model_in_use, note = champion(keys, CNN, **{"synthetic": False, "label_source": "reference"} | kind)
    assert model_in_use is None
    assert "learnt reference from real imagery: another task" in note


def test_a_forecast_learns_ndvi_whatever_the_labels_of_the_classifier(files):
    model = put(files, comparison(), "dag/run")
    keys = env_changes(model, ["cnn", "lstm"])
    assert champion(keys, LSTM, synthetic=False, label_source="next_ndvi") == (model, None)
    model_in_use, note = champion(keys, LSTM, synthetic=True, label_source="reference")
    assert model_in_use is None
    assert "learnt to forecast NDVI from real imagery: another task" in note


def test_a_champion_that_is_gone_is_said(data_dir):
    keys = {"USE_AI_MODELS": "true", "AI_CNN_MODEL_PATH": "elsewhere/cnn_model.safetensors"}
    model_in_use, note = champion(keys, CNN, synthetic=False, label_source="reference")
    assert model_in_use is None
    assert "cannot be compared: there is no model version 'elsewhere'" in note


# pruning


def test_the_newest_stay_and_older_ones_that_nobody_names_go(files):
    made = [make(files, number).version for number in range(KEPT_VERSIONS + 3)]
    assert store.prune() == made[:3]
    assert versions() == made[3:]


def test_what_a_killed_process_left_goes_with_time(files):
    make(files, 0)
    leftover = store.store_dir() / ".manifest.abc"
    leftover.mkdir()
    store.prune()
    assert leftover.exists(), "another process may be writing it"
    past = time.time() - KEPT_SECONDS - 60
    os.utime(leftover, (past, past))
    store.prune()
    assert [path.name for path in store.store_dir().iterdir()] == versions()


def test_what_is_young_stays(files):
    made = [make(files, number, old=False).version for number in range(KEPT_VERSIONS + 3)]
    assert store.prune() == []
    assert versions() == made


def test_what_an_env_file_names_or_could_be_rolled_back_to_stays(files, env):
    made = [make(files, number) for number in range(KEPT_VERSIONS + 4)]
    store.remember(env)
    env.update(env_changes(made[0], ["cnn", "lstm"]), WHY)
    env.update(env_changes(made[1], ["cnn", "lstm"]), WHY)
    env.path.write_text(env.path.read_text().replace(made[1].version, made[2].version))  # by hand
    assert store.prune() == [made[3].version]
    env.rollback(env.history()[0].id, WHY)
    assert find(env.read()["AI_MODEL_VERSION"]) == made[0]


def test_env_files_of_other_deployments_on_the_same_store_count_too(files, env, tmp_path):
    made = [make(files, number) for number in range(KEPT_VERSIONS + 2)]
    other = EnvFile(tmp_path / "demo" / ".env")
    for env_file, model in ((env, made[0]), (other, made[1])):
        store.remember(env_file)
        env_file.update(env_changes(model, ["cnn", "lstm"]), WHY)
    assert store.prune() == []


def test_nothing_is_removed_while_an_env_file_is_out_of_reach(files, env):
    made = [make(files, number) for number in range(KEPT_VERSIONS + 2)]
    store.remember(env)
    env.update(env_changes(made[0], ["cnn", "lstm"]), WHY)
    env.path.rename(env.path.with_name("elsewhere"))
    with pytest.raises(
        SetupError, match=r"\.env: named versions of .* and does not exist; if it was removed for good, delete"
    ):
        store.prune()
    assert len(versions()) == KEPT_VERSIONS + 2
