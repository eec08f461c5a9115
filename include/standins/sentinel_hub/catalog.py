"""The Catalog API: search with filter, fields and paging."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from shapely.geometry import Polygon, box, shape

from include.standins.sentinel_hub.errors import ApiError, bad_payload
from include.standins.sentinel_hub.process import read_time
from include.standins.sentinel_hub.scenes import Product, Scenes

_COMPARISONS = {"<": lt, "<=": le, ">": gt, ">=": ge, "=": eq, "<>": ne}
_CLOUD = re.compile(r"\(*\s*eo:cloud_cover\s*(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)\s*\)*", re.IGNORECASE)
_EARLIEST, _LATEST = datetime(2015, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class _Search(BaseModel):
    """The parameters of a search; a description is the rule that an error states."""

    model_config = ConfigDict(strict=True)

    collections: list[str] = Field(min_length=1, max_length=1, description="collections must name one collection")
    datetime: str = Field(description="datetime is needed, an instant or A/B")
    bbox: list[float] | None = Field(None, description="the area is not valid: bbox must be a list of numbers")
    intersects: dict[str, Any] | None = Field(None, description="the area is not valid: intersects must be a geometry")
    ids: list[str] | None = Field(None, description="ids must be a list of names")
    filter: str | None = Field(None, description="filter must be text")
    language: Literal["cql2-text"] = Field(
        "cql2-text", alias="filter-lang", description="only filter-lang cql2-text is served by the stand-in"
    )
    crs: Any = Field(None, alias="filter-crs")
    fields: dict[str, list[str]] | None = Field(None, description="fields must hold the lists include and exclude")
    distinct: Literal["date"] | None = Field(None, description="distinct is served for date alone")
    limit: int = Field(10, ge=1, le=100, description="limit must be a number between 1 and 100")
    next: int = Field(0, ge=0, description="next must be a whole number")


def search(body: Any, scenes: Scenes, base_url: str) -> dict[str, Any]:
    """Return a page of the products that fulfil a search, the latest first.

    Raises:
        ApiError: 400: a parameter is unknown or malformed; 404: the collection is not served.
    """
    request = _read(body)
    [collection] = request.collections
    if collection not in scenes.collections:
        raise ApiError(404, f"Collection '{collection}' is not served here", "NOT_FOUND")
    matches: list[Any] = _matching(request, scenes)
    if request.distinct:
        matches = sorted({product.datetime.date().isoformat() for product in matches}, reverse=True)
    end = request.next + request.limit
    page = matches[request.next : end]
    if not request.distinct:
        fields = request.fields or {}
        included = ["id", "type", *fields["include"]] if fields.get("include") else []
        excluded = fields.get("exclude", [])
        page = [_with_fields(feature(product, collection, base_url), included, excluded) for product in page]
    context = {"limit": request.limit, "returned": len(page)} | ({"next": end} if end < len(matches) else {})
    return {"type": "FeatureCollection", "features": page, "links": [], "context": context}


def feature(product: Product, collection: str, base_url: str) -> dict[str, Any]:
    """Return a product as the catalog describes it (STAC 1.0)."""
    lons, lats = zip(*product.ring, strict=True)
    catalog = f"{base_url}/api/v1/catalog/1.0.0/collections/{collection}"
    properties: dict[str, Any] = {
        "datetime": product.datetime.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "platform": "sentinel-2",
        "instruments": ["msi"],
        "constellation": "sentinel-2",
        "gsd": 10,
        "proj:epsg": product.epsg,
        "proj:bbox": list(product.bounds),
        **product.properties,
    }
    cloud = {"cloud_unknown": True} if product.cloud is None else {"eo:cloud_cover": product.cloud}
    return {
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/eo/v1.0.0/schema.json",
            "https://stac-extensions.github.io/projection/v1.0.0/schema.json",
        ],
        "id": product.id,
        "type": "Feature",
        "geometry": {
            "type": "MultiPolygon",
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC::CRS84"}},
            "coordinates": [[[list(point) for point in product.ring]]],
        },
        "bbox": [min(lons), min(lats), max(lons), max(lats)],
        "properties": properties | cloud,
        "assets": {},
        "links": [
            {"href": f"{catalog}/items/{product.id}", "rel": "self", "type": "application/json"},
            {"href": catalog, "rel": "parent"},
        ],
    }


def _read(body: Any) -> _Search:
    if not isinstance(body, dict):
        raise bad_payload("Request body should be non-empty.")
    rules = {info.alias or name: info.description for name, info in _Search.model_fields.items()}
    unknown = sorted(body.keys() - rules.keys())
    if unknown:
        raise bad_payload(f"Unknown parameter: {', '.join(unknown)}")
    try:
        return _Search.model_validate(body)
    except ValidationError as error:
        raise bad_payload(str(rules[str(error.errors()[0]["loc"][0])])) from error


def _matching(request: _Search, scenes: Scenes) -> list[Product]:
    area, accepts = _area(request), _filter(request.filter)
    start, _, end = request.datetime.partition("/")
    products = scenes.products(read_time(start, _EARLIEST), read_time(end or start, _LATEST), area.bounds)
    matches = [
        product
        for product in products
        if accepts(product)
        and Polygon(product.ring).intersects(area)
        and (request.ids is None or product.id in request.ids)
    ]
    return sorted(matches, key=lambda product: (product.datetime, product.id), reverse=True)


def _area(request: _Search) -> Any:
    if (request.bbox is None) == (request.intersects is None):
        raise bad_payload("one of bbox and intersects is needed")
    try:
        area = box(*request.bbox) if request.bbox is not None else shape(request.intersects)
    except Exception as error:  # shapely raises errors of many classes on malformed input
        raise bad_payload(f"the area is not valid: {error}") from error
    if area.is_empty:
        raise bad_payload("the area is empty")
    return area


def _filter(text: str | None) -> Callable[[Product], bool]:
    """Return comparisons of eo:cloud_cover, joined by AND; a product whose cloud is unknown passes them."""
    comparisons = []
    for part in re.split(r"\s+AND\s+", text.strip(), flags=re.IGNORECASE) if text else ():
        match = _CLOUD.fullmatch(part.strip())
        if match is None:
            raise bad_payload(f"Invalid filter: '{part}'; served are comparisons of eo:cloud_cover, joined by AND")
        comparisons.append((_COMPARISONS[match[1]], float(match[2])))
    return lambda product: product.cloud is None or all(holds(product.cloud, value) for holds, value in comparisons)


def _with_fields(
    document: dict[str, Any], included: list[str], excluded: list[str], parent: str = ""
) -> dict[str, Any]:
    """Return what the included paths (`properties.datetime`; all, if there is none) but no excluded path names."""
    kept = {}
    for name, value in document.items():
        path = f"{parent}{name}"
        is_included = not included or any(f"{path}.".startswith(f"{field}.") for field in included)
        is_parent = isinstance(value, dict) and any(field.startswith(f"{path}.") for field in included)
        if path not in excluded and (is_included or is_parent):
            kept[name] = _with_fields(value, included, excluded, f"{path}.") if isinstance(value, dict) else value
    return kept
