"""The names of artifacts, and the imagery that a map is drawn of."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.core.errors import BadInputError
from include.core.run_folder import RunFolder, StepResult, write_json
from include.satellite.artifacts import LSTM, VALIDATED, imagery_params, latest_manifest


def validated(data_dir: Path, name: str, day: int, status: str = "success") -> Path:
    """A run whose validation ended on a day of January."""
    folder = RunFolder(data_dir / "runs" / "satellite_pipeline" / name)
    moment = datetime(2026, 1, day, tzinfo=UTC)
    result = StepResult(
        step="validate", title="", description="", version="1", status=status, started_at=moment, ended_at=moment,
        duration_seconds=0,
    )  # fmt: skip
    write_json(folder.step("validate") / "result.json", result)
    manifest = VALIDATED.at(folder.files)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    return manifest


def test_the_manifest_of_the_latest_accepted_validation_is_found(tmp_path: Path) -> None:
    assert latest_manifest(tmp_path) is None
    older, newer = validated(tmp_path, "b", 1), validated(tmp_path, "a", 2)
    validated(tmp_path, "c", 3, "failed")
    assert latest_manifest(tmp_path) == newer.resolve()
    newer.unlink()
    assert latest_manifest(tmp_path) == older.resolve()


def test_a_map_takes_the_imagery_of_the_run_that_triggered_it_else_the_latest(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="run satellite_pipeline first"):
        imagery_params((), tmp_path)
    older, newer = validated(tmp_path, "b", 1), validated(tmp_path, "a", 2)
    assert imagery_params((tmp_path / "no_manifest", older.parent), tmp_path) == {"imagery": str(older)}
    assert imagery_params((), tmp_path) == {"imagery": str(newer.resolve())}


def test_a_model_is_stored_without_its_predictions_and_plots() -> None:
    stored = ["lstm_model.safetensors", "lstm_model.json", "lstm_metrics.json"]
    assert [artifact.path for artifact in LSTM.stored] == stored
    more = ["lstm_predictions.parquet", "plot_lstm_training.png", "plot_lstm_forecast.png"]
    assert [artifact.path for artifact in LSTM.all] == [*stored, *more]
