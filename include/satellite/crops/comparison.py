"""The step `compare_crops`: this run's classifier against one date, simple rules and the champion, and the gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from include.core.errors import ContractError
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.plots import BLUE, GREY, ORANGE, VERMILLION, figure_file
from include.core.settings import get_settings
from include.env_file import read_keys
from include.satellite.artifacts import CROP_COMPARISON, CROP_DATA, CROP_PLOT, CROP_PREDICTIONS
from include.satellite.crops.models import MAJORITY, REGRESSION, SINGLE, Samples, of_regression, rivals
from include.satellite.crops.params import CropCompareParams
from include.satellite.crops.schemas import CropComparison, CropData, CropDifference
from include.satellite.crops.scores import confusion, difference, effective_blocks, score
from include.satellite.crops.training import read_crop_predictions, read_samples
from include.satellite.evaluation.clusters import LEAST_BLOCKS
from include.satellite.evaluation.gates import synthetic_gate
from include.satellite.evaluation.predictions import Predictions
from include.satellite.evaluation.statements import check_stated
from include.satellite.fields.collection import key_of
from include.satellite.registry import store
from include.satellite.schemas import REAL, Decision, Gate, title_of


class CompareCropsMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `compare_crops`."""

    balanced_accuracy: float
    accuracy: float
    gain_over_best_month: float
    promote: bool


def compare_crops(files: Path, params: CropCompareParams) -> None:
    """Write `crop_comparison.json` with the decision, and its plot.

    Args:
        files: The run's `files/` folder.
        params: Of the run.

    Raises:
        ContractError: A file is missing or damaged.
        SetupError: The folder cannot be written.
    """
    comparison = _compared(files, params, datetime.now(UTC).replace(microsecond=0), _keys())
    plot(CROP_PLOT.at(files), comparison)
    CROP_COMPARISON.write(files, comparison)


def recompute_crop_comparison(files: Path, params: CropCompareParams) -> CropComparison:
    """Check that the comparison is what follows from the predictions, and return it.

    Raises:
        ContractError: It states something else.
    """
    stated = CROP_COMPARISON.read(files)
    check_stated(CROP_COMPARISON.path, stated, _compared(files, params, stated.decided_at, stated.env_file))
    return stated


def _keys() -> dict[str, str | None]:
    keys = read_keys(get_settings().env_file, store.CROP_ENV_KEYS)
    return {key: keys.get(key) for key in store.CROP_ENV_KEYS}


def _compared(
    files: Path, params: CropCompareParams, decided_at: datetime, env_file: Mapping[str, str | None]
) -> CropComparison:
    _, data, samples = read_samples(files)
    predictions = read_crop_predictions(CROP_PREDICTIONS, files, samples)
    if not np.array_equal(predictions.sample, np.arange(len(samples.crop))):
        raise ContractError(CROP_PREDICTIONS.path, "must hold every field, held out once", f"{len(predictions.sample)}")
    if list(predictions.values) != rivals(samples, params.crop_model):
        raise ContractError(CROP_PREDICTIONS.path, "must hold the models of the run", ", ".join(predictions.values))
    return judged(samples, predictions, data, params, decided_at, env_file)


def judged(
    samples: Samples,
    predictions: Predictions,
    data: CropData,
    params: CropCompareParams,
    decided_at: datetime,
    env_file: Mapping[str, str | None],
) -> CropComparison:
    """Return the scores, differences and gates of predictions on held-out fields.

    Args:
        samples: All fields.
        predictions: Of all models, for each field once, by models that saw neither its block nor its neighbours.
        data: What the samples come from.
        params: Of the run.
        decided_at: When.
        env_file: The env file's keys then.
    """
    truth, classes = predictions.truth, predictions.classes()
    champion = store.crops_in_use({key: value for key, value in env_file.items() if value})
    scores = {name: score(truth, predicted, samples.crops) for name, predicted in classes.items()}
    months = {name: scores[name].balanced_accuracy for name in samples.months}
    best = max(months, key=lambda name: months[name])
    regressions = {of_regression(name): scores[of_regression(name)].balanced_accuracy for name in samples.months}
    linear = max(regressions, key=lambda name: regressions[name])
    others = [name for name in scores if name not in (REAL, *months, *regressions)] + [linear]
    differences = [difference(name, truth, classes[REAL], classes[name], samples.block) for name in (best, *others)]
    blocks = len(np.unique(samples.block))
    gates = [
        _block_gate(blocks, effective_blocks(samples.block)),
        *(_gate(own, best) for own in differences),
        synthetic_gate(data.synthetic, params.allow_synthetic),
    ]
    return CropComparison(
        decided_at=decided_at,
        model=params.crop_model,
        synthetic=data.synthetic,
        allow_synthetic=params.allow_synthetic,
        env_file=dict(env_file),
        champion=champion,
        fields=len(truth),
        folds=len(samples.folds),
        blocks=blocks,
        effective_blocks=effective_blocks(samples.block),
        crops=list(samples.crops),
        models={name: scores[name] for name in (REAL, *others, best)},
        single_dates={name.removeprefix(SINGLE): value for name, value in months.items()},
        differences=differences,
        confusion=confusion(truth, classes[REAL], len(samples.crops)).tolist(),
        notes=_notes(differences, data, best, champion),
        decision=_decide(gates),
    )


def _decide(gates: Sequence[Gate]) -> Decision:
    failed = [gate.sentence for gate in gates if gate.required and not gate.passed]
    passed = [gate.sentence for gate in gates if gate.required]
    return Decision(promote=not failed, reasons=failed or passed, gates=list(gates))


def _block_gate(blocks: int, effective: float) -> Gate:
    passed = blocks >= LEAST_BLOCKS
    sentence = f"{blocks} blocks held out in turn, as many as {effective:.1f} of equal size."
    if not passed:
        sentence = f"Cannot be judged: {blocks} blocks, at least {LEAST_BLOCKS} are needed."
    return Gate(name="crops_blocks", passed=passed, value=float(blocks), bound=float(LEAST_BLOCKS), sentence=sentence)


def _gate(own: CropDifference, best: str) -> Gate:
    """Return the gate against a rival: one month and the majority decide, other models on the series are reported."""
    required = own.against in (best, MAJORITY)
    passed = own.is_shown
    result = "better" if passed else "better, but not by a margin that its interval supports"
    result = result if own.difference > 0 else "not better"
    aside = "" if required else " (reported only)"
    rival = f"the best single month, {best.removeprefix(SINGLE)}" if own.against == best else _rival(own.against)
    sentence = (
        f"Balanced accuracy against {rival} {own.difference:+.3f} (95 % interval {own.interval}): {result}{aside}."
    )
    name = "single_month" if own.against == best else own.against.replace(f" {SINGLE}", "_").replace("-", "_")
    return Gate(name=f"crops_{name}", passed=passed, required=required, value=own.low, bound=0.0, sentence=sentence)


def _notes(differences: Sequence[CropDifference], data: CropData, best: str, champion: str | None) -> list[str]:
    notes = [
        "One season: how well the classifier does in another year is not measured.",
        f"The best single month was chosen on the same held-out fields, which favours it: {best.removeprefix(SINGLE)}.",
    ]
    notes += [
        f"Not shown to be better than {_rival(own.against)}: {own.difference:+.3f} ({own.interval})."
        for own in differences
        if own.against not in (best, MAJORITY) and not own.is_shown
    ]
    if champion:
        notes.append(
            f"The classifier in use, {champion}, is not compared: it may have learnt from the fields that are held out."
        )
    if data.left_out:
        notes.append(
            f"{len(data.left_out)} crops are not learnt; the classifier takes their fields for one of the others."
        )
    return notes


def compare_crops_outcome(files: Path) -> StepOutcome:
    """Return scores, recall by crop, confusion, single months and gates."""
    comparison, data = CROP_COMPARISON.read(files), CROP_DATA.read(files)
    own = comparison.models[REAL]
    findings = [Finding(severity="info", message=note) for note in comparison.notes]
    findings += [
        Finding(severity="warning", message=f"Not promoted, gate {gate.name}: {gate.sentence}")
        for gate in comparison.decision.gates
        if gate.required and not gate.passed
    ]
    return StepOutcome(
        metrics=CompareCropsMetrics(
            balanced_accuracy=own.balanced_accuracy,
            accuracy=own.accuracy,
            gain_over_best_month=comparison.differences[0].difference,
            promote=comparison.decision.promote,
        ),
        findings=tuple(findings),
        tables=tuple(_tables(comparison, data)),
        published_as=f"{key_of(data.file)}/{data.months[-1]:%Y-%m}",
        synthetic=comparison.synthetic,
    )


def _tables(comparison: CropComparison, data: CropData) -> list[Table]:
    own = {item.against: item for item in comparison.differences}
    blocks = f"{comparison.blocks} blocks, as many as {comparison.effective_blocks:.1f} of equal size"
    extent = f"{comparison.fields:,} held-out fields in {blocks}"
    scores = []
    for name, value in comparison.models.items():
        gain = own.get(name)
        interval = (None, None) if gain is None else (f"{gain.difference:+.3f}", gain.interval)
        scores.append(
            (_title(name, comparison), round(value.balanced_accuracy, 3), round(value.accuracy, 3), *interval)
        )
    recall = [
        (
            crop,
            data.crops[crop],
            *(round(value, 3) if value is not None else None for value in (score.recall[crop], score.precision[crop])),
        )
        for score in [comparison.models[REAL]]
        for crop in comparison.crops
    ]
    confused = [(crop, *row) for crop, row in zip(comparison.crops, comparison.confusion, strict=True)]
    months = [(month, round(value, 3)) for month, value in comparison.single_dates.items()]
    results = {True: "passed", False: "not passed"}
    gates = [
        (gate.name.replace("_", " "), results[gate.passed] if gate.required else "reported only", gate.sentence)
        for gate in comparison.decision.gates
    ]
    columns = ("model", "balanced accuracy", "accuracy", "gain of this run's model", "95 % interval of the gain")
    return [
        Table(title=f"Classifiers ({extent})", columns=columns, rows=tuple(scores)),
        Table(title="Crops", columns=("crop", "fields", "recall", "precision"), rows=tuple(recall)),
        Table(title="Fields by crop (rows) and prediction (columns)", columns=("", *comparison.crops),
              rows=tuple(confused)),
        Table(title="The same kind of model on one month", columns=("month", "balanced accuracy"), rows=tuple(months)),
        Table(title="Gates of the promotion", columns=("gate", "decision", "why"), rows=tuple(gates)),
    ]  # fmt: skip


def _rival(name: str) -> str:
    """Return a rival in words.

    >>> _rival("logistic_regression"), _rival("logistic_regression month 2022-07"), _rival("majority")
    ('logistic regression on the series', 'logistic regression on 2022-07 alone', 'majority')
    """
    kind, _, month = name.partition(f" {SINGLE}")
    if name == MAJORITY:
        return name
    return f"{title_of(kind)} on {f'{month} alone' if month else 'the series'}"


def _title(name: str, comparison: CropComparison) -> str:
    if name == REAL:
        return f"this run's model: {title_of(comparison.model)} on the series"
    return _rival(f"{comparison.model} {name}" if name.startswith(SINGLE) else name)


def plot(target: Path, comparison: CropComparison) -> None:
    """Plot the confusion as shares of each crop, and balanced accuracy by model and by single month."""
    crops = comparison.crops
    table = np.array(comparison.confusion, float)
    shares = table / table.sum(axis=1, keepdims=True)
    with figure_file(target, height=2.2 + 0.5 * max(len(crops), 6)) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        left.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            if table[row, column]:
                left.text(column, row, f"{table[row, column]:.0f}", ha="center", va="center", fontsize=9,
                          color="white" if share > 0.55 else "#222222")  # fmt: skip
        left.set_xticks(range(len(crops)), crops, rotation=40, ha="right", rotation_mode="anchor")
        left.set_yticks(range(len(crops)), crops)
        left.grid(visible=False)
        left.set(title="Held-out fields", xlabel="Predicted", ylabel="Stated by the user")
        months = list(comparison.single_dates.items())
        right.bar(
            range(len(months)),
            [value for _, value in months],
            color=GREY,
            label=f"{title_of(comparison.model)} on one month alone",
        )
        own = comparison.models[REAL].balanced_accuracy
        right.axhline(own, color=BLUE, linewidth=2, label=f"{title_of(comparison.model)} on the series: {own:.3f}")
        for name, value in comparison.models.items():
            if name in (REAL, MAJORITY) or name.startswith(SINGLE):
                continue
            linear = name.startswith(REGRESSION)
            color, style = VERMILLION if linear else ORANGE, ":" if SINGLE in name else "--"
            label = f"{_rival(name)}: {value.balanced_accuracy:.3f}"
            right.axhline(value.balanced_accuracy, color=color, linewidth=1.3, linestyle=style, label=label)
        majority = comparison.models[MAJORITY].balanced_accuracy
        right.axhline(majority, color="#333333", linewidth=1, linestyle=":", label=f"majority: {majority:.3f}")
        right.set_xticks(range(len(months)), [month for month, _ in months], rotation=60, ha="right",
                         rotation_mode="anchor")  # fmt: skip
        right.set(title="Balanced accuracy", ylim=(0, max(own, *(value for _, value in months)) * 1.7))
        right.grid(visible=False, axis="x")
        right.legend(loc="upper left", fontsize=8.5)
