"""The gates between a trained model and the env file: each compares one metric with one bound, and states both."""

from __future__ import annotations

from collections.abc import Iterable

from include.satellite.params import LabelSource
from include.satellite.schemas import (
    CHAMPION,
    REAL,
    SYNTHETIC,
    CnnComparison,
    Decision,
    Difference,
    Gate,
    LstmComparison,
)

PROVEN_LABELS: tuple[LabelSource, ...] = ("next_ndvi", "reference")
"""Labels that are not a formula of the input: only for these can a naive classifier be beaten at all."""
_TOLERANCE = 1e-9


def cnn_gates(comparison: CnnComparison, minimum: float, label_source: LabelSource) -> list[Gate]:
    """Return the gates of the classifier.

    Args:
        comparison: What was measured.
        minimum: `min_cnn_accuracy`; for `next_ndvi` it is reported, not required.
        label_source: Labels that it was trained on.
    """
    real = comparison.models[REAL]
    required = label_source != "next_ndvi"
    gates = [_minimum("cnn_minimum", "CNN accuracy", real.accuracy, minimum, required=required)]
    for difference in comparison.differences:
        rival = difference.against
        if difference.metric == "accuracy" and rival == SYNTHETIC:
            gates.append(_better("cnn_synthetic", "CNN accuracy", difference))
        elif difference.metric == "balanced_accuracy" and rival == CHAMPION:
            gates.append(_not_worse("cnn_champion", "CNN balanced accuracy", difference))
        elif difference.metric == "balanced_accuracy" and rival != SYNTHETIC and label_source in PROVEN_LABELS:
            gates.append(_better(f"cnn_{rival}", "CNN balanced accuracy", difference))
    return gates


def lstm_gates(comparison: LstmComparison, minimum: float) -> list[Gate]:
    """Return the gates of the forecast; its target is a measurement, so every naive forecast counts.

    Args:
        comparison: What was measured.
        minimum: `min_lstm_accuracy`.
    """
    gates = [_minimum("lstm_minimum", "LSTM accuracy (1 − MAE/2)", comparison.models[REAL].accuracy, minimum)]
    for difference in comparison.differences:
        gate = _not_worse if difference.against == CHAMPION else _better
        gates.append(gate(f"lstm_{difference.against}", "LSTM MAE", difference))
    return gates


def synthetic_gate(synthetic: bool, allowed: bool) -> Gate:
    """Return the gate that lets models trained on simulated imagery pass only where that is allowed."""
    sentence = "The imagery is real."
    if synthetic:
        sentence = "The imagery is simulated, which allow_synthetic permits."
        if not allowed:
            sentence = "The imagery is simulated; such models reach an env file only with allow_synthetic."
    return Gate(name="synthetic", passed=allowed or not synthetic, value=None, bound=None, sentence=sentence)


def decide(gates: Iterable[Gate]) -> Decision:
    """Decide to promote only if every required gate is passed; the reasons are the failed gates, else all of them."""
    gates = list(gates)
    refused = [gate.sentence for gate in gates if gate.required and not gate.passed]
    passed = [gate.sentence for gate in gates if gate.required]
    return Decision(promote=not refused, reasons=refused or passed, gates=gates)


def _minimum(name: str, metric: str, value: float, bound: float, *, required: bool = True) -> Gate:
    passed = value >= bound
    relation = "reaches" if passed else "is below"
    aside = "" if required else " (reported only: the label is a forecast)"
    sentence = f"{metric} {value:.3f} {relation} the minimum of {bound:g}{aside}."
    return Gate(name=name, passed=passed, required=required, value=value, bound=bound, sentence=sentence)


def _better(name: str, metric: str, difference: Difference) -> Gate:
    passed = difference.difference > 0 and difference.low is not None and difference.low > 0
    result = "better"
    if not passed:
        result = (
            "not better" if difference.difference <= 0 else "better, but not by a margin that its interval supports"
        )
    return _comparing(name, metric, difference, result, passed=passed, value=difference.low)


def _not_worse(name: str, metric: str, difference: Difference) -> Gate:
    passed = difference.difference >= -_TOLERANCE
    result = "not worse" if passed else "worse"
    return _comparing(name, metric, difference, result, passed=passed, value=difference.difference)


def _comparing(
    name: str, metric: str, difference: Difference, result: str, *, passed: bool, value: float | None
) -> Gate:
    rivals = {SYNTHETIC: "the synthetic baseline", CHAMPION: "the champion", "ndvi_rule": "the NDVI rule"}
    rival = rivals.get(difference.against, difference.against.replace("_", " "))
    if difference.low is None or difference.high is None:
        interval = "no interval: one block on one date"
    else:
        interval = f"95 % interval {difference.low:+.3f} to {difference.high:+.3f}"
    sentence = f"{metric} against {rival} {difference.difference:+.3f} ({interval}): {result}."
    return Gate(name=name, passed=passed, value=value, bound=0.0, sentence=sentence)
