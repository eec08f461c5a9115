"""The gates between a trained model and the env file: each compares one metric with one bound, and states both."""

from __future__ import annotations

from collections.abc import Iterable

from include.satellite.params import LabelSource
from include.satellite.schemas import (
    CHAMPION,
    REAL,
    SYNTHETIC,
    TITLES,
    CnnComparison,
    Decision,
    Difference,
    Gate,
    LstmComparison,
    title_of,
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
        metric = "accuracy" if difference.against == SYNTHETIC else "balanced_accuracy"
        counts = difference.against in (SYNTHETIC, CHAMPION) or label_source in PROVEN_LABELS
        if difference.metric == metric and counts:
            gates.append(_comparing("cnn", f"CNN {metric.replace('_', ' ')}", difference))
    return gates


def lstm_gates(comparison: LstmComparison, minimum: float) -> list[Gate]:
    """Return the gates of the forecast; its target is a measurement, so every naive forecast counts.

    Args:
        comparison: What was measured.
        minimum: `min_lstm_accuracy`.
    """
    reached = _minimum("lstm_minimum", "LSTM accuracy (1 − MAE/2)", comparison.models[REAL].accuracy, minimum)
    return [reached, *(_comparing("lstm", "LSTM MAE", difference) for difference in comparison.differences)]


def synthetic_gate(synthetic: bool, allowed: bool) -> Gate:
    """Return the gate that lets models trained on simulated imagery pass only where that is allowed."""
    sentence = "The imagery is real."
    if synthetic and allowed:
        sentence = "The imagery is simulated, which allow_synthetic permits."
    elif synthetic:
        sentence = "The imagery is simulated; such models reach an env file only with allow_synthetic."
    return Gate(name="synthetic", passed=allowed or not synthetic, value=None, bound=None, sentence=sentence)


def decide(gates: Iterable[Gate]) -> Decision:
    """Decide to promote only if every required gate is passed; the reasons are the failed gates, else all of them.

    Raises:
        ValueError: There is no required gate, so nothing speaks for a promotion.
    """
    gates = list(gates)
    if not any(gate.required for gate in gates):
        raise ValueError("a promotion needs at least one required gate")
    refused = [gate.sentence for gate in gates if gate.required and not gate.passed]
    passed = [gate.sentence for gate in gates if gate.required]
    return Decision(promote=not refused, reasons=refused or passed, gates=gates)


def _minimum(name: str, metric: str, value: float, bound: float, *, required: bool = True) -> Gate:
    passed = value >= bound
    relation = "reaches" if passed else "is below"
    aside = "" if required else " (reported only: the label is a forecast)"
    sentence = f"{metric} {value:.3f} {relation} the minimum of {bound:g}{aside}."
    return Gate(name=name, passed=passed, required=required, value=value, bound=bound, sentence=sentence)


def _comparing(model: str, metric: str, difference: Difference) -> Gate:
    """Return the gate against a rival: not worse than the champion, better than any other beyond chance."""
    rival, gain, low, high = difference.against, difference.difference, difference.low, difference.high
    if rival == CHAMPION:
        passed = gain >= -_TOLERANCE
        result = "not worse" if passed else "worse"
    else:
        passed = gain > 0 and low is not None and low > 0
        result = "not better" if gain <= 0 else "better"
        if gain > 0 and not passed:
            result = "better, but not by a margin that its interval supports"
    title = f"the {title_of(rival)}" if rival in TITLES else title_of(rival)
    interval = "no interval: one block on one date"
    if low is not None and high is not None:
        interval = f"95 % interval {low:+.3f} to {high:+.3f}"
    sentence = f"{metric} against {title} {gain:+.3f} ({interval}): {result}."
    value = gain if rival == CHAMPION else low
    return Gate(name=f"{model}_{rival}", passed=passed, value=value, bound=0.0, sentence=sentence)
