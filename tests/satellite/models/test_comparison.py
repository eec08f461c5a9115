"""All models are held against the same samples, and the decision follows from what was measured."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from include.env_file import EnvFile, Reason
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.schemas import CLASSES
from include.satellite.models import model_store
from include.satellite.models.comparison import compare, compare_summary, read_comparison
from include.satellite.models.documents import CnnMetrics, LstmMetrics, ModelCard
from include.satellite.models.results import Comparison
from include.satellite.models.scoring import gate_rows, score_classes, score_forecasts
from tests.satellite.models.trained_run import PARAMS, baseline, compared, env_file, files, spoilt, trained

__all__ = ["baseline", "compared", "env_file", "files", "trained"]
WHY = Reason(by="tester", why="a test")


def patches(label, date, block, gate=CLASSES):
    info = SimpleNamespace(classes=list(CLASSES), gate_classes=list(gate), dates=[f"2026-0{n}-01" for n in range(1, 7)])
    label = np.asarray(label)
    return SimpleNamespace(
        label=label, date=np.asarray(date), block=np.asarray(block), info=info, rows=lambda split: np.arange(len(label))
    )


def differences(comparison):
    return {(each.against, each.metric): each for each in comparison.differences}


# scores


def test_scores_are_what_a_person_would_count():
    dataset = patches([0, 0, 0, 1], [0, 0, 1, 1], [5, 5, 6, 6])
    scored = score_classes(
        dataset, np.arange(4), {"real": [0, 0, 1, 1], "synthetic": [0, 1, 1, 1], "majority": [0, 0, 0, 0]}, 0
    )
    assert {name: (each.accuracy, round(each.balanced_accuracy, 4)) for name, each in scored.models.items()} == {
        "real": (0.75, 0.8333),
        "synthetic": (0.5, 0.6667),
        "majority": (0.75, 0.5),
    }
    assert scored.accuracy_improvement == pytest.approx(50)
    assert scored.models["synthetic"].recall == {"Healthy": pytest.approx(1 / 3), "Moderate": 1.0}
    assert (scored.samples, scored.blocks, len(scored.dates)) == (4, 2, 2)
    found = differences(scored)
    assert found["synthetic", "accuracy"].difference == 0.25
    assert found["majority", "balanced_accuracy"].difference == pytest.approx(1 / 3)
    assert set(found) == {(rival, m) for rival in ("synthetic", "majority") for m in ("accuracy", "balanced_accuracy")}


def test_the_interval_is_that_of_the_paired_difference():
    draw = np.random.default_rng(0)
    block, date = (each.ravel() for each in np.indices((8, 6)).repeat(30, axis=1))
    label = draw.integers(0, 2, len(block))
    hard = draw.random((8, 6))[block, date] < 0.5  # whole cells are hard: each model fails there, alike
    real = np.where(hard, 1 - label, label)
    rival = np.where(draw.random(len(label)) < 0.05, 1 - real, real)
    found = differences(
        score_classes(patches(label, date, block), np.arange(len(label)), {"real": real, "x": rival}, 0)
    )
    each = found["x", "accuracy"]
    assert each.low <= each.difference <= each.high
    assert each.high - each.low < 0.08, "the cells that both fail on are no difference between them"


def test_a_model_against_itself_differs_by_nothing():
    dataset = patches([0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1])
    found = differences(score_classes(dataset, np.arange(4), {"real": [0, 1, 1, 1], "champion": [0, 1, 1, 1]}, 0))
    assert {(each.difference, each.low, each.high) for each in found.values()} == {(0, 0, 0)}


def test_classes_with_too_few_training_samples_do_not_count():
    dataset = patches([0, 1, 2, 3], [0] * 4, [0] * 4, gate=("Healthy", "Critical"))
    assert gate_rows(dataset).tolist() == [0, 3]
    scored = score_classes(dataset, gate_rows(dataset), {"real": [0, 3], "synthetic": [0, 0]}, 0)
    assert scored.classes == ["Healthy", "Critical"]
    assert scored.left_out == ["Moderate", "Stressed"]
    assert len(gate_rows(patches([1, 2], [0] * 2, [0] * 2, gate=("Healthy",)))) == 2, "nothing would be left"


def test_forecasts_are_compared_by_the_error_that_is_avoided():
    dataset = SimpleNamespace(
        y=np.array([0.5, 0.5, 0.7, 0.7], np.float32), target=np.array([0, 1, 0, 1]), block=np.array([0, 0, 1, 1]),
        info=SimpleNamespace(dates=["2026-01-01", "2026-02-01"]),
    )  # fmt: skip
    forecasts = {"real": [0.6, 0.6, 0.6, 0.6], "synthetic": [0.3, 0.3, 0.9, 0.9], "persistence": [0.5, 0.5, 0.7, 0.7]}
    scored = score_forecasts(dataset, np.arange(4), forecasts, 0)
    assert scored.models["real"].mae == pytest.approx(0.1, abs=1e-6)
    assert scored.models["real"].accuracy == pytest.approx(0.95, abs=1e-6)
    assert scored.mae_improvement == pytest.approx(50, abs=1e-3)
    found = differences(scored)
    assert found["synthetic", "mae"].difference == pytest.approx(0.1, abs=1e-6)
    assert found["persistence", "mae"].difference == pytest.approx(-0.1, abs=1e-6)
    assert found["persistence", "mae"].high < 0


def test_nothing_is_said_of_an_improvement_over_nothing():
    dataset = patches([0, 0], [0, 1], [0, 1])
    assert score_classes(dataset, np.arange(2), {"real": [0, 0], "synthetic": [1, 1]}, 0).accuracy_improvement is None


# the step


def test_the_comparison_agrees_with_what_training_measured(compared):
    folder = compared(drawn=True)
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
    assert document["resamples"] >= 2000
    assert document["baseline"] == {"world": "simple"}
    assert (folder / "plot_comparison.png").read_bytes()[:4] == b"\x89PNG"


def test_models_that_pass_every_gate_are_to_be_promoted(compared):
    decision = read_comparison(compared()).decision
    assert decision.promote
    assert {gate.name for gate in decision.gates} == {
        "synthetic", "cnn_minimum", "cnn_synthetic", "cnn_majority", "cnn_logistic_regression", "cnn_ndvi_rule",
        "lstm_minimum", "lstm_synthetic", "lstm_persistence", "lstm_climatology", "lstm_training_mean",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "gate"),
    [
        ({"allow_synthetic": False}, "synthetic"),
        ({"min_cnn_accuracy": 0.999}, "cnn_minimum"),
        ({"min_lstm_accuracy": 0.9999}, "lstm_minimum"),
    ],
)
def test_one_gate_that_is_missed_refuses_and_is_the_reason(compared, params, gate):
    decision = read_comparison(compared(**params)).decision
    assert not decision.promote
    (missed,) = [each for each in decision.gates if not each.passed]
    assert missed.name == gate
    assert decision.reasons == [missed.sentence]


def test_a_baseline_as_good_as_the_model_refuses(compared, baseline, files):
    from include.satellite.models.predict import load_bundle

    baseline.cnn = load_bundle(files / "cnn_model.safetensors", files / "cnn_model.json")
    decision = read_comparison(compared()).decision
    assert [gate.name for gate in decision.gates if not gate.passed] == ["cnn_synthetic"]
    assert "not better" in decision.reasons[0]


def test_the_same_data_gives_the_same_figures(compared):
    first = read_comparison(compared()).model_dump(exclude={"decided_at"})
    assert read_comparison(compared()).model_dump(exclude={"decided_at"}) == first


def test_few_blocks_or_dates_are_said(compared):
    notes = read_comparison(compared()).notes
    assert "CNN: 1 held-out block: the intervals tell little of how blocks differ." in notes
    assert not [note for note in notes if "date" in note]


def test_the_summary_is_what_reports_read(compared):
    found = compare_summary(compared(allow_synthetic=False))
    assert found["promote"] is False
    assert set(found["statistics"]["model_comparison"]) == {
        "cnn_accuracy_improvement_percent",
        "lstm_mae_improvement_percent",
    }
    assert found["cnn_accuracy_improvement_percent"] > 0
    assert any("Not promoted: The imagery is simulated" in each["message"] for each in found["findings"])
    assert [table["title"].split()[0] for table in found["tables"]] == ["Classifiers", "Forecasts", "Gates"]
    json.dumps(found, allow_nan=False)


# the champion


@pytest.fixture
def promoted(compared, env_file):
    """The run's own models as champion."""
    folder = compared()
    model = model_store.put(folder, read_comparison(folder), "dag/run")
    EnvFile(env_file).update(model_store.switch(model), WHY)
    return model


def test_the_champion_is_the_model_that_the_env_file_names(compared, promoted):
    comparison = read_comparison(compared())
    assert comparison.champion == promoted.version
    assert comparison.cnn_comparison.models["champion"] == comparison.cnn_comparison.models["real"]
    gates = {gate.name: gate for gate in comparison.decision.gates}
    assert gates["cnn_champion"].passed
    assert gates["lstm_champion"].passed
    assert comparison.env_file == {"USE_AI_MODELS": "true", "AI_MODEL_VERSION": promoted.version}


def test_a_model_worse_than_the_champion_is_refused(compared, promoted, files):
    from safetensors.torch import save_file

    from include.core.artifacts import sha256
    from include.satellite.models.predict import load_bundle

    worse = spoilt(load_bundle(files / "lstm_model.safetensors", files / "lstm_model.json"), seed=3)
    save_file({name: value.contiguous() for name, value in worse.weights.items()}, files / "lstm_model.safetensors")
    card = worse.card.model_copy(update={"weights_sha256": sha256(files / "lstm_model.safetensors")})
    (files / "lstm_model.json").write_text(card.model_dump_json())
    decision = read_comparison(compared()).decision
    assert not decision.promote
    assert any("LSTM MAE against the champion" in reason and "worse" in reason for reason in decision.reasons)


def test_a_champion_that_is_switched_off_is_none(compared, promoted, env_file):
    EnvFile(env_file).update({"USE_AI_MODELS": "false"}, WHY)
    comparison = read_comparison(compared())
    assert comparison.champion is None
    assert "champion" not in comparison.cnn_comparison.models


def test_a_champion_of_another_kind_is_not_compared_and_that_is_said(compared, promoted):
    path = promoted.path("model.json")
    path.write_text(promoted.model_copy(update={"label_source": "next_ndvi"}).model_dump_json())
    comparison = read_comparison(compared())
    assert comparison.champion is None
    assert "learnt next_ndvi from simulated imagery: another task, so it is not compared" in comparison.notes[0]


def test_a_damaged_champion_is_not_compared_and_that_is_said(compared, promoted):
    promoted.path("cnn_model.safetensors").write_bytes(b"nonsense")
    comparison = read_comparison(compared())
    assert comparison.champion is None
    assert "cannot be compared" in comparison.notes[0]
    assert comparison.decision.promote


def test_a_champion_that_takes_other_data_is_not_compared_and_that_is_said(compared, promoted, files):
    card = ModelCard.model_validate_json((files / "lstm_model.json").read_bytes())
    (files / "lstm_model.json").write_text(card.model_copy(update={"location_size": 99}).model_dump_json())
    comparison = read_comparison(compared())
    assert comparison.champion is None
    assert "takes other data (lstm: inputs, size or resolution)" in comparison.notes[0]


def test_a_champion_that_may_know_what_is_held_out_is_pointed_out(compared, promoted, files):
    card = ModelCard.model_validate_json((files / "cnn_model.json").read_bytes())
    (files / "cnn_model.json").write_text(card.model_copy(update={"seed": 99}).model_dump_json())
    comparison = read_comparison(compared())
    assert comparison.champion == promoted.version
    assert "may have learnt from what is held out here, which favours it" in comparison.notes[0]


def test_the_picture_shows_every_model(compared, promoted, tmp_path):
    from matplotlib.figure import Figure

    from include.satellite.models import comparison_plot

    seen = []
    comparison = read_comparison(compared())
    real = Figure.savefig

    def look(figure, *arguments, **options):
        seen.extend(label.get_text() for axes in figure.axes for label in axes.get_yticklabels())
        real(figure, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", look)
        comparison_plot.plot_comparison(tmp_path / "plot.png", comparison)
    assert {"this run's model", "synthetic baseline", "champion", "logistic regression", "NDVI rule"} <= set(seen)


def test_a_document_with_an_unknown_field_is_refused(compared):
    document = json.loads((compared() / "comparison.json").read_bytes())
    with pytest.raises(ValueError, match="unknown"):
        Comparison.model_validate(document | {"unknown": 1})


def test_a_missing_model_is_named(files, baseline):
    shutil.move(files / "cnn_model.json", files / "gone.json")
    with pytest.raises(Exception, match=r"cnn_model\.json: must be a model card"):
        compare(files, PARAMS)


def test_the_gates_classes_come_from_the_dataset(files):
    dataset = load_patches(files)
    assert len(gate_rows(dataset)) == len(dataset.rows("validation"))
