"""The Catalog API: search with filter, fields and paging."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from include.standins.sentinel_hub.errors import ApiError
from include.standins.sentinel_hub.request import read_time
from include.standins.sentinel_hub.scenes import Product, Scenes

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
}
_CLOUD = re.compile(r"\(*\s*eo:cloud_cover\s*(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)\s*\)*", re.IGNORECASE)
_KNOWN = {
    "collections",
    "datetime",
    "bbox",
    "intersects",
    "filter",
    "filter-lang",
    "filter-crs",
    "fields",
    "distinct",
    "limit",
    "next",
    "ids",
}
_EARLIEST, _LATEST = datetime(2015, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def search(body: Any, scenes: Scenes, base_url: str) -> dict[str, Any]:
    """A page of the products that fulfil a search, the latest first.

    Raises:
        ApiError: 400: a parameter is unknown or malformed.
    """
    if not isinstance(body, dict):
        raise _wrong("Request body should be non-empty.")
    unknown = sorted(body.keys() - _KNOWN)
    if unknown:
        raise _wrong(f"Unknown parameter: {', '.join(unknown)}")
    collection, limit, first = _collection(body, scenes), body.get("limit", 10), body.get("next", 0)
    if not isinstance(limit, int) or not 1 <= limit <= 100:
        raise _wrong("limit must be a number between 1 and 100")
    if not isinstance(first, int) or first < 0:
        raise _wrong("next must be a whole number")
    found: list[Any] = _matching(body, scenes)
    if "distinct" in body:
        found = _distinct(body["distinct"], found)
    page = found[first : first + limit]
    if "distinct" not in body:
        page = [_with_fields(feature(product, collection, base_url), body.get("fields") or {}) for product in page]
    context: dict[str, Any] = {"limit": limit, "returned": len(page)}
    if first + limit < len(found):
        context["next"] = first + limit
    return {"type": "FeatureCollection", "features": page, "links": [], "context": context}


def feature(product: Product, collection: str, base_url: str) -> dict[str, Any]:
    """A product as the catalog describes it (STAC 1.0)."""
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
    if product.cloud is None:
        properties["cloud_unknown"] = True
    else:
        properties["eo:cloud_cover"] = product.cloud
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
        "properties": properties,
        "assets": {},
        "links": [
            {"href": f"{catalog}/items/{product.id}", "rel": "self", "type": "application/json"},
            {"href": catalog, "rel": "parent"},
        ],
    }


def _matching(body: dict[str, Any], scenes: Scenes) -> list[Product]:
    from shapely.geometry import Polygon

    area, accepts = _area(body), _filter(body)
    start, end = _interval(body.get("datetime"))
    found = [
        product
        for product in scenes.products(start, end, area.bounds)
        if accepts(product) and Polygon(product.ring).intersects(area)
    ]
    if "ids" in body:
        found = [product for product in found if product.id in body["ids"]]
    return sorted(found, key=lambda product: (product.datetime, product.id), reverse=True)


def _area(body: dict[str, Any]) -> Any:
    from shapely.geometry import box, shape

    if ("bbox" in body) == ("intersects" in body):
        raise _wrong("one of bbox and intersects is needed")
    try:
        area = box(*body["bbox"]) if "bbox" in body else shape(body["intersects"])
    except Exception as error:  # shapely raises many kinds on malformed input
        raise _wrong(f"the area is not valid: {error}") from error
    if area.is_empty:
        raise _wrong("the area is empty")
    return area


def _interval(text: Any) -> tuple[datetime, datetime]:
    if not isinstance(text, str):
        raise _wrong("datetime is needed, an instant or A/B")
    start, _, end = text.partition("/")
    try:
        return read_time(start, _EARLIEST), read_time(end or start, _LATEST)
    except ApiError as error:
        raise _wrong(error.message) from error


def _collection(body: dict[str, Any], scenes: Scenes) -> str:
    collections = body.get("collections")
    if not isinstance(collections, list) or len(collections) != 1:
        raise _wrong("collections must name one collection")
    if collections[0] not in scenes.collections:
        raise ApiError(404, f"Collection '{collections[0]}' is not served here", "NOT_FOUND")
    return str(collections[0])


def _filter(body: dict[str, Any]) -> Callable[[Product], bool]:
    """Comparisons of eo:cloud_cover, joined by AND; a product whose cloud is unknown passes them."""
    text = body.get("filter")
    if text is None:
        return lambda product: True
    if body.get("filter-lang", "cql2-text") != "cql2-text" or not isinstance(text, str):
        raise _wrong("only filter-lang cql2-text is served by the stand-in")
    comparisons = []
    for part in re.split(r"\s+AND\s+", text.strip(), flags=re.IGNORECASE):
        match = _CLOUD.fullmatch(part.strip())
        if match is None:
            raise _wrong(f"Invalid filter: '{part}'; served are comparisons of eo:cloud_cover, joined by AND")
        comparisons.append((_COMPARISONS[match[1]], float(match[2])))
    return lambda product: product.cloud is None or all(holds(product.cloud, value) for holds, value in comparisons)


def _distinct(name: Any, found: list[Product]) -> list[Any]:
    if name != "date":
        raise _wrong("distinct is served for date alone")
    return sorted({product.datetime.date().isoformat() for product in found}, reverse=True)


def _with_fields(one: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The feature with the included fields (all, if none is named) without the excluded ones."""
    included = fields.get("include") or []
    kept: dict[str, Any] = {} if included else one
    for path in ("id", "type", *included) if included else ():
        _copy(one, kept, path.split("."))
    for path in fields.get("exclude") or []:
        *parents, last = path.split(".")
        part: Any = kept
        for name in parents:
            part = part.get(name, {})
        part.pop(last, None)
    return kept


def _copy(source: dict[str, Any], target: dict[str, Any], path: list[str]) -> None:
    name, *rest = path
    if name not in source:
        return
    if not rest:
        target[name] = source[name]
    elif isinstance(source[name], dict):
        _copy(source[name], target.setdefault(name, {}), rest)


def _wrong(message: str) -> ApiError:
    return ApiError(400, message, "BAD_REQUEST")
