"""What users see of the models, after a real promotion and without one."""

import pytest

from include.env_file import EnvFile, Reason
from include.satellite.artifacts import CNN, LSTM
from include.satellite.registry import overview, store, tracking
from include.satellite.registry.promotion import configure
from tests.satellite.trained_run import CONFIGURE

WHY = Reason(by="tester", why="a test")


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch):
    """MLflow has tests of its own."""
    monkeypatch.setattr(tracking, "register", lambda name, training, alias: "1")


@pytest.fixture
def promoted(compared):
    """The folder of a run whose models are in use."""
    folder = compared()
    configure(folder, CONFIGURE)
    return folder.parent


def test_the_champion_is_what_the_env_file_names_with_both_cards(promoted, env_file):
    champion = overview.champion(EnvFile(env_file))
    assert champion.on
    assert champion.problem is None
    assert champion.version.model.version == champion.name
    assert (champion.version.cnn.kind, champion.version.lstm.kind) == ("cnn", "lstm")


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
    candidate = overview.latest_candidate([tmp_path / "nothing", tmp_path / "broken", promoted])
    assert candidate.run == promoted.name
    assert candidate.configuration.promoted
    assert overview.latest_candidate([tmp_path / "nothing"]) is None


def test_the_page_shows_champion_candidate_and_versions(promoted, env_file):
    page = overview.models_page(EnvFile(env_file), [promoted])
    assert page["problem"] is None
    assert page["champion"] == overview.champion(EnvFile(env_file))
    assert page["candidate"] == overview.latest_candidate([promoted])
    assert page["versions"] == overview.versions()


def test_an_env_file_that_cannot_be_read_is_reported_and_the_rest_is_shown(promoted, env_file):
    env_file.unlink()
    env_file.mkdir()
    page = overview.models_page(EnvFile(env_file), [promoted])
    assert page["problem"].startswith("The env file or its history cannot be read.")
    assert page["champion"] is None
    assert page["candidate"].run == promoted.name
    assert len(page["versions"]) == 1
