"""Each gate holds one figure against one bound; a promotion needs all that the kind of label asks for."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.satellite.evaluation.gates import cnn_gates, decide, lstm_gates, next_gates, synthetic_gate
from include.satellite.schemas import (
    CnnComparison,
    CnnScore,
    Decision,
    Difference,
    Gate,
    LstmComparison,
    LstmScore,
    NextComparison,
)

DATES = [date(2026, 6, 1), date(2026, 7, 1)]


def difference(against, metric, value, low=None, high=None):
    return Difference(against=against, metric=metric, difference=value, low=low, high=high)


def cnn(*differences, accuracy=0.9):
    return CnnComparison(
        samples=100, blocks=4, dates=DATES, classes=["Healthy", "Stressed"], left_out=[], accuracy_improvement=1.0,
        models={"real": CnnScore(accuracy=accuracy, balanced_accuracy=0.8, recall={"Healthy": 0.8, "Stressed": 0.8})},
        differences=list(differences),
    )  # fmt: skip


def lstm(*differences, accuracy=0.95):
    return LstmComparison(
        samples=100, blocks=4, spells=2, dates=DATES, mae_improvement=1.0,
        models={"real": LstmScore(mae=2 - 2 * accuracy, rmse=0.2, accuracy=accuracy)}, differences=list(differences),
    )  # fmt: skip


def by_name(gates):
    return {gate.name: gate for gate in gates}


ALL_CNN = (
    difference("synthetic", "accuracy", 0.2, 0.1, 0.3),
    difference("synthetic", "balanced_accuracy", -0.2, -0.3, -0.1),
    difference("champion", "accuracy", -0.2, -0.3, -0.1),
    difference("champion", "balanced_accuracy", 0.0, -0.1, 0.1),
    difference("majority", "balanced_accuracy", 0.3, 0.2, 0.4),
    difference("logistic_regression", "balanced_accuracy", 0.02, -0.01, 0.05),
    difference("ndvi_rule", "balanced_accuracy", 0.1, 0.01, 0.2),
)


def test_a_label_that_is_no_formula_asks_for_every_naive_classifier():
    gates = by_name(cnn_gates(cnn(*ALL_CNN), 0.85, "reference"))
    assert {name: gate.passed for name, gate in gates.items()} == {
        "cnn_minimum": True,
        "cnn_synthetic": True,
        "cnn_champion": True,
        "cnn_majority": True,
        "cnn_logistic_regression": False,
        "cnn_ndvi_rule": True,
    }
    assert gates["cnn_logistic_regression"].sentence == (
        "CNN balanced accuracy against logistic regression +0.020 (95 % interval -0.010 to +0.050): "
        "better, but not by a margin that its interval supports."
    )


def test_the_class_of_the_next_date_is_the_series_models_and_no_gate_promotes_the_cnn():
    gates = by_name(cnn_gates(cnn(*ALL_CNN, accuracy=0.8), 0.85, "next_ndvi"))
    assert {name for name, gate in gates.items() if gate.required} == {"cnn_labels"}
    assert not gates["cnn_labels"].passed
    assert gates["cnn_majority"].passed
    assert gates["cnn_minimum"].sentence.startswith("CNN accuracy 0.800 is below the minimum of 0.85 (reported only")
    assert decide(gates.values()).promoted == []


def test_the_class_of_the_next_date_must_beat_persistence_climatology_and_the_majority():
    rivals = ("synthetic", "persistence", "anomaly_persistence", "climatology", "majority", "gradient_boosting")
    both = [
        difference(rival, metric, 0.1, 0.05, 0.2) for rival in rivals for metric in ("accuracy", "balanced_accuracy")
    ]
    comparison = NextComparison(**cnn(*both).fields_of(NextComparison))
    gates = by_name(next_gates(comparison))
    assert set(gates) == {f"next_{rival}" for rival in rivals}
    assert {name for name, gate in gates.items() if gate.required} == {
        "next_persistence", "next_climatology", "next_majority",
    }  # fmt: skip
    assert gates["next_persistence"].sentence == (
        "Class of the next date by the LSTM, balanced accuracy against persistence +0.100 (95 % interval +0.050 to "
        "+0.200): better."
    )


def test_the_gates_of_the_next_date_are_the_lstms():
    gates = [gate("synthetic"), gate("cnn_a"), gate("lstm_a"), gate("next_a", passed=False)]
    assert decide(gates).promoted == ["cnn"]
    assert decide([*gates[:3], gate("next_a")]).promoted == ["cnn", "lstm"]


def test_the_rule_as_label_asks_for_no_naive_classifier():
    assert set(by_name(cnn_gates(cnn(*ALL_CNN), 0.85, "ndvi_rule"))) == {"cnn_minimum", "cnn_synthetic", "cnn_champion"}


@pytest.mark.parametrize("labels", ["ndvi_rule", "reference"])
def test_the_documented_minimum_is_required(labels):
    gate = by_name(cnn_gates(cnn(accuracy=0.8), 0.85, labels))["cnn_minimum"]
    assert (gate.passed, gate.required, gate.value, gate.bound) == (False, True, 0.8, 0.85)
    assert gate.sentence.startswith("CNN accuracy 0.800 is below the minimum of 0.85")
    beaten = by_name(cnn_gates(cnn(*ALL_CNN), 0.85, labels))["cnn_synthetic"]
    assert not decide([gate, beaten]).promote


def test_a_minimum_is_reached_by_equality():
    assert by_name(cnn_gates(cnn(accuracy=0.85), 0.85, "reference"))["cnn_minimum"].passed
    assert by_name(lstm_gates(lstm(accuracy=0.8), 0.8))["lstm_minimum"].passed


@pytest.mark.parametrize(
    ("value", "low", "high", "passed"),
    [
        (0.1, 0.01, 0.2, True),
        (0.1, 0.0, 0.2, False),
        (0.1, -0.01, 0.2, False),
        (-0.1, -0.2, -0.01, False),
        (0.1, None, None, False),
    ],
)
def test_better_means_by_a_margin_that_the_interval_supports(value, low, high, passed):
    assert (
        by_name(lstm_gates(lstm(difference("persistence", "mae", value, low, high)), 0.8))["lstm_persistence"].passed
        is passed
    )


def test_the_forecast_is_held_against_every_naive_one():
    rivals = ("synthetic", "persistence", "anomaly_persistence", "climatology", "training_mean")
    gates = by_name(lstm_gates(lstm(*(difference(rival, "mae", 0.1, 0.05, 0.2) for rival in rivals)), 0.8))
    assert set(gates) == {"lstm_minimum", *(f"lstm_{rival}" for rival in rivals)}
    assert all(gate.passed for gate in gates.values())
    assert [name for name, gate in gates.items() if not gate.required] == ["lstm_anomaly_persistence"]


@pytest.mark.parametrize("against", ["persistence", "champion"])
def test_without_an_interval_nothing_is_judged(against):
    gate = by_name(lstm_gates(lstm(difference(against, "mae", 0.1)), 0.8))[f"lstm_{against}"]
    assert not gate.passed
    assert "(no interval: 4 blocks, 2 spells of 30 days): cannot be judged with fewer than 3 blocks" in gate.sentence


@pytest.mark.parametrize(("value", "passed"), [(0.1, True), (0.0, True), (-0.001, False)])
def test_not_worse_than_the_champion_is_what_was_measured(value, passed):
    gate = by_name(lstm_gates(lstm(difference("champion", "mae", value, -0.2, 0.2)), 0.8))["lstm_champion"]
    assert gate.passed is passed
    assert ("not worse" in gate.sentence) is passed


@pytest.mark.parametrize(
    ("synthetic", "allowed", "passed"),
    [(False, False, True), (False, True, True), (True, True, True), (True, False, False)],
)
def test_simulated_imagery_needs_permission(synthetic, allowed, passed):
    gate = synthetic_gate(synthetic, allowed)
    assert gate.passed is passed
    assert ("simulated" in gate.sentence) is synthetic


GATES = st.builds(
    Gate, name=st.sampled_from(["synthetic", "cnn_a", "cnn_b", "lstm_a", "lstm_b"]), passed=st.booleans(),
    required=st.booleans(), value=st.none(), bound=st.none(), sentence=st.text(max_size=5),
)  # fmt: skip


def gate(name, passed=True, required=True):
    return Gate(name=name, passed=passed, required=required, value=None, bound=None, sentence=f"{name}: {passed}.")


def test_every_required_gate_that_passes_promotes_and_is_a_reason():
    gates = [gate("synthetic"), gate("cnn_minimum", passed=False, required=False), gate("cnn_majority")]
    decision = decide(gates)
    assert (decision.promote, decision.promoted) == (True, ["cnn"])
    assert decision.reasons == ["synthetic: True.", "cnn_majority: True."]


def test_each_model_has_gates_of_its_own():
    gates = [gate("synthetic"), gate("cnn_majority", passed=False), gate("lstm_persistence")]
    decision = decide(gates)
    assert decision.promoted == decision.models == ["lstm"]
    assert decision.reasons == ["synthetic: True.", "lstm_persistence: True."]
    assert decide([gate("synthetic"), gate("cnn_majority"), gate("lstm_persistence")]).promoted == ["cnn", "lstm"]


def test_a_shared_gate_that_fails_refuses_both():
    decision = decide([gate("synthetic", passed=False), gate("cnn_majority"), gate("lstm_persistence")])
    assert (decision.promote, decision.promoted, decision.reasons) == (False, [], ["synthetic: False."])


def test_a_decision_of_v0_1_0_promoted_both_or_neither():
    assert Decision(promote=True, reasons=[], gates=[]).models == ["cnn", "lstm"]
    assert Decision(promote=False, reasons=[], gates=[]).models == []


def test_nothing_is_promoted_without_a_required_gate():
    with pytest.raises(ValueError, match="at least one required gate"):
        decide([])
    assert not decide([gate("synthetic")]).promote


@given(st.lists(GATES, max_size=8).filter(lambda gates: any(gate.required for gate in gates)))
def test_one_required_gate_that_fails_is_enough_to_refuse_and_is_named(gates):
    decision = decide(gates)
    failed = [gate for gate in gates if gate.required and not gate.passed]
    for model in ("cnn", "lstm"):
        own = [gate for gate in failed if gate.name.startswith(f"{model}_") or gate.name == "synthetic"]
        assert not (own and model in decision.promoted)
    if not decision.promote:
        assert decision.reasons == [gate.sentence for gate in failed]
