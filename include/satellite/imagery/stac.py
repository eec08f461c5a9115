"""Imagery of a STAC API, without an account: items are searched, and windows of their cloud-optimised GeoTIFFs read.

The protocol is STAC API 1.0 (`POST /search`, pages by links `next`: https://github.com/radiantearth/stac-api-spec).
A few lines on top of `requests` speak it; the client libraries would bring 25 packages. GDAL reads the windows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from threading import Lock
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import numpy as np
import requests
from numpy.typing import NDArray

from include.core.errors import BadInputError, GroundtruthError, SetupError, TransientError
from include.satellite.imagery.area import affine_of
from include.satellite.imagery.client import BOUNDS
from include.satellite.imagery.scenes import NotDataError
from include.satellite.imagery.schemas import Catalog, Grid, ItemSource
from include.satellite.imagery.service import network_remedy, prepare_network, retry_after_s
from include.satellite.imagery.stac_items import (
    asset_of,
    baseline_of,
    check_offset,
    cloud_of,
    newest_first,
    newest_of_each_pass,
    nodata_of,
    radiometry_of,
    reflectance_numbers,
    understood,
)
from include.satellite.params import SourceParams
from include.satellite.sensors.evalscript import DATA_MASK
from include.satellite.sensors.sensor import NODATA, Sensor

STAC = "stac"
PAGE = 100
MOST_PAGES = 100
GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": BOUNDS.attempts - 1,
    "GDAL_HTTP_RETRY_DELAY": BOUNDS.first_wait_s,
    "GDAL_HTTP_CONNECTTIMEOUT": 30,
    "GDAL_HTTP_TIMEOUT": int(BOUNDS.silence_s),
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    # a file that was processed again under the same URL is another one
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/http",
}
_LONGEST_QUOTE = 300
_EARTH_SEARCH, _PLANETARY = "https://earth-search.aws.element84.com/v1", "https://planetarycomputer.microsoft.com/api"


@dataclass(frozen=True)
class Preset:
    """A public STAC API.

    Args:
        url: Its address.
        collection: The collection of Sentinel-2 L2A whose reflectances can be trusted.
        token_url: Where a token for its URLs is issued, `{collection}` in it; None where they need none.
    """

    url: str
    collection: str
    token_url: str | None = None


PRESETS = {
    "earth-search": Preset(_EARTH_SEARCH, "sentinel-2-c1-l2a"),
    "planetary-computer": Preset(
        f"{_PLANETARY}/stac/v1", "sentinel-2-l2a", f"{_PLANETARY}/sas/v1/token/{{collection}}"
    ),
}
DEFAULT_PRESET = "earth-search"
MISLEADING = {(_EARTH_SEARCH, "sentinel-2-l2a"): "sentinel-2-c1-l2a"}
"""Collections that declare wrong offsets, and which to take instead."""


def catalog_of(params: SourceParams) -> Catalog | None:
    """Return the STAC API and the collection that a run takes its imagery from; None where it takes it elsewhere.

    Raises:
        BadInputError: The URL is none, the collection is not named, or is known to declare wrong offsets.
    """
    if params.source != STAC:
        if params.stac_url or params.stac_collection:
            raise BadInputError(f"stac_url, stac_collection: belong to source stac, and the source is {params.source}")
        return None
    named = params.stac_url or DEFAULT_PRESET
    preset = PRESETS.get(named)
    url = (preset.url if preset else named).rstrip("/")
    if urlsplit(url).scheme not in ("http", "https"):
        raise BadInputError(f"stac_url: {url!r} must be a URL (https://…), or one of {', '.join(PRESETS)}")
    known = next((entry for entry in PRESETS.values() if entry.url == url), None)
    collection = params.stac_collection or (known.collection if known else None)
    if collection is None:
        raise BadInputError("stac_collection: name the collection; only these have a default: " + ", ".join(PRESETS))
    if better := MISLEADING.get((url, collection)):
        raise BadInputError(
            f"stac_collection: {collection} of {url} declares an offset of −0.1 on items that are already corrected, "
            f"so its reflectances cannot be trusted; take {better}"
        )
    return Catalog(url=url, collection=collection)


class StacApi:
    """A client of one collection of a STAC API; safe for threads.

    Args:
        catalog: The API and the collection.
        sensor: Names the bands.

    Raises:
        SetupError: A variable names a bundle of certificates that is not there.
    """

    def __init__(self, catalog: Catalog, sensor: Sensor) -> None:
        prepare_network()
        self._catalog, self._sensor = catalog, sensor
        self._items: dict[str, dict[str, Any]] = {}
        self._lock = Lock()

    def search(
        self, bbox: tuple[float, float, float, float], start: datetime, end: datetime, most_cloud: float | None
    ) -> list[dict[str, Any]]:
        """Return the items of the catalog, of those of one tile and pass the ones of the newest baseline.

        Args:
            bbox: West, south, east, north, degrees.
            start: First instant.
            end: Last instant.
            most_cloud: Most cloud of an item, percent; None for any.

        Returns:
            STAC items; their property `version` changes when one is processed again.

        Raises:
            BadInputError: The API refuses the request, or does not have the collection.
            TransientError: It does not answer, or not as the protocol demands.
        """
        moments = "/".join(moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (start, end))
        items = self._search({"bbox": list(bbox), "datetime": moments})
        if not items:
            self._get(f"{self._catalog.url}/collections/{quote(self._catalog.collection)}")  # or it does not exist
        newest = newest_of_each_pass(items)
        return [item for item in newest if most_cloud is None or (cloud_of(item) or 0) <= most_cloud]

    def read(
        self, names: Sequence[str], bands: Sequence[str], grid: Grid
    ) -> tuple[NDArray[np.uint16], tuple[ItemSource, ...]]:
        """Return the pixels of a day's items over a grid, nearest neighbour: each pixel of one item that has it all.

        Args:
            names: Ids of the items.
            bands: Reflectances and scene classification; dataMask is where there is data.
            grid: The pixels.

        Returns:
            (bands, height, width), reflectances as the imagery store has them: max(1, round(ρ / scale)), 0 for none;
            and where they come from, in the order in which pixels were taken.

        Raises:
            NotDataError: A file is missing or damaged, or its reflectances are not what the item declares.
            BadInputError: An item lacks a band, or what tells its offset.
            SetupError: A file may not be read without an account.
            TransientError: The service does not answer.
        """
        wanted = [band for band in bands if band != DATA_MASK]
        layers = np.zeros((len(wanted), grid.height, grid.width), np.uint16)
        empty = np.ones((grid.height, grid.width), bool)
        sources = []
        for item in sorted(self._named(names), key=newest_first):
            source, pixels = self._read_item(item, wanted, grid)
            taken = empty & (pixels != NODATA).all(axis=0)
            if not taken.any():
                continue
            layers[:, taken] = pixels[:, taken]
            empty &= ~taken
            sources.append(source)
            if not empty.any():
                break
        by_band = dict(zip(wanted, layers, strict=True)) | {DATA_MASK: (~empty).astype(np.uint16)}
        return np.stack([by_band[band] for band in bands]), tuple(sources)

    def _read_item(
        self, item: dict[str, Any], bands: Sequence[str], grid: Grid
    ) -> tuple[ItemSource, NDArray[np.uint16]]:
        import rasterio

        assets = {band: asset_of(item, band, self._sensor) for band in bands}
        spectral = self._sensor.reflectances(bands)
        scale, offset = radiometry_of(item, assets[spectral[0]]) if spectral else (self._sensor.scale, 0.0)
        urls = {band: self._url(item, asset) for band, asset in assets.items()}
        with rasterio.Env(**GDAL_OPTIONS):
            raw = {band: _read_window(self._signed(url), grid, nodata_of(assets[band])) for band, url in urls.items()}
        pixels = np.stack(
            [
                reflectance_numbers(raw[band], scale, offset, self._sensor.scale) if band in spectral else raw[band]
                for band in bands
            ]
        ).astype(np.uint16)
        class_band = self._sensor.classes.band
        if spectral and class_band in raw and offset:
            land = self._sensor.classes.mask(raw[class_band], self._sensor.classes.land)
            check_offset(item, {band: raw[band][land] for band in spectral}, scale, offset)
        source = ItemSource(
            id=str(item["id"]),
            collection=str(item.get("collection") or self._catalog.collection),
            baseline=baseline_of(item),
            scale=scale,
            offset=offset,
            urls={band: url.partition("?")[0] for band, url in urls.items()},
        )
        return source, pixels

    def _named(self, names: Sequence[str]) -> list[dict[str, Any]]:
        missing = [name for name in names if name not in self._items]
        if missing:
            self._search({"ids": missing})
        lost = [name for name in names if name not in self._items]
        if lost:
            raise TransientError(f"{self._catalog.url}: no longer lists {', '.join(lost)}; clear the search")
        return [self._items[name] for name in names]

    def _search(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        url, body = f"{self._catalog.url}/search", {"collections": [self._catalog.collection], "limit": PAGE, **query}
        request: dict[str, Any] = {"method": "POST", "url": url, "json": body}
        items: dict[str, dict[str, Any]] = {}
        for _ in range(MOST_PAGES):
            answer = self._answer(**request).json()
            try:
                features = answer["features"]
                items |= {str(item["id"]): understood(item) for item in features}
                link = next((link for link in answer.get("links", []) if link.get("rel") == "next"), None)
            except (KeyError, TypeError, AttributeError) as error:
                raise TransientError(f"{url}: the answer is no list of STAC items: {error!r}") from error
            if link is None or not features:
                with self._lock:
                    self._items |= items
                return list(items.values())
            request = _next_request(link, body)
        raise BadInputError(f"{url}: lists more than {MOST_PAGES * PAGE} items; take a shorter window (days_back)")

    def _get(self, url: str) -> Any:
        return self._answer(method="GET", url=url).json()

    def _answer(self, **request: Any) -> requests.Response:
        return _send(request, self._catalog.url)

    def _url(self, item: Mapping[str, Any], asset: Mapping[str, Any]) -> str:
        own = next((link.get("href") for link in item.get("links", []) if link.get("rel") == "self"), None)
        url = urljoin(str(own or self._catalog.url), str(asset["href"]))
        if urlsplit(url).scheme not in ("http", "https"):
            raise SetupError(
                f"item {item['id']}: {url} is not read over HTTPS, which needs an account; take another STAC API"
            )
        return url

    def _signed(self, url: str) -> str:
        token = self._token if (urlsplit(url).hostname or "").endswith(".blob.core.windows.net") else ""
        return f"{url}?{token}" if token and "?" not in url else url

    @cached_property
    def _token(self) -> str:
        """A token for the URLs of the collection, which ends long after this process does."""
        issuer = next((preset.token_url for preset in PRESETS.values() if preset.url == self._catalog.url), None)
        if issuer is None:
            return ""
        return str(self._get(issuer.format(collection=quote(self._catalog.collection)))["token"])


def _read_window(url: str, grid: Grid, stated_nodata: float | None) -> NDArray[Any]:
    """Return the first band of a file over a grid, its nodata as 0."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.vrt import WarpedVRT

    try:
        with rasterio.open(url) as file:
            stated = [value for value in (file.nodata, stated_nodata) if value is not None]
            nodata = stated[0] if stated else NODATA
            options = {"crs": grid.crs, "transform": affine_of(grid), "width": grid.width, "height": grid.height}
            with WarpedVRT(file, **options, src_nodata=nodata, nodata=nodata) as window:
                values = window.read(1)
    except RasterioError as error:
        raise _file_fault(url.partition("?")[0], error) from error
    return np.where(values == nodata, NODATA, values)


def _file_fault(url: str, error: BaseException) -> Exception:
    words = []
    cause: BaseException | None = error
    while cause is not None:
        words.append(re.sub(r"\?\S*", "", str(cause)))
        cause = cause.__cause__ or cause.__context__
    text = "; ".join(dict.fromkeys(words))[:_LONGEST_QUOTE]
    match = re.search(r"HTTP (?:response|error) code ?: (\d{3})", text)
    status = int(match[1]) if match else None
    if status in (401, 403):
        return SetupError(f"{url}: refused ({status}): it may not be read without an account, or its signature ended")
    if status == 404:
        return NotDataError(f"{url} does not exist (404)")
    if status is not None or "CURL error" in text or "Could not resolve" in text:
        return TransientError(f"{url}: cannot be read: {text}")
    return NotDataError(f"{url} cannot be read: {text}")


def _send(request: Mapping[str, Any], name: str) -> requests.Response:
    """Send a request, and again after 429, 5xx and faults of the connection, as long after as the service asks."""
    until, wait = time.monotonic() + BOUNDS.wall_time_s, BOUNDS.first_wait_s
    for attempt in range(1, BOUNDS.attempts + 1):
        fault, stated = "no answer", None
        try:
            answer = requests.request(**request, timeout=BOUNDS.silence_s)
        except requests.RequestException as error:
            fault = f"cannot be reached: {error}{network_remedy(error, str(request['url']))}"
        else:
            if answer.ok:
                return answer
            if answer.status_code != 429 and answer.status_code < 500:
                raise _refusal(name, answer)
            fault, stated = f"answers {answer.status_code}", retry_after_s(answer.headers.get("Retry-After"))
        pause = max(wait if stated is None else stated, BOUNDS.least_wait_s)
        if attempt == BOUNDS.attempts or time.monotonic() + pause > until:
            break
        time.sleep(pause)
        wait *= 3
    raise TransientError(f"{name}: {fault} after {attempt} attempts"[:_LONGEST_QUOTE])


def _refusal(name: str, answer: requests.Response) -> GroundtruthError:
    quoted = answer.text[:_LONGEST_QUOTE].strip()
    if answer.status_code in (401, 403):
        return SetupError(f"{name}: refused ({answer.status_code}): it needs an account; it says: {quoted}")
    if answer.status_code == 404:
        return BadInputError(f"{name}: has no {urlsplit(answer.url).path} (404); check stac_url and stac_collection")
    return BadInputError(f"{name}: refuses the request ({answer.status_code}): {quoted}")


def _next_request(link: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request for the next page, as STAC API describes it."""
    if str(link.get("method", "GET")).upper() == "GET":
        return {"method": "GET", "url": link["href"]}
    own = link.get("body") or {}
    headers = link.get("headers") or {}
    return {
        "method": "POST",
        "url": link["href"],
        "json": {**body, **own} if link.get("merge", False) else own,
        "headers": headers,
    }
