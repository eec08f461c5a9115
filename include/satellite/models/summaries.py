"""What the report shows of a training, read from its measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.core.contracts import Summary
from include.satellite.models.documents import CnnMetrics, LstmMetrics, TrainingRecord

Finding = dict[str, str]


def train_cnn_summary(files: Path) -> Summary:
    """Key figures, findings and tables of `cnn_metrics.json`."""
    metrics = CnnMetrics.model_validate_json((files / "cnn_metrics.json").read_bytes())
    return {
        "cnn_accuracy": round(metrics.accuracy, 4),
        "cnn_balanced_accuracy": round(metrics.balanced_accuracy, 4),
        "expected_calibration_error": round(metrics.expected_calibration_error, 4),
        **_training(metrics.training),
        "evaluation_dates": len(metrics.evaluation_dates),
        "statistics": {"cnn_accuracy": round(metrics.accuracy, 4)},
        "findings": _cnn_findings(metrics),
        "tables": [_cnn_table(metrics), _class_table(metrics)],
    }


def train_lstm_summary(files: Path) -> Summary:
    """Key figures, findings and a table of `lstm_metrics.json`."""
    metrics = LstmMetrics.model_validate_json((files / "lstm_metrics.json").read_bytes())
    return {
        "lstm_accuracy": round(metrics.accuracy, 4),
        "lstm_mae": round(metrics.mae, 4),
        "lstm_rmse": round(metrics.rmse, 4),
        "lstm_r2": None if metrics.r2 is None else round(metrics.r2, 4),
        **_training(metrics.training),
        "evaluation_dates": len(metrics.evaluation_dates),
        "statistics": {"lstm_accuracy": round(metrics.accuracy, 4)},
        "findings": _lstm_findings(metrics),
        "tables": [_lstm_table(metrics)],
    }


def _training(record: TrainingRecord) -> dict[str, Any]:
    return {
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "train_samples": record.train_samples,
        "tune_samples": record.tune_samples,
        "device": record.device,
        "precision": record.precision,
    }


def _cnn_findings(metrics: CnnMetrics) -> list[Finding]:
    found = []
    if metrics.accuracy < metrics.minimum_accuracy and not metrics.required:
        message = (
            f"CNN: accuracy {metrics.accuracy:.3f} is below {metrics.minimum_accuracy:g}, which is reported, not "
            "required, for labels of the next date."
        )
        found.append(_finding("info", message))
    ahead = [
        f"{name.replace('_', ' ')} {naive.balanced_accuracy:.3f}"
        for name, naive in metrics.baselines.items()
        if naive.balanced_accuracy >= metrics.balanced_accuracy
    ]
    if ahead:
        message = f"CNN: balanced accuracy {metrics.balanced_accuracy:.3f} does not beat {', '.join(ahead)}."
        found.append(_finding("warning", message))
    outside = [each.name for each in metrics.classes if not each.in_gate]
    if outside:
        message = f"CNN: too few training samples to hold it to {', '.join(outside)}: left out of the gate."
        found.append(_finding("warning", message))
    return found + _common("CNN", metrics.training)


def _lstm_findings(metrics: LstmMetrics) -> list[Finding]:
    found = [_finding("info", f"LSTM: {metrics.accuracy_note}")]
    ahead = [
        f"{name.replace('_', ' ')} ({naive.mae:.3f})"
        for name, naive in metrics.baselines.items()
        if naive.mae <= metrics.mae
    ]
    if ahead:
        found.append(_finding("warning", f"LSTM: its error of {metrics.mae:.3f} does not beat {', '.join(ahead)}."))
    if metrics.climatology_fallback:
        message = (
            f"LSTM: {metrics.climatology_fallback:.0%} of the sequences have no earlier date within 30 days of the day "
            "of the year; their climatology is the mean over earlier dates."
        )
        found.append(_finding("info", message))
    return found + _common("LSTM", metrics.training)


def _common(model: str, record: TrainingRecord) -> list[Finding]:
    if record.tuned_on == "tune":
        return []
    return [_finding("warning", f"{model}: no tuning part; the best epoch was chosen on the training part.")]


def _cnn_table(metrics: CnnMetrics) -> dict[str, Any]:
    rows = [["CNN", f"{metrics.accuracy:.3f}", f"{metrics.balanced_accuracy:.3f}"]]
    for name, naive in metrics.baselines.items():
        rows.append([name.replace("_", " "), f"{naive.accuracy:.3f}", f"{naive.balanced_accuracy:.3f}"])
    return {"title": "CNN on held-out places and dates", "columns": ["", "accuracy", "balanced accuracy"], "rows": rows}


def _class_table(metrics: CnnMetrics) -> dict[str, Any]:
    rows = [
        [each.name, f"{each.samples:,}", _text(each.precision), _text(each.recall), _text(each.f1)]
        for each in metrics.classes
    ]
    return {"title": "CNN by class", "columns": ["class", "patches", "precision", "recall", "F1"], "rows": rows}


def _lstm_table(metrics: LstmMetrics) -> dict[str, Any]:
    rows = [["LSTM", f"{metrics.mae:.4f}", f"{metrics.rmse:.4f}", ""]]
    for name, naive in metrics.baselines.items():
        skill = "–" if naive.skill is None else f"{naive.skill:+.1%}"
        rows.append([name.replace("_", " "), f"{naive.mae:.4f}", f"{naive.rmse:.4f}", skill])
    columns = ["", "MAE", "RMSE", "skill of the LSTM"]
    return {"title": "LSTM on held-out places and later dates", "columns": columns, "rows": rows}


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _finding(severity: str, message: str) -> Finding:
    return {"severity": severity, "message": message}
