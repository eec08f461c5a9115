"""What people see of the models, after a real promotion and without one."""

from pathlib import Path

import pytest

from include.core.errors import BadInputError
from include.env_file import EnvFile, Reason
from include.satellite.artifacts import CNN, LSTM
from include.satellite.params import ConfigureParams
from include.satellite.registry import overview, store, tracking
from include.satellite.registry.promotion import configure

WHY = Reason(by="tester", why="a test")


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    """MLflow has tests of its own."""
    monkeypatch.setattr(tracking, "register", lambda name, folder, model: f"{folder}/{model.kind}")
    monkeypatch.setattr(tracking, "set_alias", lambda name, alias, version: None)


@pytest.fixture
def promoted(compared):
    """The folder of a run whose models are in use."""
    folder = compared()
    configure(folder, ConfigureParams())
    return folder.parent


def test_the_champion_is_what_the_env_file_names_with_both_cards(promoted, env_file):
    found = overview.champion(EnvFile(env_file))
    assert found.on
    assert found.problem is None
    assert found.version.model.version == found.name
    assert (found.version.cnn.kind, found.version.lstm.kind) == ("cnn", "lstm")


def test_without_a_promotion_there_is_no_champion_and_no_version(env_file, data_dir):
    assert overview.champion(EnvFile(env_file)) == overview.Champion(False, None, None, None)
    assert overview.versions() == []


def test_a_champion_that_is_not_stored_or_damaged_is_told(promoted, env_file):
    weights = CNN.weights.at(overview.champion(EnvFile(env_file)).version.model.folder)
    weights.write_bytes(b"bit rot")
    assert "is damaged" in overview.champion(EnvFile(env_file)).problem
    EnvFile(env_file).update({store.VERSION: "20260101T000000Z-00000000"}, WHY)
    assert "is not in the model store" in overview.champion(EnvFile(env_file)).problem


def test_versions_come_latest_first_and_a_damaged_card_hides_no_version(promoted):
    (only,) = overview.versions()
    LSTM.card.at(only.model.folder).write_text("{")
    (only,) = overview.versions()
    assert only.lstm is None
    assert only.cnn is not None
    (store.store_dir() / only.model.version / store.MANIFEST).write_text("{")
    assert overview.versions() == []


def test_the_candidate_is_of_the_first_run_that_compared(promoted, tmp_path):
    (tmp_path / "broken" / "files").mkdir(parents=True)
    (tmp_path / "broken" / "files" / "comparison.json").write_text("{")
    found = overview.latest_candidate([tmp_path / "nothing", tmp_path / "broken", promoted])
    assert found.run == promoted.name
    assert found.configuration.promoted
    assert overview.latest_candidate([tmp_path / "nothing"]) is None


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("AI_MODEL_VERSION", "v7", "v7"),
        ("AI_MODEL_VERSION", None, "(not set)"),
        ("AI_CNN_MODEL_PATH", "/srv/data/models/store/v7/cnn_model.safetensors", "…/v7/cnn_model.safetensors"),
        ("PASSWORD", "hunter2", "(not shown)"),
        ("PASSWORD", None, "(not shown)"),
    ],
)
def test_only_models_keys_are_shown_and_never_where_files_lie(key, value, shown):
    assert overview.shown(key, value) == shown


def history_of(path: Path, *changes: dict[str, str]):
    env_file = EnvFile(path)
    for change in changes:
        env_file.update(change, WHY)
    return env_file.history()


def test_going_back_sets_what_a_rollback_would_set(tmp_path):
    history = history_of(
        tmp_path / ".env", {"AI_MODEL_VERSION": "1"}, {"AI_MODEL_VERSION": "2"}, {"USE_AI_MODELS": "x"}
    )
    env_file = EnvFile(tmp_path / ".env")
    for target in (None, *(entry.id for entry in history)):
        assert overview.rollback_target(history, target) == env_file.changes_back(target)


def test_going_back_over_a_change_of_other_keys_is_refused_by_their_name(tmp_path):
    history = history_of(tmp_path / ".env", {"AI_MODEL_VERSION": "1"}, {"PASSWORD": "new"}, {"AI_MODEL_VERSION": "2"})
    assert overview.rollback_target(history, None) == {"AI_MODEL_VERSION": "1"}
    with pytest.raises(BadInputError, match="would also change PASSWORD, which is not a key of models"):
        overview.rollback_target(history, history[0].id)


@pytest.mark.parametrize("target", [None, "20260101T000000Z-0000"])
def test_there_is_nothing_to_go_back_to(target):
    with pytest.raises(BadInputError, match="has no such entry"):
        overview.rollback_target([], target)


def test_the_page_offers_the_states_whose_rollback_changes_models_keys_alone(tmp_path):
    history = history_of(tmp_path / ".env", {"AI_MODEL_VERSION": "1"}, {"PASSWORD": "new"}, {"AI_MODEL_VERSION": "2"})
    assert overview.rollback_targets(history) == ["", history[1].id]
    assert overview.rollback_targets([]) == []


def test_the_page_shows_champion_candidate_versions_and_history(promoted, env_file):
    page = overview.models_page(EnvFile(env_file), [promoted])
    assert (page["env_file"], page["problem"]) == (".env", None)
    assert page["champion"] == overview.champion(EnvFile(env_file))
    assert page["candidate"] == overview.latest_candidate([promoted])
    assert page["versions"] == overview.versions()
    assert page["history"] == EnvFile(env_file).history()


def test_an_env_file_that_cannot_be_read_is_reported_and_the_rest_is_shown(promoted, env_file):
    env_file.unlink()
    env_file.mkdir()
    page = overview.models_page(EnvFile(env_file), [promoted])
    assert page["problem"].startswith("The env file or its history cannot be read.")
    assert page["champion"] is None
    assert page["candidate"].run == promoted.name
    assert len(page["versions"]) == 1
