"""All models are scored on the same samples, and the decision follows from the metrics."""

import json
import shutil
from datetime import date, timedelta

import pytest

from include.env_file import EnvFile, Reason
from include.satellite.artifacts import COMPARISON, LSTM
from include.satellite.evaluation.comparison import compare, compare_outcome, plot_comparison
from include.satellite.registry import store
from include.satellite.schemas import Comparison
from include.satellite.training.networks import load_bundle
from include.satellite.training.schemas import CnnMetrics, LstmMetrics, ModelCard
from tests.satellite.trained_run import BASELINE, PARAMS, randomised

WHY = Reason(by="tester", why="a test")


# the step


def test_the_comparison_agrees_with_what_training_measured(compared):
    folder = compared(plotted=True)
    document = json.loads((folder / "comparison.json").read_bytes())
    cnn = CnnMetrics.model_validate_json((folder / "cnn_metrics.json").read_bytes())
    lstm = LstmMetrics.model_validate_json((folder / "lstm_metrics.json").read_bytes())
    models = document["cnn_comparison"]["models"]
    assert models["real"]["accuracy"] == pytest.approx(cnn.accuracy)
    assert models["real"]["balanced_accuracy"] == pytest.approx(cnn.balanced_accuracy)
    for name, naive in cnn.baselines.items():
        assert models[name]["balanced_accuracy"] == pytest.approx(naive.balanced_accuracy)
    assert document["lstm_comparison"]["models"]["real"]["mae"] == pytest.approx(lstm.mae)
    for name, naive in lstm.baselines.items():
        assert document["lstm_comparison"]["models"][name]["mae"] == pytest.approx(naive.mae)
    real, synthetic = models["real"]["accuracy"], models["synthetic"]["accuracy"]
    assert document["cnn_comparison"]["accuracy_improvement"] == pytest.approx(100 * (real / synthetic - 1))
    assert document["resamples"] == 0
    assert (document["cnn_comparison"]["blocks"], document["cnn_comparison"]["spells"]) == (4, 8)
    assert document["baseline"] == BASELINE.model_dump()
    assert (folder / "plot_comparison.png").read_bytes()[:4] == b"\x89PNG"


def test_models_that_pass_every_gate_are_to_be_promoted(compared_once):
    decision = COMPARISON.read(compared_once()).decision
    assert decision.promote
    assert {gate.name for gate in decision.gates} == {
        "synthetic", "cnn_minimum", "cnn_synthetic", "cnn_majority", "cnn_logistic_regression", "cnn_ndvi_rule",
        "lstm_minimum", "lstm_synthetic", "lstm_persistence", "lstm_climatology", "lstm_training_mean", "lstm_ridge",
        "lstm_gradient_boosting",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "gate"),
    [
        ({"allow_synthetic": False}, "synthetic"),
        ({"min_cnn_accuracy": 0.999}, "cnn_minimum"),
        ({"min_lstm_accuracy": 0.9999}, "lstm_minimum"),
    ],
)
def test_one_gate_that_is_missed_refuses_its_model(compared, params, gate):
    decision = COMPARISON.read(compared(**params)).decision
    (missed,) = [gate for gate in decision.gates if gate.required and not gate.passed]
    assert missed.name == gate
    models = [model for model in ("cnn", "lstm") if gate.startswith(model) or gate == "synthetic"]
    assert decision.promoted == [model for model in ("cnn", "lstm") if model not in models]
    assert decision.promote is bool(decision.promoted)
    if not decision.promote:
        assert decision.reasons == [missed.sentence]


def test_a_baseline_as_good_as_the_model_refuses(compared, baseline, trained_run):
    baseline.change = lambda bundle: bundle if bundle.card.kind == "cnn" else randomised(bundle)
    decision = COMPARISON.read(compared()).decision
    assert [gate.name for gate in decision.gates if gate.required and not gate.passed] == ["cnn_synthetic"]
    assert decision.promoted == ["lstm"]


def test_the_same_data_gives_the_same_figures(compared):
    first = COMPARISON.read(compared()).model_dump(exclude={"decided_at"})
    assert COMPARISON.read(compared()).model_dump(exclude={"decided_at"}) == first


def test_how_many_independent_samples_the_held_out_ones_count_as_is_stated(compared_once):
    notes = COMPARISON.read(compared_once()).notes
    assert [note.partition(" samples in 4 held-out blocks and ")[0] for note in notes] == ["CNN: 128", "LSTM: 70"]
    assert all(note.endswith(" independent ones.") for note in notes)


def test_too_few_spells_cannot_be_judged_and_nothing_is_promoted(compared, trained_run):
    for name in ("cnn_dataset.json", "lstm_dataset.json"):
        info = json.loads((trained_run / name).read_bytes())
        info["dates"] = [str(date(2026, 1, 1) + timedelta(days=7 * number)) for number in range(len(info["dates"]))]
        (trained_run / name).write_text(json.dumps(info))
    comparison = COMPARISON.read(compared())
    assert comparison.decision.promoted == []
    assert comparison.notes[0].startswith("CNN: cannot be judged on 4 held-out blocks and 2 spells of 30 days")
    gates = [gate for gate in comparison.decision.gates if gate.name == "lstm_persistence"]
    assert "cannot be judged" in gates[0].sentence


def test_the_summary_is_what_reports_read(compared):
    outcome = compare_outcome(compared(allow_synthetic=False)).model_dump(mode="json")
    assert outcome["promote"] is False
    assert set(outcome["statistics"]["model_comparison"]) == {
        "cnn_accuracy_improvement_percent",
        "lstm_mae_improvement_percent",
    }
    assert outcome["cnn_accuracy_improvement_percent"] > 0
    refusals = [finding["message"] for finding in outcome["findings"] if finding["message"].startswith("Not promoted")]
    assert any(message.startswith("Not promoted, gate synthetic: The imagery is simulated") for message in refusals)
    assert [table["title"].split()[0] for table in outcome["tables"]] == ["Classifiers", "Forecasts", "Gates"]
    json.dumps(outcome, allow_nan=False)


# the champion


@pytest.fixture
def promoted(compared_once, env_file):
    """The run's own models as champion."""
    folder = compared_once()
    model = store.put(folder, COMPARISON.read(folder), "dag/run")
    EnvFile(env_file).update(store.env_changes(model, ["cnn", "lstm"]), WHY)
    return model


def test_the_champion_is_the_model_that_the_env_file_names(compared, promoted):
    comparison = COMPARISON.read(compared())
    assert comparison.champion == promoted.version
    assert comparison.cnn_comparison.models["champion"] == comparison.cnn_comparison.models["real"]
    gates = {gate.name: gate for gate in comparison.decision.gates}
    assert gates["cnn_champion"].passed
    assert gates["lstm_champion"].passed
    assert comparison.champions == {"cnn": promoted.version, "lstm": promoted.version}
    assert comparison.env_file == store.env_changes(promoted, ["cnn", "lstm"])


def test_a_model_worse_than_the_champion_is_refused(compared, promoted, trained_run):
    from safetensors.torch import save_file

    from include.core.artifacts import sha256

    worse = randomised(load_bundle(trained_run, LSTM), seed=3)
    save_file(
        {name: value.contiguous() for name, value in worse.weights.items()}, trained_run / "lstm_model.safetensors"
    )
    card = worse.card.model_copy(update={"weights_sha256": sha256(trained_run / "lstm_model.safetensors")})
    (trained_run / "lstm_model.json").write_text(card.model_dump_json())
    decision = COMPARISON.read(compared()).decision
    assert decision.promoted == ["cnn"]
    (gate,) = [gate for gate in decision.gates if gate.name == "lstm_champion"]
    assert not gate.passed
    assert "LSTM MAE against the champion" in gate.sentence


def test_a_disabled_champion_is_not_compared(compared, promoted, env_file):
    EnvFile(env_file).update({"USE_AI_MODELS": "false"}, WHY)
    comparison = COMPARISON.read(compared())
    assert comparison.champion is None
    assert "champion" not in comparison.cnn_comparison.models


def test_a_champion_of_another_kind_is_not_compared_and_a_note_says_so(compared, promoted):
    path = promoted.folder / "model.json"
    path.write_text(promoted.model_copy(update={"label_source": "next_ndvi"}).model_dump_json())
    comparison = COMPARISON.read(compared())
    assert comparison.champions == {"lstm": promoted.version}, "a forecast of NDVI is one, whatever the CNN learnt"
    assert "learnt next_ndvi from simulated imagery: another task, so it is not compared" in comparison.notes[0]


def test_a_damaged_champion_is_not_compared_and_a_note_says_so(compared, promoted):
    (promoted.folder / "cnn_model.safetensors").write_bytes(b"nonsense")
    comparison = COMPARISON.read(compared())
    assert comparison.champion is None
    assert "cannot be compared" in comparison.notes[0]
    assert comparison.decision.promote


def test_a_champion_that_takes_other_data_is_not_compared_and_a_note_says_so(compared, promoted, trained_run):
    card = ModelCard.model_validate_json((trained_run / "lstm_model.json").read_bytes())
    (trained_run / "lstm_model.json").write_text(card.model_copy(update={"location_size": 99}).model_dump_json())
    comparison = COMPARISON.read(compared())
    assert comparison.champions == {"cnn": promoted.version}
    assert "champion" not in comparison.lstm_comparison.models
    assert "takes other data (lstm: inputs, size or resolution)" in comparison.notes[0]


def test_a_champion_that_may_know_what_is_held_out_is_pointed_out(compared, promoted, trained_run):
    card = ModelCard.model_validate_json((trained_run / "cnn_model.json").read_bytes())
    (trained_run / "cnn_model.json").write_text(card.model_copy(update={"seed": 99}).model_dump_json())
    comparison = COMPARISON.read(compared())
    assert comparison.champion == promoted.version
    assert "may have been trained on what is held out here, which favours it" in comparison.notes[0]


def test_the_picture_shows_every_model(compared, promoted, tmp_path):
    from matplotlib.figure import Figure

    seen = []
    comparison = COMPARISON.read(compared())
    real = Figure.savefig

    def look(figure, *arguments, **options):
        seen.extend(label.get_text() for axes in figure.axes for label in axes.get_yticklabels())
        real(figure, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", look)
        plot_comparison(tmp_path / "plot.png", comparison)
    assert {"this run's model", "synthetic baseline", "champion", "logistic regression", "NDVI rule"} <= set(seen)


def test_a_document_with_an_unknown_field_is_refused(compared):
    document = json.loads((compared() / "comparison.json").read_bytes())
    with pytest.raises(ValueError, match="unknown"):
        Comparison.model_validate(document | {"unknown": 1})


def test_a_missing_model_is_named(trained_run, baseline):
    shutil.move(trained_run / "cnn_model.json", trained_run / "gone.json")
    with pytest.raises(Exception, match=r"cnn_model\.json: must exist"):
        compare(trained_run, PARAMS)
