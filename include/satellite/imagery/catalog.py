"""From the catalog's products to days: overlapping tiles and same-day products become one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry import shape

from include.core.errors import TransientError


@dataclass(frozen=True)
class Day:
    """What the catalog names for one day (UTC)."""

    date: date
    datetime: datetime
    product_ids: tuple[str, ...]
    tile_cloud: float | None
    synthetic: bool


def days(features: Iterable[dict[str, Any]], geometry: dict[str, Any], start: datetime, end: datetime) -> list[Day]:
    """Merge the products that show the area within a window, by day.

    Args:
        features: STAC features.
        geometry: The area, GeoJSON, WGS 84.
        start: First instant, inclusive.
        end: End, exclusive.

    Returns:
        One a day, ascending; its time is that of its first product, its cloud that of its clearest.

    Raises:
        TransientError: A feature lacks what the catalog promises.
    """
    merged: dict[date, Day] = {}
    for feature in features:
        try:
            day = _day(feature)
            apart = feature.get("geometry") is not None and not shape(feature["geometry"]).intersects(shape(geometry))
        except (KeyError, TypeError, ValueError, AttributeError, ShapelyError) as error:
            raise TransientError(f"the catalog names a product that cannot be understood: {error!r}") from error
        if apart or not start <= day.datetime < end:
            continue
        merged[day.date] = _merged(merged[day.date], day) if day.date in merged else day
    return [merged[each] for each in sorted(merged)]


def _day(feature: dict[str, Any]) -> Day:
    properties = feature["properties"]
    moment = datetime.fromisoformat(properties["datetime"]).astimezone(UTC)
    cloud = properties.get("eo:cloud_cover")
    return Day(
        date=moment.date(),
        datetime=moment,
        product_ids=(str(feature["id"]),),
        tile_cloud=None if cloud is None else float(cloud),
        synthetic=bool(properties.get("synthetic", False)),
    )


def _merged(one: Day, other: Day) -> Day:
    clouds = [cloud for cloud in (one.tile_cloud, other.tile_cloud) if cloud is not None]
    return replace(
        one,
        datetime=min(one.datetime, other.datetime),
        product_ids=tuple(sorted({*one.product_ids, *other.product_ids})),
        tile_cloud=min(clouds, default=None),
        synthetic=one.synthetic or other.synthetic,
    )
