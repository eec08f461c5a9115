"""The step `compare`: this run's models against the synthetic baseline, the champion and naive baselines.

All are scored on the same patches and sequences: held-out blocks on held-out dates. The difference of two models comes
with its interval, clustered by block and spell of 30 days, and the gates decide for each model.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.plots import BLUE, GREY, ORANGE, SKY, VERMILLION, figure_file
from include.core.settings import get_settings
from include.env_file import read_keys
from include.satellite.artifacts import CNN, COMPARISON, COMPARISON_PLOT, LSTM, NEXT_COMPARED, VALIDATED
from include.satellite.params import CompareParams
from include.satellite.registry import store
from include.satellite.schemas import (
    CHAMPION,
    REAL,
    SYNTHETIC,
    CnnComparison,
    Comparison,
    LstmComparison,
    Metric,
    NextComparison,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLORS = {REAL: BLUE, SYNTHETIC: SKY, CHAMPION: ORANGE}
CNN_COLUMNS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}
LSTM_COLUMNS = {"mae": "MAE", "rmse": "RMSE", "accuracy": "1 − MAE/2"}


class CompareMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `compare`."""

    cnn_accuracy_improvement_percent: float | None
    lstm_mae_improvement_percent: float | None
    champion: str | None
    promote: bool


def compare(files: Path, params: CompareParams) -> None:
    """Write the predictions of all models, the synthetic baseline, `comparison.json` and `plot_comparison.png`.

    Args:
        files: The run's `files/` folder, with the manifest, both datasets and both models.
        params: Of the training, of the gates, and the policy on simulated imagery.

    Raises:
        ContractError: A dataset or model is missing or damaged.
        SetupError: The folder cannot be written.
    """
    from include.satellite.datasets.patches import load_patches
    from include.satellite.datasets.sequences import load_sequences
    from include.satellite.evaluation.baselines import patch_baselines, sequence_baselines, sequence_regressions
    from include.satellite.evaluation.decision import champions_of, is_synthetic, judge, notes_on
    from include.satellite.evaluation.metrics import gate_rows
    from include.satellite.evaluation.next_classes import BOOSTING, next_boosting, next_rules
    from include.satellite.evaluation.predictions import Predictions, write_predictions
    from include.satellite.evaluation.synthetic_baseline import provide_baseline
    from include.satellite.training.networks import load_bundle, predict_patches, predict_sequences

    patches, sequences, synthetic = load_patches(files), load_sequences(files), is_synthetic(VALIDATED.read(files))
    baseline = provide_baseline(files, params, patches.info)
    cnn = {REAL: load_bundle(files, CNN), SYNTHETIC: baseline.cnn}
    lstm = {REAL: load_bundle(files, LSTM), SYNTHETIC: baseline.lstm}
    keys = read_keys(get_settings().env_file, store.ENV_KEYS)
    champions, notes = champions_of(files, keys, synthetic=synthetic, label_source=params.label_source)
    for model, bundles in ((CNN, cnn), (LSTM, lstm)):
        if model.kind in champions:
            bundles[CHAMPION] = load_bundle(champions[model.kind].folder, model)
    rows = gate_rows(patches)
    predicted = {name: predict_patches(model, patches, rows) for name, model in cnn.items()}
    classes = Predictions(rows, patches.label[rows], {**predicted, **patch_baselines(patches, rows)})
    rows = sequences.rows("validation")
    forecast = {name: predict_sequences(model, sequences, rows) for name, model in lstm.items()}
    others = {**sequence_baselines(sequences, rows), **sequence_regressions(sequences, rows)}
    forecasts = Predictions(rows, sequences.y[rows], {**forecast, **others})
    write_predictions(CNN.compared.at(files), classes)
    write_predictions(LSTM.compared.at(files), forecasts)
    following = None
    if params.label_source == "next_ndvi":
        rules = next_rules(sequences, forecasts)
        boosting = {BOOSTING: next_boosting(sequences, rules.sample)}
        following = Predictions(rules.sample, rules.truth, {**rules.values, **boosting})
        write_predictions(NEXT_COMPARED.at(files), following)
    judgement = judge(patches, classes, sequences, forecasts, params, following, synthetic=synthetic)
    comparison = Comparison(
        decided_at=datetime.now(UTC).replace(microsecond=0),
        synthetic=synthetic,
        env_file={key: keys.get(key) for key in store.ENV_KEYS},
        champion=next((champion.version for champion in champions.values()), None),
        champions={kind: champion.version for kind, champion in champions.items()},
        baseline=baseline.info.model_dump(mode="json"),
        notes=notes_on(judgement, notes),
        cnn_comparison=judgement.cnn,
        lstm_comparison=judgement.lstm,
        next_comparison=judgement.next_classes,
        decision=judgement.decision,
        **params.model_dump(include={"label_source", "allow_synthetic", "seed"}),
    )
    plot_comparison(COMPARISON_PLOT.at(files), comparison)
    COMPARISON.write(files, comparison)


def compare_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `compare` from `comparison.json`."""
    comparison = COMPARISON.read(files)
    cnn, lstm, decision = comparison.cnn_comparison, comparison.lstm_comparison, comparison.decision
    following = comparison.next_comparison
    next_tables = []
    if following is not None:
        title = f"Classes of the next date, of {following.samples:,} held-out sequences"
        next_tables = [_score_table(title, following, CNN_COLUMNS)]
    findings = [Finding(severity="info", message=note) for note in comparison.notes]
    findings += [
        Finding(severity="warning", message=f"Not promoted, gate {gate.name}: {gate.sentence}")
        for gate in decision.gates
        if gate.required and not gate.passed
    ]
    metrics = CompareMetrics(
        cnn_accuracy_improvement_percent=cnn.accuracy_improvement,
        lstm_mae_improvement_percent=lstm.mae_improvement,
        champion=comparison.champion,
        promote=decision.promote,
    )
    return StepOutcome(
        metrics=metrics,
        statistics={"model_comparison": metrics.model_dump(exclude={"champion", "promote"})},
        findings=tuple(findings),
        tables=(
            _score_table(f"Classifiers on {cnn.samples:,} held-out patches", cnn, CNN_COLUMNS),
            _score_table(f"Forecasts of {lstm.samples:,} held-out targets", lstm, LSTM_COLUMNS),
            *next_tables,
            _gate_table(comparison),
        ),
    )


def _score_table(
    title: str, comparison: CnnComparison | LstmComparison | NextComparison, columns: Mapping[str, str]
) -> Table:
    """Return a table of the models' scores; the columns are headings by the name of the score."""
    rows = [
        (title_of(name), *(round(getattr(score, column), 4) for column in columns))
        for name, score in comparison.models.items()
    ]
    extent = f"{comparison.blocks} blocks, {len(comparison.dates)} dates in {comparison.spells} spells"
    return Table(title=f"{title} ({extent})", columns=("model", *columns.values()), rows=rows)


def _gate_table(comparison: Comparison) -> Table:
    results = {True: "passed", False: "not passed"}
    rows = [
        (gate.name.replace("_", " "), results[gate.passed] if gate.required else "reported only", gate.sentence)
        for gate in comparison.decision.gates
    ]
    return Table(title="Gates of the promotion", columns=("gate", "decision", "why"), rows=rows)


def plot_comparison(target: Path, comparison: Comparison) -> None:
    """Plot scores above and paired differences with their intervals below; classifiers left, forecasts right."""
    cnn, lstm = comparison.cnn_comparison, comparison.lstm_comparison
    rivals = max(len(cnn.models), len(lstm.models))
    with figure_file(target, height=2.6 + 0.62 * rivals) as figure:
        (top_left, top_right), (left, right) = figure.subplots(2, 2)
        _scores(top_left, {name: score.balanced_accuracy for name, score in cnn.models.items()})
        _scores(top_right, {name: score.mae for name, score in lstm.models.items()})
        title = f"CNN on {cnn.samples:,} held-out patches"
        top_left.set(xlim=(0, 1.12), title=title, xlabel="Balanced accuracy (more is better)")
        top_right.set(title=f"LSTM on {lstm.samples:,} held-out targets", xlabel="MAE of NDVI (less is better)")
        _forest(left, cnn, "balanced_accuracy", "Gain in balanced accuracy")
        _forest(right, lstm, "mae", "MAE avoided")
        promoted = " and ".join(kind.upper() for kind in comparison.decision.models)
        decision = f"{promoted} promoted" if promoted else "not promoted"
        mark = "simulated imagery" if comparison.synthetic else "real imagery"
        figure.suptitle(f"Comparison: {decision} ({mark}, labels: {comparison.label_source})", x=0.01, ha="left")


def _scores(axes: Axes, values: dict[str, float]) -> None:
    colors = [COLORS.get(name, GREY) for name in values]
    bars = axes.barh([title_of(name) for name in values], list(values.values()), height=0.7, color=colors)
    axes.bar_label(bars, [f" {value:.3f}" for value in values.values()], fontsize=9)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.14)


def _forest(axes: Axes, comparison: CnnComparison | LstmComparison, metric: Metric, gain: str) -> None:
    differences = [difference for difference in comparison.differences if difference.metric == metric]
    for position, difference in enumerate(differences):
        centre = difference.difference
        low = centre if difference.low is None else difference.low
        high = centre if difference.high is None else difference.high
        color = BLUE if low > 0 else VERMILLION if high < 0 else GREY
        axes.plot([low, high], [position, position], color=color, linewidth=2.2, solid_capstyle="butt")
        axes.plot([centre], [position], "o", color=color, markersize=6)
    axes.axvline(0, color="#333333", linewidth=1)
    axes.set_yticks(range(len(differences)), [title_of(difference.against) for difference in differences])
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)
    extent = f"{_counted(comparison.blocks, 'block')} × {_counted(len(comparison.dates), 'date')}"
    title, xlabel = "This run's model against …", f"{gain}, 95 % over {extent}"
    axes.set(ylim=(len(differences) - 0.5, -0.5), title=title, xlabel=xlabel)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'s' if count > 1 else ''}"
