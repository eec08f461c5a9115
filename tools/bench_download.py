"""Measures the download against the stand-in of the API: `python -m tools.bench_download` prints a table.

Twenty scenes of the default area (965 × 1116 pixels, five bands), two slots at once as the pipeline's pool runs them;
each answer takes 300 ms longer, and the account has a limit of requests. *What the limit allows* is the time at which
a client that knew the limit would have its last scene: a bucket of one minute's requests that fills continuously, two
requests at once, each at least 300 ms.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

SCENES, LATENCY, AT_ONCE = 20, 0.3, 2


def main() -> None:
    """Search once, then download under each limit into a fresh store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limits", type=int, nargs="+", default=[12, 16], help="requests a minute")
    limits = parser.parse_args().limits
    print("| requests a minute | what the limit allows | measured | ratio |\n|---|---|---|---|")  # noqa: T201
    for limit in limits:
        allowed, measured = allowed_seconds(limit), download(limit)
        print(f"| {limit} | {allowed:.1f} s | {measured:.1f} s | {measured / allowed:.2f} |", flush=True)  # noqa: T201


def allowed_seconds(limit: int) -> float:
    """When the last scene can be there at the earliest."""
    last_begins = max(SCENES - limit, 0) * 60 / limit
    return max(last_begins + LATENCY, SCENES * LATENCY / AT_ONCE)


def download(limit: int) -> float:
    """Seconds that the slots take, from the first request to the last stored scene."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GROUNDTRUTH_DATA_DIR"] = folder
        from include.core.settings import get_settings
        from include.satellite.artifacts import IMAGERY
        from include.satellite.imagery.demo import URL_VARIABLE, stand_in
        from include.satellite.imagery.download import collect, download
        from include.satellite.imagery.search import search
        from include.satellite.params import ImageryStepParams

        get_settings.cache_clear()
        files = Path(folder) / "files"
        files.mkdir()
        params = ImageryStepParams(end=datetime(2026, 1, 1, tzinfo=UTC), target_count=SCENES)
        with stand_in() as url:
            os.environ[URL_VARIABLE] = url
            search(files, params)
        with stand_in("--rate-limit", str(limit), "--latency-ms", str(round(LATENCY * 1000))) as url:
            os.environ[URL_VARIABLE] = url
            began = time.monotonic()
            with ThreadPoolExecutor(AT_ONCE) as slots:
                list(slots.map(lambda index: download(files, params, index), range(SCENES)))
            seconds = time.monotonic() - began
        collect(files, params)
        if len(IMAGERY.read(files).acquisitions) != SCENES:
            raise RuntimeError("not every scene came")
        return seconds


if __name__ == "__main__":
    main()
