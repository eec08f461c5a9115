"""Tries on the same held-out data are kept, counted, and stated; the same models are one try."""

from datetime import timedelta

import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import COMPARISON, LSTM
from include.satellite.registry import tries
from include.satellite.registry.tries import keep_comparison, run_of, this_try, tries_note, tries_on
from tests.satellite.trained_run import PARAMS


@pytest.fixture
def files(compared_once, monkeypatch):
    monkeypatch.setattr(tries, "keep_baseline", lambda *_: None)
    return compared_once()


def retrain(files, seed, apart=0):
    """State other weights and another seed, and held-out dates that lie later."""
    card = LSTM.card.read(files)
    LSTM.card.write(files, card.model_copy(update={"weights_sha256": f"of seed {seed}"}))
    comparison = COMPARISON.read(files)
    dates = [day + timedelta(days=apart) for day in comparison.lstm_comparison.dates]
    lstm = comparison.lstm_comparison.model_copy(update={"dates": dates})
    COMPARISON.write(files, comparison.model_copy(update={"seed": seed, "lstm_comparison": lstm}))


def test_the_first_try_and_a_repeated_attempt_are_one(files):
    keep_comparison(files, PARAMS)
    keep_comparison(files, PARAMS)
    assert tries_on(files) == []
    assert tries_note(files) is None
    assert this_try(files).run == run_of(files) == "satellite_pipeline/manual__1"


def test_other_seeds_on_the_same_dates_are_counted_and_named(files):
    for seed in (0, 1, 2):
        retrain(files, seed)
        keep_comparison(files, PARAMS)
    assert [earlier.seed for earlier in tries_on(files)] == [0, 1]
    assert tries_note(files) == (
        "This is one of 3 comparisons on the same held-out dates (seeds of the others: 0, 1; 2 of them passed gates of "
        "a model): with every further try, chance is likelier to pass a gate."
    )


def test_later_held_out_dates_are_other_data(files):
    keep_comparison(files, PARAMS)
    retrain(files, 1, apart=1000)
    assert tries_on(files) == []


def test_a_damaged_record_is_an_error_that_names_it(files, data_dir):
    keep_comparison(files, PARAMS)
    [record] = (data_dir / "models" / "tries").glob("*.jsonl")
    record.write_text("{}\n")
    with pytest.raises(ContractError, match=r"models/tries/.*\.jsonl: must hold one try a line"):
        tries_note(files)
