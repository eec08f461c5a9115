"""Measures the satellite pipeline at the documented scale: part of `make bench`; prints a table.

The area is the default one (Ludhiana, 965 × 1116 pixels at 10 m), the imagery simulated and served by the stand-in, the
parameters the defaults. Each step runs in a process of its own, as the pipeline's functions without Airflow; its peak
memory is the kernel's. `--dates 100` takes five years of imagery, for how cost grows with dates; `--through` ends after
that step. The once-made synthetic baseline has a line of its own and is not in the total.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from include.satellite.pipeline import SATELLITE
from tools.bench import measure
from tools.stack import say

ORDER = [
    "search", "download", "collect", "validate", "prepare_cnn", "prepare_lstm", "train_cnn", "train_lstm", "baseline",
    "compare",
]  # fmt: skip
ONCE = "baseline"
"""Made by the first comparison and kept; it stands apart, and outside the total."""


def main() -> None:
    """Run every step, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=20, help="dates wanted")
    parser.add_argument("--through", choices=ORDER, default=ORDER[-1], help="the last step to run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another parameter")
    arguments = parser.parse_args()
    others = {name: json.loads(value) for name, value in (setting.split("=", 1) for setting in arguments.set)}
    days = max(365, 365 * arguments.dates // 20)
    scale = {"target_count": arguments.dates, "days_back": days, "max_processing_units": 100 * arguments.dates}
    params = SATELLITE.check_params(others | scale | {"end": "2026-11-01T00:00:00Z"})
    say(f"{arguments.dates} dates; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    say(f"{'step':14} {'seconds':>9} {'processor s':>12} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder, stand_in() as url:
        files = Path(folder) / "runs" / "bench" / "run" / "files"
        files.mkdir(parents=True)
        os.environ |= {URL_VARIABLE: url, "GROUNDTRUTH_DATA_DIR": folder}
        total = 0.0
        for step in ORDER[: ORDER.index(arguments.through) + 1]:
            used = measure(run_step, step, files, params)
            say(f"{step:14} {used.seconds:9.1f} {used.processor:12.1f} {used.mebibytes:9.0f}")
            total += used.seconds * (step != ONCE)
    say(f"{'total':14} {total:9.1f}")


def run_step(step: str, files: Path, values: dict[str, Any]) -> None:
    """Run one step in this process."""
    contract = SATELLITE["compare" if step == ONCE else step].step
    params = contract.params.model_validate({k: v for k, v in values.items() if k in contract.params.model_fields})
    if step == ONCE:
        from include.satellite.datasets.patches import load_patches
        from include.satellite.evaluation.synthetic_baseline import provide_baseline

        provide_baseline(files, params, load_patches(files).info)
    elif contract.mapped:
        for index in range(len(SATELLITE["search"].step.things(files))):
            contract.instance(index).load()(files, params)
    else:
        contract.load()(files, params)


if __name__ == "__main__":
    main()
