"""The comparison step: this run's models against the synthetic baseline, the champion and naive baselines.

All are held against the same patches and sequences: held-out blocks on held-out dates. What differs between two of
them comes with the interval of a paired bootstrap over blocks and dates, and the gates decide.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.contracts import Summary
from include.core.errors import ContractError
from include.core.run_folder import read_model, write_json
from include.core.settings import get_settings
from include.env_file import read_keys
from include.satellite.models import model_store
from include.satellite.models.bootstrap import RESAMPLES
from include.satellite.models.gates import cnn_gates, decide, lstm_gates, synthetic_gate
from include.satellite.models.results import (
    CHAMPION,
    REAL,
    SYNTHETIC,
    CnnComparison,
    Comparison,
    LstmComparison,
    in_words,
)
from include.satellite.params import CompareParams

if TYPE_CHECKING:
    from include.satellite.datasets.patches import PatchDataset
    from include.satellite.datasets.sequences import SequenceDataset
    from include.satellite.models.documents import ModelCard
    from include.satellite.models.predict import ModelBundle

COMPARISON = "comparison.json"
FEW = 3
"""Fewer blocks or dates than these cannot show how much blocks or dates differ."""


def compare(files: Path, params: CompareParams) -> None:
    """Write `comparison.json` and `plot_comparison.png`.

    Args:
        files: The run's `files/` folder, with both datasets and both models.
        params: Of the training, of the gates, and the policy on simulated imagery.

    Raises:
        ContractError: A dataset or model is missing or damaged.
        SetupError: The folder cannot be written.
    """
    from include.satellite.datasets.patches import load_patches
    from include.satellite.datasets.sequences import load_sequences
    from include.satellite.models.comparison_plot import plot_comparison
    from include.satellite.models.synthetic import ensure_baseline

    patches, sequences = load_patches(files), load_sequences(files)
    baseline = ensure_baseline(params, patches.info)
    cnn = {REAL: _bundle(files, "cnn"), SYNTHETIC: baseline.cnn}
    lstm = {REAL: _bundle(files, "lstm"), SYNTHETIC: baseline.lstm}
    switched = read_keys(get_settings().env_file, model_store.SWITCHES)
    champion, note = model_store.champion(switched, synthetic=patches.info.synthetic, label_source=params.label_source)
    if champion is not None:
        note = _add_champion(champion, cnn, lstm)
    on_patches = _compare_cnn(patches, cnn, params.seed)
    on_sequences = _compare_lstm(sequences, lstm, params.seed)
    gates = [
        synthetic_gate(patches.info.synthetic, params.allow_synthetic),
        *cnn_gates(on_patches, params.min_cnn_accuracy, params.label_source),
        *lstm_gates(on_sequences, params.min_lstm_accuracy),
    ]
    comparison = Comparison(
        decided_at=datetime.now(UTC).replace(microsecond=0),
        label_source=params.label_source,
        synthetic=patches.info.synthetic,
        allow_synthetic=params.allow_synthetic,
        env_file={key: switched.get(key) for key in (model_store.USE, model_store.VERSION)},
        champion=champion.version if champion and CHAMPION in cnn else None,
        baseline=baseline.info.model_dump(mode="json"),
        notes=[*([note] if note else []), *_thin("CNN", on_patches), *_thin("LSTM", on_sequences)],
        resamples=RESAMPLES,
        seed=params.seed,
        cnn_comparison=on_patches,
        lstm_comparison=on_sequences,
        decision=decide(gates),
    )
    plot_comparison(files / "plot_comparison.png", comparison)
    write_json(files / COMPARISON, comparison)


def read_comparison(files: Path) -> Comparison:
    """The comparison of a run.

    Raises:
        ContractError: There is none.
    """
    comparison = read_model(files / COMPARISON, Comparison)
    if comparison is None:
        raise ContractError(COMPARISON, "must exist", "no such file")
    return comparison


def compare_summary(files: Path) -> Summary:
    """Key figures, all gates, and what a person should know."""
    comparison = read_comparison(files)
    cnn, lstm, decision = comparison.cnn_comparison, comparison.lstm_comparison, comparison.decision
    findings = [{"severity": "info", "message": note} for note in comparison.notes]
    if not decision.promote:
        findings += [{"severity": "warning", "message": f"Not promoted: {reason}"} for reason in decision.reasons]
    improvement = {
        "cnn_accuracy_improvement_percent": cnn.accuracy_improvement,
        "lstm_mae_improvement_percent": lstm.mae_improvement,
    }
    return {
        **improvement,
        "champion": comparison.champion,
        "promote": decision.promote,
        "statistics": {"model_comparison": improvement},
        "findings": findings,
        "tables": [*_score_tables(cnn, lstm), _gate_table(comparison)],
    }


def _thin(kind: str, comparison: CnnComparison | LstmComparison) -> list[str]:
    """What an interval over very few blocks or dates cannot tell."""
    counts = {"block": comparison.blocks, "date": len(comparison.dates)}
    return [
        f"{kind}: {count} held-out {unit}{'s' if count > 1 else ''}: the intervals tell little of how {unit}s differ."
        for unit, count in counts.items()
        if count < FEW
    ]


def _bundle(folder: Path, kind: str) -> ModelBundle:
    from include.satellite.models.predict import load_bundle

    return load_bundle(folder / f"{kind}_model.safetensors", folder / f"{kind}_model.json")


def _add_champion(
    champion: model_store.StoredModel,
    cnn: dict[str, ModelBundle],
    lstm: dict[str, ModelBundle],
) -> str | None:
    """Add the champion's models where they take this run's data; else say why not."""
    bundles = _bundle(champion.folder, "cnn"), _bundle(champion.folder, "lstm")
    own = cnn[REAL].card, lstm[REAL].card
    for rival, card in zip(bundles, own, strict=True):
        if _shape(rival.card) != _shape(card):
            return (
                f"The champion {champion.version} takes other data ({card.kind}: inputs, size or resolution), so it is "
                "not compared."
            )
    cnn[CHAMPION], lstm[CHAMPION] = bundles
    if (bundles[0].card.seed, bundles[0].card.data.grid) != (own[0].seed, own[0].data.grid):
        return (
            f"The champion {champion.version} was trained with another seed or area: it may have learnt from what is "
            "held out here, which favours it."
        )
    return None


def _shape(card: ModelCard) -> tuple[object, ...]:
    return (card.inputs, card.classes, card.size, card.location_size, card.data.grid.resolution)


def _compare_cnn(dataset: PatchDataset, models: dict[str, ModelBundle], seed: int) -> CnnComparison:
    from include.satellite.models.baselines import patch_baselines
    from include.satellite.models.predict import predict_patches
    from include.satellite.models.scoring import gate_rows, score_classes

    rows = gate_rows(dataset)
    predicted: dict[str, Any] = {
        name: predict_patches(model, dataset, rows).argmax(axis=1) for name, model in models.items()
    }
    return score_classes(dataset, rows, predicted | patch_baselines(dataset, rows), seed)


def _compare_lstm(dataset: SequenceDataset, models: dict[str, ModelBundle], seed: int) -> LstmComparison:
    from include.satellite.models.baselines import sequence_baselines
    from include.satellite.models.predict import predict_sequences
    from include.satellite.models.scoring import score_forecasts

    rows = dataset.rows("validation")
    forecasts: dict[str, Any] = {name: predict_sequences(model, dataset, rows) for name, model in models.items()}
    return score_forecasts(dataset, rows, forecasts | sequence_baselines(dataset, rows), seed)


def _score_tables(cnn: CnnComparison, lstm: LstmComparison) -> list[dict[str, Any]]:
    return [
        {
            "title": f"Classifiers on {cnn.samples:,} held-out patches ({cnn.blocks} blocks, {len(cnn.dates)} dates)",
            "columns": ["model", "accuracy", "balanced accuracy"],
            "rows": [[in_words(n), round(s.accuracy, 4), round(s.balanced_accuracy, 4)] for n, s in cnn.models.items()],
        },
        {
            "title": f"Forecasts of {lstm.samples:,} held-out targets ({lstm.blocks} blocks, {len(lstm.dates)} dates)",
            "columns": ["model", "MAE", "RMSE", "1 − MAE/2"],
            "rows": [
                [in_words(n), round(s.mae, 4), round(s.rmse, 4), round(s.accuracy, 4)] for n, s in lstm.models.items()
            ],
        },
    ]


def _gate_table(comparison: Comparison) -> dict[str, Any]:
    verdicts = {True: "passed", False: "not passed"}
    return {
        "title": "Gates of the promotion",
        "columns": ["gate", "verdict", "why"],
        "rows": [
            [gate.name.replace("_", " "), verdicts[gate.passed] if gate.required else "reported only", gate.sentence]
            for gate in comparison.decision.gates
        ],
    }
