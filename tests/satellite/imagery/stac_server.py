"""A local STAC API for tests: the protocol is stac-fastapi's, the items and their files are the tests'."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import uvicorn
from numpy.typing import NDArray
from pyproj import Transformer
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import create_post_request_model
from stac_fastapi.extensions.core import TokenPaginationExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import BaseCoreClient
from stac_fastapi.types.errors import NotFoundError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from include.satellite.imagery.area import affine_of
from include.satellite.imagery.schemas import Grid

COLLECTION = "sentinel-2-c1-l2a"
ASSETS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "SCL": "scl"}
RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"


class LocalStac:
    """Items of one collection with their files.

    Args:
        folder: Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, ""
        self.items: list[dict[str, Any]] = []
        self.page = 100
        self.requests: list[str] = []
        self.faults: list[tuple[str, int, dict[str, str]]] = []
        """Answers instead of the next ones: beginning of the path, status, headers."""

    def add(
        self,
        name: str,
        moment: str,
        grid: Grid,
        layers: Mapping[str, NDArray[Any]],
        *,
        tile: str = "43RFQ",
        baseline: str | None = "05.11",
        raster: Mapping[str, Any] | None = None,
        keys: Mapping[str, str] = ASSETS,
        **properties: Any,
    ) -> dict[str, Any]:
        """Add an item with a GeoTIFF for each of its layers (digital numbers, 0 for none); returns the item."""
        assets = {}
        for band, layer in layers.items():
            path = self.folder / name / f"{band}.tif"
            path.parent.mkdir(exist_ok=True)
            profile = {"driver": "COG", "count": 1, "dtype": "uint16", "nodata": 0, "crs": grid.crs}
            form = {"width": grid.width, "height": grid.height, "transform": affine_of(grid)}
            with rasterio.open(path, "w", **profile, **form) as file:
                file.write(layer.astype(np.uint16), 1)
            asset: dict[str, Any] = {
                "href": f"{self.url}/files/{name}/{path.name}",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            }
            if raster is not None and band != "SCL":
                asset["raster:bands"] = [dict(raster)]
            assets[keys[band]] = asset
        project = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        footprint = shapely.box(*project.transform_bounds(*grid.bounds))
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "stac_extensions": [RASTER] if raster is not None else [],
            "id": name,
            "collection": COLLECTION,
            "bbox": list(footprint.bounds),
            "geometry": shapely.geometry.mapping(footprint),
            "properties": {
                "datetime": moment,
                "eo:cloud_cover": 1.0,
                "grid:code": f"MGRS-{tile}",
                "platform": "sentinel-2a",
                **({} if baseline is None else {"s2:processing_baseline": baseline}),
                **properties,
            },
            "links": [],
            "assets": assets,
        }
        self.items.append(item)
        return item


class _Items(BaseCoreClient):
    """Searches the items of a `LocalStac`, by page."""

    def __init__(self, local: LocalStac) -> None:
        super().__init__()
        self.local = local

    def post_search(self, search_request: Any, **kwargs: Any) -> Any:
        area = shapely.box(*search_request.bbox) if search_request.bbox else None
        first, last = (search_request.start_date, search_request.end_date) if search_request.datetime else (None, None)
        matches = [
            item
            for item in self.local.items
            if item["collection"] in (search_request.collections or [])
            and (search_request.ids is None or item["id"] in search_request.ids)
            and (area is None or shapely.geometry.shape(item["geometry"]).intersects(area))
            and (first is None or first.isoformat() <= item["properties"]["datetime"].replace("Z", "+00:00"))
            and (last is None or item["properties"]["datetime"].replace("Z", "+00:00") <= last.isoformat())
        ]
        start = int(search_request.token or 0)
        stop = start + min(self.local.page, search_request.limit or 10)
        body = {"token": str(stop)}
        following = {"rel": "next", "method": "POST", "href": f"{self.local.url}/search", "body": body, "merge": True}
        links = [following] if stop < len(matches) else []
        return {"type": "FeatureCollection", "features": matches[start:stop], "links": links}

    def get_search(self, **kwargs: Any) -> Any:
        raise NotImplementedError

    def get_item(self, item_id: str, collection_id: str, **kwargs: Any) -> Any:
        raise NotImplementedError

    def item_collection(self, collection_id: str, **kwargs: Any) -> Any:
        raise NotImplementedError

    def all_collections(self, **kwargs: Any) -> Any:
        return {"collections": [self.get_collection(COLLECTION)], "links": []}

    def get_collection(self, collection_id: str, **kwargs: Any) -> Any:
        if collection_id != COLLECTION:
            raise NotFoundError(f"no collection {collection_id}")
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        known = {"type": "Collection", "stac_version": "1.0.0", "id": collection_id, "description": "of the tests"}
        return known | {"license": "other", "extent": extent, "links": []}


@contextmanager
def local_stac(folder: Path) -> Iterator[LocalStac]:
    """Serve a `LocalStac` on a free port for as long as the block lasts."""
    local = LocalStac(folder)
    paging = TokenPaginationExtension()
    api = StacApi(
        settings=ApiSettings(),
        client=_Items(local),
        extensions=[paging],
        search_post_request_model=create_post_request_model([paging]),
        middlewares=[],
    )
    api.app.mount("/files", StaticFiles(directory=folder))

    @api.app.get("/token/{collection}")
    def token(collection: str) -> dict[str, str]:
        return {"token": f"sig={collection}"}

    @api.app.middleware("http")
    async def answer(request: Request, proceed: Any) -> Response:
        local.requests.append(f"{request.method} {request.url.path}")
        for fault in local.faults:
            path, status, headers = fault
            if request.url.path.startswith(path):
                local.faults.remove(fault)
                return JSONResponse({"description": "as the test wants it"}, status, headers)
        response: Response = await proceed(request)
        return response

    server = uvicorn.Server(uvicorn.Config(api.app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    local.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield local
    finally:
        server.should_exit = True
        thread.join()
