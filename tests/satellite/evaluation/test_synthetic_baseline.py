import subprocess
import sys
from pathlib import Path

import pytest

from include.core.errors import SetupError
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.schemas import PatchInfo
from include.satellite.evaluation import synthetic_baseline
from include.satellite.evaluation.synthetic_baseline import ensure_baseline, find_baseline
from include.satellite.params import CompareParams
from tests.satellite.small_data import write_patches

PARAMS = CompareParams(
    patch_size=8, stride=8, sequence_length=4, location_size=8, cnn_epochs=1, lstm_epochs=1, label_source="reference"
)


@pytest.fixture
def dataset(tmp_path: Path) -> PatchInfo:
    write_patches(tmp_path)
    return load_patches(tmp_path).info


@pytest.mark.e2e
def test_two_runs_at_once_make_the_baseline_once(data_dir: Path, dataset: PatchInfo) -> None:
    program = (
        "import logging, sys; from pathlib import Path\n"
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
        "from include.core import plots; plots.figure_file = None  # a plot would fail: none of them is kept\n"
        "from include.satellite.datasets.schemas import PatchInfo\n"
        "from include.satellite.evaluation.synthetic_baseline import ensure_baseline\n"
        "from include.satellite.params import CompareParams\n"
        "ensure_baseline(CompareParams.model_validate_json(sys.argv[1]), PatchInfo.model_validate_json(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", program, PARAMS.model_dump_json(), dataset.model_dump_json()]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("is made now" in text for text in outputs) == 1


def test_the_baseline_is_made_once_and_found_by_later_runs(
    data_dir: Path, dataset: PatchInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_baseline(PARAMS, dataset)
    monkeypatch.setattr(synthetic_baseline, "_make", lambda *_: pytest.fail("it was there"))
    baseline = ensure_baseline(PARAMS, dataset)
    found = find_baseline(PARAMS, dataset)
    assert found is not None
    assert found.info == baseline.info
    assert found.cnn.card == baseline.cnn.card
    assert find_baseline(PARAMS.model_copy(update={"cnn_epochs": 2}), dataset) is None
    assert baseline.cnn.card.data.synthetic
    assert baseline.cnn.card.inputs == dataset.bands
    assert baseline.cnn.card.size == baseline.lstm.card.location_size == 8
    assert (baseline.info.world, baseline.info.seed) == ("simple", "7919")
    records = [path.read_text() for path in (data_dir / "imagery").rglob("*.json")]
    scenes = [text for text in records if '"sha256"' in text]
    assert len(scenes) == len(list((data_dir / "imagery").rglob("*.tif"))) == 20
    assert all("SIM-simple-7919" in text for text in scenes)
    kept = data_dir / "models" / "baselines"
    assert [path.name for path in kept.iterdir() if path.is_dir()] == [baseline.info.key]

    made: list[str] = []
    monkeypatch.setattr(synthetic_baseline, "_make", lambda folder, *_: made.append(folder.name))
    (kept / baseline.info.key / "lstm_model.safetensors").write_bytes(b"damaged")
    assert find_baseline(PARAMS, dataset) is None
    with pytest.raises(SetupError):
        ensure_baseline(PARAMS, dataset)
    assert made == [baseline.info.key]
    with pytest.raises(SetupError):
        ensure_baseline(PARAMS.model_copy(update={"cnn_epochs": 2}), dataset)
    assert made[1] != made[0]
