"""Candidates: the catalog's products merged by day, which days are usable, and which are to be fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry import shape

from include.core.errors import TransientError
from include.satellite.imagery.schemas import Candidate, Day
from include.satellite.params import SelectionParams

CLOSENESS = 40.0
"""A date that touches a chosen one counts as this many percentage points cloudier, falling to none at the distance that
even spreading would leave. Twice the default cloud limit: a usable date in a lonely season goes before another clear
one of a bunch."""


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
    area = shape(geometry)
    products: dict[date, list[Day]] = {}
    for feature in features:
        try:
            product = _product(feature)
            apart = feature.get("geometry") is not None and not shape(feature["geometry"]).intersects(area)
        except (KeyError, TypeError, ValueError, AttributeError, ShapelyError) as error:
            raise TransientError(f"the catalog lists a product that cannot be understood: {error!r}") from error
        if not apart and start <= product.datetime < end:
            products.setdefault(product.date, []).append(product)
    return [_merged(products[day]) for day in sorted(products)]


def _product(feature: dict[str, Any]) -> Day:
    properties = feature["properties"]
    moment = datetime.fromisoformat(properties["datetime"]).astimezone(UTC)
    cloud = properties.get("eo:cloud_cover")
    return Day(
        date=moment.date(),
        datetime=moment,
        product_ids=[str(feature["id"])],
        tile_cloud=None if cloud is None else float(cloud),
        synthetic=bool(properties.get("synthetic", False)),
    )


def _merged(products: Sequence[Day]) -> Day:
    return Day(
        date=products[0].date,
        datetime=min(product.datetime for product in products),
        product_ids=sorted({name for product in products for name in product.product_ids}),
        tile_cloud=min((product.tile_cloud for product in products if product.tile_cloud is not None), default=None),
        synthetic=any(product.synthetic for product in products),
    )


def candidate_of(day: Day, clear: float, cloud: float, params: SelectionParams) -> Candidate:
    """Return a day as a candidate, usable unless the limits rule it out.

    Args:
        day: Of the catalog, or an acquisition of the store.
        clear: Clear share of the area, percent.
        cloud: Cloud share of the area, percent.
        params: The limits.
    """
    reason = params.rejection(clear, cloud)
    return Candidate(**day.fields_of(Day), clear=clear, cloud=cloud, usable=reason is None, reason=reason)


def choose(candidates: Iterable[Candidate], target: int, window: timedelta) -> tuple[list[date], list[date]]:
    """Rank the usable dates: repeatedly the least cloudy one, where closeness to those before it counts as cloud.

    Args:
        candidates: One a day, in any order; unusable ones are passed over.
        target: Dates wanted.
        window: Length of the window.

    Returns:
        The chosen dates, ascending, and the others, next best first.
    """
    rest = sorted((candidate for candidate in candidates if candidate.usable), key=lambda candidate: candidate.date)
    even = max(window / timedelta(days=1) / target, 1.0)
    penalty = dict.fromkeys((candidate.date for candidate in rest), 0.0)
    order: list[date] = []
    while rest:
        best = min(rest, key=lambda day: (day.cloud + penalty[day.date], -day.clear, day.date))
        rest.remove(best)
        order.append(best.date)
        for candidate in rest:
            gap = abs((candidate.date - best.date).days)
            penalty[candidate.date] = max(penalty[candidate.date], CLOSENESS * (1 - gap / even))
    return sorted(order[:target]), order[target:]
