"""The gates between a trained model and the env file: each compares one metric with one bound, and states both."""

from __future__ import annotations

from collections.abc import Iterable

from include.satellite.evaluation.clusters import LEAST_BLOCKS, LEAST_SPELLS, SPELL_DAYS
from include.satellite.evaluation.predictions import FORECAST_REGRESSIONS
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
    ModelName,
    NextComparison,
    title_of,
)

PROVEN_LABELS: tuple[LabelSource, ...] = ("next_ndvi", "reference")
"""Labels that are not a formula of the input: only for these can a naive classifier be beaten at all."""
PREFIXES: dict[ModelName, tuple[str, ...]] = {"cnn": ("cnn_",), "lstm": ("lstm_", "next_")}
"""How the names of each model's own gates begin; any other gate is shared. The class of the next date is the LSTM's."""
REPORTED = ("anomaly_persistence", *FORECAST_REGRESSIONS)
"""Rivals whose gates are reported, not required."""
NEXT_REQUIRED = ("persistence", "climatology", "majority")
"""Rivals that the class of the next date must beat."""
NOT_THE_CNN = (
    "The class of the next date is predicted from the series: the CNN sees one image without history, so its scores "
    "are reported, and it is not promoted for label_source next_ndvi."
)
_TOLERANCE = 1e-9


def cnn_gates(comparison: CnnComparison, minimum: float, label_source: LabelSource) -> list[Gate]:
    """Return the gates of the classifier; for `next_ndvi` all are reported alone, for the series model answers that.

    Args:
        comparison: What was measured.
        minimum: `min_cnn_accuracy`.
        label_source: Labels that it was trained on.
    """
    real = comparison.models[REAL]
    required = label_source != "next_ndvi"
    gates = [_minimum("cnn_minimum", "CNN accuracy", real.accuracy, minimum, required=required)]
    for difference in comparison.differences:
        metric = "accuracy" if difference.against == SYNTHETIC else "balanced_accuracy"
        counts = difference.against in (SYNTHETIC, CHAMPION) or label_source in PROVEN_LABELS
        if difference.metric == metric and counts:
            name = f"CNN {metric.replace('_', ' ')}"
            gates.append(_comparing("cnn", name, difference, comparison, required=required))
    if not required:
        gates.insert(0, Gate(name="cnn_labels", passed=False, value=None, bound=None, sentence=NOT_THE_CNN))
    return gates


def next_gates(comparison: NextComparison) -> list[Gate]:
    """Return the gates of the class of the next date: persistence of class, climatology and majority must be beaten.

    Args:
        comparison: What was measured.
    """
    return [
        _comparing(
            "next",
            "Class of the next date by the LSTM, balanced accuracy",
            difference,
            comparison,
            required=difference.against in NEXT_REQUIRED,
        )
        for difference in comparison.differences
        if difference.metric == "balanced_accuracy"
    ]


def lstm_gates(comparison: LstmComparison, minimum: float) -> list[Gate]:
    """Return the gates of the forecast; its target is a measurement, so every naive forecast counts.

    What the forecast is built on (anomaly persistence) and regressions on the same steps are reported beside it.

    Args:
        comparison: What was measured.
        minimum: `min_lstm_accuracy`.
    """
    reached = _minimum("lstm_minimum", "LSTM accuracy (1 − MAE/2)", comparison.models[REAL].accuracy, minimum)
    return [
        reached,
        *(
            _comparing("lstm", "LSTM MAE", difference, comparison, required=difference.against not in REPORTED)
            for difference in comparison.differences
        ),
    ]


def synthetic_gate(synthetic: bool, allowed: bool) -> Gate:
    """Return the gate that lets models trained on simulated imagery pass only where that is allowed."""
    sentence = "The imagery is real."
    if synthetic and allowed:
        sentence = "The imagery is simulated, which allow_synthetic permits."
    elif synthetic:
        sentence = "The imagery is simulated; such models reach an env file only with allow_synthetic."
    return Gate(name="synthetic", passed=allowed or not synthetic, value=None, bound=None, sentence=sentence)


def decide(gates: Iterable[Gate]) -> Decision:
    """Decide for each model: it is promoted if every required gate of its own, and every shared one, is passed.

    The reasons are the passed gates of the promoted models; where there are none, the failed gates.

    Raises:
        ValueError: There is no required gate, so nothing speaks for a promotion.
    """
    gates = list(gates)
    if not any(gate.required for gate in gates):
        raise ValueError("a promotion needs at least one required gate")
    promoted: list[ModelName] = []
    deciding: list[Gate] = []
    for model, prefixes in PREFIXES.items():
        others = tuple(prefix for other, own in PREFIXES.items() if other != model for prefix in own)
        own = [gate for gate in gates if gate.required and not gate.name.startswith(others)]
        if all(gate.passed for gate in own) and any(gate.name.startswith(prefixes) for gate in own):
            promoted.append(model)
            deciding += [gate for gate in own if gate not in deciding]
    reasons = deciding or [gate for gate in gates if gate.required and not gate.passed]
    return Decision(promote=bool(promoted), promoted=promoted, reasons=[gate.sentence for gate in reasons], gates=gates)


def _minimum(name: str, metric: str, value: float, bound: float, *, required: bool = True) -> Gate:
    passed = value >= bound
    relation = "reaches" if passed else "is below"
    aside = "" if required else " (reported only: the label is a forecast)"
    sentence = f"{metric} {value:.3f} {relation} the minimum of {bound:g}{aside}."
    return Gate(name=name, passed=passed, required=required, value=value, bound=bound, sentence=sentence)


def _comparing(
    model: str,
    metric: str,
    difference: Difference,
    comparison: CnnComparison | LstmComparison | NextComparison,
    *,
    required: bool = True,
) -> Gate:
    """Return the gate against a rival: not worse than the champion, better than any other beyond chance."""
    rival, gain, low, high = difference.against, difference.difference, difference.low, difference.high
    judged = low is not None and high is not None
    if rival == CHAMPION:
        passed = judged and gain >= -_TOLERANCE
        result = "not worse" if gain >= -_TOLERANCE else "worse"
    else:
        passed = low is not None and low > 0
        result = "not better" if gain <= 0 else "better"
        if gain > 0 and not passed:
            result = "better, but not by a margin that its interval supports"
    title = f"the {title_of(rival)}" if rival in TITLES else title_of(rival)
    if low is not None and high is not None:
        interval = f"95 % interval {low:+.3f} to {high:+.3f}"
    else:
        interval = (
            f"no interval: {_counted(comparison.blocks, 'block')}, {_counted(comparison.spells or 0, 'spell')} of "
            f"{SPELL_DAYS} days"
        )
        result = f"cannot be judged with fewer than {LEAST_BLOCKS} blocks or {LEAST_SPELLS} spells"
    aside = "" if required else " (reported only)"
    sentence = f"{metric} against {title} {gain:+.3f} ({interval}): {result}{aside}."
    value = gain if rival == CHAMPION else low
    return Gate(name=f"{model}_{rival}", passed=passed, required=required, value=value, bound=0.0, sentence=sentence)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'s' * (count != 1)}"
