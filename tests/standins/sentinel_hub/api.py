"""Driving a server: as the official client does, and with bare requests."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import requests
from sentinelhub import (
    CRS,
    BBox,
    MimeType,
    SentinelHubCatalog,
    SentinelHubDownloadClient,
    SentinelHubRequest,
    SentinelHubSession,
    SHConfig,
)

from include.satellite.imagery.client import _collection
from include.standins.sentinel_hub.scenes import Grid

LUDHIANA = (75.80, 30.90, 75.82, 30.92)
SMALL = Grid(32643, (576_000, 3_420_000, 577_000, 3_420_800), 100, 80)
BANDS = """//VERSION=3
function setup() { return { input: ["B02", "B03", "B04", "B08", "SCL", "dataMask"],
                            output: { bands: 6, sampleType: "UINT16" } }; }
function evaluatePixel(s) {
  return [s.B02 * 10000, s.B03 * 10000, s.B04 * 10000, s.B08 * 10000, s.SCL, s.dataMask];
}"""

SEARCH = {
    "collections": ["sentinel-2-l2a"],
    "datetime": "2024-01-01T00:00:00Z/2024-03-01T00:00:00Z",
    "bbox": list(LUDHIANA),
}


def process_body(**changes):
    body = {
        "input": {
            "bounds": {
                "bbox": list(SMALL.bounds),
                "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32643"},
            },
            "data": [
                {
                    "type": "sentinel-2-l2a",
                    "dataFilter": {"timeRange": {"from": "2024-07-28T00:00:00Z", "to": "2024-07-28T23:59:59Z"}},
                }
            ],
        },
        "evalscript": BANDS,
        "output": {"width": 10, "height": 8},
    }
    return {**body, **changes}


class Api:
    """A running server, as the official client sees it, and as bare requests do."""

    def __init__(self, url: str, login: str = "/auth/realms/main/protocol/openid-connect/token") -> None:
        self.url = url
        self.config = SHConfig(use_defaults=True)
        self.config.sh_base_url, self.config.sh_token_url = url, url + login
        self.config.sh_client_id, self.config.sh_client_secret = "demo", "demo"
        self.config.max_download_attempts, self.config.download_sleep_time, self.config.max_retries = 2, 0.01, 3
        self.collection = _collection("sentinel-2-l2a", url)  # the client allows one definition an address

    def session(self) -> SentinelHubSession:
        return SentinelHubSession(self.config)

    def token(self) -> str:
        form = {"grant_type": "client_credentials", "client_id": "demo", "client_secret": "demo"}
        return requests.post(self.config.sh_token_url, data=form, timeout=30).json()["access_token"]

    def client(self) -> SentinelHubDownloadClient:
        return SentinelHubDownloadClient(config=self.config, session=self.session())

    def search(self, bbox=LUDHIANA, start="2024-01-01", end="2024-12-31", **options: Any) -> list[Any]:
        catalog = SentinelHubCatalog(config=self.config)
        catalog.client = self.client()
        area = {} if "geometry" in options else {"bbox": BBox(bbox, CRS.WGS84)}
        return list(catalog.search(self.collection, time=(start, end), **area, **{"limit": 100, **options}))

    def request(self, script=BANDS, grid=SMALL, day=date(2024, 7, 28), days=1, identifiers=("default",), **input_data):
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return SentinelHubRequest(
            evalscript=script,
            input_data=[
                SentinelHubRequest.input_data(
                    self.collection,
                    time_interval=(start, start + timedelta(days=days, seconds=-1)),
                    **input_data,
                )
            ],
            responses=[SentinelHubRequest.output_response(name, MimeType.TIFF) for name in identifiers],
            bbox=BBox(grid.bounds, CRS(grid.crs)),
            size=(grid.width, grid.height),
            config=self.config,
        )

    def answer(self, *args: Any, **options: Any) -> Any:
        """Body and headers, not decoded."""
        return self.client().download(self.request(*args, **options).download_list, decode_data=False)[0]

    def pixels(self, *args: Any, **options: Any) -> Any:
        """Decoded by the client: (height, width, bands), or a dict of such arrays for several outputs."""
        return self.client().download(self.request(*args, **options).download_list)[0]

    def post(self, path: str, json: Any, token: str | None = None) -> requests.Response:
        token = token or self.token()
        return requests.post(self.url + path, json=json, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def fault(self, **rule: Any) -> None:
        assert requests.post(f"{self.url}/control/faults", json=rule, timeout=30).status_code == 200

    def faults(self) -> list[dict[str, Any]]:
        return requests.get(f"{self.url}/control/faults", timeout=30).json()

    def served(self) -> list[dict[str, Any]]:
        return requests.get(f"{self.url}/control/requests", timeout=30).json()
