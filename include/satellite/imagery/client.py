"""The official Sentinel Hub client within bounds: attempts, wall time, and two requests at once on a machine."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar

from sentinelhub.api.catalog import SentinelHubCatalog
from sentinelhub.api.process import SentinelHubRequest
from sentinelhub.constants import CRS, MimeType, ResamplingType
from sentinelhub.data_collections import DataCollection
from sentinelhub.download.rate_limit import SentinelHubRateLimit
from sentinelhub.download.sentinelhub_client import SentinelHubDownloadClient
from sentinelhub.download.session import SentinelHubSession
from sentinelhub.exceptions import MissingDataInRequestException, SHRateLimitWarning, SHUserWarning
from sentinelhub.geometry import BBox

from include.core.errors import TransientError
from include.core.files import locked
from include.core.settings import get_settings
from include.satellite.imagery.scenes import NotDataError
from include.satellite.imagery.schemas import FolderSource, Grid
from include.satellite.imagery.service import (
    CLIENT_ERRORS,
    response_of,
    retry_after_s,
    service_config,
    translate,
    unreadable_scene,
)
from include.satellite.params import Source
from include.satellite.sensors.sensor import Sensor

T = TypeVar("T")

AT_ONCE = 2
"""Requests under way on this machine: the limit of the service, for any number of tasks and threads."""
_POLL_SECONDS = 0.01
PAGE = 100
UNITS_HEADER = "x-processingunits-spent"


@dataclass(frozen=True)
class Bounds:
    """Limits of a request; the task's own retries come after them.

    Args:
        attempts: After 5xx and faults of the connection.
        first_wait_s: Seconds before the second attempt; three times as long before each further one.
        silence_s: Seconds of silence after which an attempt has failed.
        rate_limit_attempts: After 429, each as long after as the service asks.
        least_wait_s: Seconds to wait after 429 at least.
        wall_time_s: Seconds that a request may wait for its rate limit in all, and that a new token may take.
    """

    attempts: int = 4
    first_wait_s: float = 1.0
    silence_s: float = 120.0
    rate_limit_attempts: int = 50
    least_wait_s: float = 1.0
    wall_time_s: float = 600.0


BOUNDS = Bounds()
_DEFINING = Lock()


@dataclass(frozen=True)
class Rendered:
    """An answer of the Process API; `units` is None where it does not state what it charged."""

    content: bytes
    units: float | None


class Hub:
    """A client of one service for one sensor; safe for threads.

    Args:
        source: The service.
        sensor: Names the collection.
        folder: The folder of scenes that the demo reads.

    Raises:
        SetupError: The credentials are missing or wrong.
        TransientError: The service does not answer.
    """

    def __init__(self, source: Source, sensor: Sensor, folder: FolderSource | None = None) -> None:
        self._source, self._config = source, service_config(source, folder)
        self._config.max_download_attempts, self._config.download_sleep_time = BOUNDS.attempts, BOUNDS.first_wait_s
        self._config.download_timeout_seconds, self._config.max_retries = BOUNDS.silence_s, BOUNDS.rate_limit_attempts
        self._collection = _collection(sensor.collections[source], self._config.sh_base_url)
        self._slots = get_settings().data_dir / "imagery" / ".requests" / source
        self._lock = Lock()
        # 429 is dealt with by waiting, as the service asks, and a token that has ended by fetching another
        warnings.filterwarnings("ignore", category=SHRateLimitWarning)
        warnings.filterwarnings("ignore", category=SHUserWarning)
        with self._translated():
            self._session = self._new_session()

    def search(
        self, bbox: tuple[float, float, float, float], start: datetime, end: datetime, most_cloud: float | None
    ) -> list[dict[str, Any]]:
        """Return the products of the catalog, all pages.

        Args:
            bbox: West, south, east, north, degrees.
            start: First instant.
            end: Last instant.
            most_cloud: Most cloud of a product, percent; None for any.

        Returns:
            STAC features with `id`, `geometry` and `properties`.
        """

        def list_products(session: SentinelHubSession) -> list[dict[str, Any]]:
            catalog = SentinelHubCatalog(config=self._config)
            catalog.client = self._client(session)
            features = catalog.search(
                self._collection,
                bbox=BBox(bbox, CRS.WGS84),
                time=(start, end),
                filter=None if most_cloud is None else f"eo:cloud_cover <= {most_cloud:g}",
                limit=PAGE,
            )
            try:
                return list(features)
            except (ValueError, KeyError, TypeError, AttributeError, MissingDataInRequestException) as error:
                raise TransientError(
                    f"{self._config.sh_base_url}: the catalog's answer cannot be read: {error!r}"
                ) from error

        return self._bounded(list_products)

    def render(self, script: str, grid: Grid, start: datetime, end: datetime) -> Rendered:
        """Return one TIFF of the Process API: acquired between two instants, nearest neighbour, harmonised.

        Args:
            script: The evalscript.
            grid: At most 2500 pixels a side.
            start: First instant.
            end: Last instant.

        Raises:
            NotDataError: The source cannot read the scene.
        """

        def download(session: SentinelHubSession) -> Rendered:
            request = SentinelHubRequest(
                evalscript=script,
                input_data=[
                    SentinelHubRequest.input_data(
                        self._collection,
                        time_interval=(start, end),
                        upsampling=ResamplingType.NEAREST,
                        downsampling=ResamplingType.NEAREST,
                        other_args={"processing": {"harmonizeValues": True}},
                    )
                ],
                responses=[SentinelHubRequest.output_response("default", MimeType.TIFF)],
                bbox=BBox(grid.bounds, CRS(grid.crs)),
                size=(grid.width, grid.height),
                config=self._config,
            )
            try:
                with request_slot(self._slots):
                    answer = self._client(session).download(request.download_list, max_threads=1, decode_data=False)[0]
            except CLIENT_ERRORS as error:
                if reason := unreadable_scene(error):
                    raise NotDataError(reason) from error
                raise
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Rendered(answer.content, _number(headers.get(UNITS_HEADER)))

        return self._bounded(download)

    def _bounded(self, request: Callable[[SentinelHubSession], T]) -> T:
        """Send a request; where the token is refused, send it again with a new one, for it may have expired early."""
        session = self._session
        with self._translated():
            try:
                return request(session)
            except CLIENT_ERRORS as error:
                response = response_of(error)
                if response is None or response.status_code != 401:
                    raise
            with self._lock:
                if self._session is session:
                    self._session = self._new_session()
            return request(self._session)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except CLIENT_ERRORS as error:
            raise translate(error, self._source, self._config) from error

    def _new_session(self) -> SentinelHubSession:
        """Return a session with a token; the client sets no time limit for it, and would wait for ever."""
        answer: Future[SentinelHubSession] = Future()

        def fetch_token() -> None:
            try:
                answer.set_result(SentinelHubSession(self._config, refresh_before_expiry=None))
            except BaseException as error:
                answer.set_exception(error)

        Thread(target=fetch_token, daemon=True).start()
        try:
            return answer.result(timeout=BOUNDS.wall_time_s)
        except TimeoutError as error:
            raise TransientError(f"{self._config.sh_token_url}: no token within {BOUNDS.wall_time_s:.0f} s") from error

    def _client(self, session: SentinelHubSession) -> SentinelHubDownloadClient:
        """Return a separate client for each request, so that threads share neither its lock nor its rate limit."""
        client = SentinelHubDownloadClient(session=session, config=self._config)
        client.rate_limit = _BoundedRateLimit(self._config.sh_base_url)
        return client


class _BoundedRateLimit(SentinelHubRateLimit):
    """Waits as long as the service asks (`Retry-After` in milliseconds), but not beyond the request's wall time."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._until = name, time.monotonic() + BOUNDS.wall_time_s

    def update(self, headers: dict[str, Any], *, default: float) -> None:
        stated = retry_after_s(headers.get(self.RETRY_HEADER), milliseconds=True)
        wait = max(default / 1000 if stated is None else stated, BOUNDS.least_wait_s)
        if time.monotonic() + wait > self._until:
            raise TransientError(
                f"{self._name}: the rate limit is used up (429): it asks to wait {wait:.0f} s, longer than the "
                f"{BOUNDS.wall_time_s:.0f} s that a request may take"
            )
        self.next_download_time = max(time.monotonic() + wait, self.next_download_time)


@contextmanager
def request_slot(folder: Path) -> Iterator[None]:
    """Wait for one of the slots and hold it; the system frees it when its holder dies.

    Args:
        folder: The folder of the slots' lock files; the same for all that share a limit.

    Raises:
        SetupError: The folder cannot be written.
    """
    with ExitStack() as slot:
        for number in itertools.cycle(range(AT_ONCE)):
            with suppress(TransientError):
                slot.enter_context(locked(folder / f"{number}.lock", timeout_s=0))
                break
            if number == AT_ONCE - 1:
                time.sleep(_POLL_SECONDS)
        yield


def _collection(collection: str, base_url: str) -> DataCollection:
    """Return a collection bound to a deployment; the client keeps such definitions for as long as the process runs."""
    with _DEFINING:
        definition = next(entry for entry in DataCollection if entry.api_id == collection)
        name = f"{collection}_{hashlib.sha256(base_url.encode()).hexdigest()[:16]}"  # a URL may hold a password
        return definition.define_from(re.sub(r"\W", "_", name), service_url=base_url)


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
