"""The gates between a trained model and the env file: each holds one figure against one bound, and says so."""

from __future__ import annotations

from collections.abc import Iterable

from include.satellite.models.results import (
    CHAMPION,
    REAL,
    SYNTHETIC,
    CnnComparison,
    Decision,
    Difference,
    Gate,
    LstmComparison,
)
from include.satellite.params import LabelSource

PROVEN_LABELS: tuple[LabelSource, ...] = ("next_ndvi", "reference")
"""Labels that are no formula of the input: only for these can a naive classifier be beaten at all."""
_TOLERANCE = 1e-9


def cnn_gates(comparison: CnnComparison, minimum: float, label_source: LabelSource) -> list[Gate]:
    """Gates of the classifier.

    Args:
        comparison: What was measured.
        minimum: `min_cnn_accuracy`; for `next_ndvi` it is reported, not required.
        label_source: What it learnt.
    """
    real = comparison.models[REAL]
    required = label_source != "next_ndvi"
    gates = [_minimum("cnn_minimum", "CNN accuracy", real.accuracy, minimum, required=required)]
    for name, each in _by_rival(comparison.differences, "accuracy"):
        if name == SYNTHETIC:
            gates.append(_better("cnn_synthetic", "CNN accuracy", each))
    for name, each in _by_rival(comparison.differences, "balanced_accuracy"):
        if name == CHAMPION:
            gates.append(_not_worse("cnn_champion", "CNN balanced accuracy", each))
        elif name != SYNTHETIC and label_source in PROVEN_LABELS:
            gates.append(_better(f"cnn_{name}", "CNN balanced accuracy", each))
    return gates


def lstm_gates(comparison: LstmComparison, minimum: float) -> list[Gate]:
    """Gates of the forecast; its target is a measurement, so every naive forecast counts.

    Args:
        comparison: What was measured.
        minimum: `min_lstm_accuracy`.
    """
    gates = [_minimum("lstm_minimum", "LSTM accuracy (1 − MAE/2)", comparison.models[REAL].accuracy, minimum)]
    for name, each in _by_rival(comparison.differences, "mae"):
        if name == CHAMPION:
            gates.append(_not_worse("lstm_champion", "LSTM MAE", each))
        else:
            gates.append(_better(f"lstm_{name}", "LSTM MAE", each))
    return gates


def synthetic_gate(synthetic: bool, allowed: bool) -> Gate:
    """Models trained on simulated imagery reach an env file only where that is allowed."""
    sentence = "The imagery is real."
    if synthetic:
        sentence = "The imagery is simulated, which allow_synthetic permits."
        if not allowed:
            sentence = "The imagery is simulated; such models reach an env file only with allow_synthetic."
    return Gate(name="synthetic", passed=allowed or not synthetic, value=None, bound=None, sentence=sentence)


def decide(gates: Iterable[Gate]) -> Decision:
    """Promote only where every required gate is passed; the reasons are those that are not, else all of them."""
    gates = list(gates)
    refused = [gate.sentence for gate in gates if gate.required and not gate.passed]
    passed = [gate.sentence for gate in gates if gate.required]
    return Decision(promote=not refused, reasons=refused or passed, gates=gates)


def _by_rival(differences: Iterable[Difference], metric: str) -> list[tuple[str, Difference]]:
    return [(each.against, each) for each in differences if each.metric == metric]


def _minimum(name: str, what: str, value: float, bound: float, *, required: bool = True) -> Gate:
    passed = value >= bound
    verdict = "reaches" if passed else "is below"
    aside = "" if required else " (reported only: the label is a forecast)"
    return Gate(
        name=name,
        passed=passed,
        required=required,
        value=value,
        bound=bound,
        sentence=f"{what} {value:.3f} {verdict} the minimum of {bound:g}{aside}.",
    )


def _better(name: str, what: str, each: Difference) -> Gate:
    passed = each.difference > 0 and each.low is not None and each.low > 0
    if passed:
        verdict = "better"
    else:
        verdict = "not better" if each.difference <= 0 else "better, but not by a margin that its interval supports"
    return Gate(
        name=name, passed=passed, value=each.low, bound=0.0, sentence=f"{what} against {_name(each)}: {verdict}."
    )


def _not_worse(name: str, what: str, each: Difference) -> Gate:
    passed = each.difference >= -_TOLERANCE
    verdict = "not worse" if passed else "worse"
    return Gate(
        name=name, passed=passed, value=each.difference, bound=0.0, sentence=f"{what} against {_name(each)}: {verdict}."
    )


def _name(each: Difference) -> str:
    words = {SYNTHETIC: "the synthetic baseline", CHAMPION: "the champion", "ndvi_rule": "the NDVI rule"}
    rival = words.get(each.against, each.against.replace("_", " "))
    if each.low is None or each.high is None:
        return f"{rival} {each.difference:+.3f} (no interval: one block on one date)"
    return f"{rival} {each.difference:+.3f} (95 % interval {each.low:+.3f} to {each.high:+.3f})"
