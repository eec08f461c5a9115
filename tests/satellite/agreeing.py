"""Lets the gates of a run agree, which models that learnt for moments cannot earn: its predictions are replaced.

Done after the run, by somebody who may write its records: no step can.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from include.core.artifacts import sha256
from include.core.run_folder import RunFolder, write_json
from include.satellite.artifacts import CNN, COMPARISON, LSTM, VALIDATED, VERIFICATION
from include.satellite.datasets.patches import load_patch_samples
from include.satellite.datasets.sequences import load_sequences
from include.satellite.evaluation.decision import is_synthetic, judge
from include.satellite.evaluation.predictions import Predictions, check_same, read_predictions, write_predictions
from include.satellite.params import CompareParams

AREA = {"bbox": [75.82, 30.92, 75.87, 30.962], "days_back": 1825, "target_count": 40, "min_dates": 40}
"""Holds out so many patches and dates that perfect predictions are better than the baselines beyond their intervals."""


def let_the_gates_agree(folder: Path) -> None:
    """Make this run's models perfect and the synthetic baseline useless, in all files and records of the run."""
    files, run = folder / "files", RunFolder(folder).run()
    assert run is not None
    params = CompareParams.model_validate({name: run.params[name] for name in CompareParams.model_fields})
    differences: dict[str, float] = {}
    for model in (CNN, LSTM):
        for artifact in (model.predictions, model.compared, model.verified):
            perfect = _perfect(read_predictions(artifact, files))
            artifact.at(files).unlink()  # the link, not the sealed artifact
            write_predictions(artifact.at(files), perfect)
        compared, verified = (read_predictions(artifact, files) for artifact in (model.compared, model.verified))
        found = check_same(model.compared.path, compared, verified)
        differences |= {f"{model.kind} {name}": value for name, value in found.items()}
    verification = VERIFICATION.read(files)
    differences = verification.largest_difference | differences
    write_json(VERIFICATION.at(files), verification.model_copy(update={"largest_difference": differences}))
    judgement = judge(
        load_patch_samples(files),
        read_predictions(CNN.compared, files),
        load_sequences(files),
        read_predictions(LSTM.compared, files),
        params,
        synthetic=is_synthetic(VALIDATED.read(files)),
    )
    assert judgement.decision.models == ["cnn", "lstm"], judgement.decision.gates
    scores = {"cnn_comparison": judgement.cnn, "lstm_comparison": judgement.lstm, "decision": judgement.decision}
    write_json(COMPARISON.at(files), COMPARISON.read(files).model_copy(update=scores))
    _record_again(folder)


def _perfect(predictions: Predictions) -> Predictions:
    truth, values = predictions.truth, dict(predictions.values)
    certain = np.eye(4)[truth] if values["real"].ndim == 2 else truth
    wrong = np.roll(certain, 1, axis=1) if certain.ndim == 2 else truth + 0.5
    values |= {"real": certain} | ({"synthetic": wrong} if "synthetic" in values else {})
    return Predictions(predictions.sample, truth, values)


def _record_again(folder: Path) -> None:
    """Let every record of the run name the files as they are now."""
    for path in folder.glob("steps/*/result.json"):
        result = json.loads(path.read_bytes())
        for record in (*result["inputs"], *result["outputs"]):
            file = folder / "files" / record["path"]
            if file.is_file():
                record |= {"sha256": sha256(file), "bytes": file.stat().st_size}
        path.write_text(json.dumps(result))
