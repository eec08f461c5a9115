"""Candidates: the catalog's products merged by day, which days are usable, and which are to be fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry import shape

from include.core.errors import TransientError
from include.satellite.imagery.schemas import CERTAINTY, Candidate, Day, Shares
from include.satellite.params import SelectionParams

VERSION_PROPERTIES = ("version", "processing:version", "s2:processing_baseline", "s2:product_uri")
"""STAC properties that change when a product is processed again under the same id."""
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
        versions=[str(properties[name]) for name in VERSION_PROPERTIES if properties.get(name)],
        classes=properties.get("scene_classes", "scl"),
        mask=properties.get("mask"),
        unreadable=properties.get("unreadable"),
        radiometry=properties.get("radiometry"),
    )


def _merged(products: Sequence[Day]) -> Day:
    return Day(
        date=products[0].date,
        datetime=min(product.datetime for product in products),
        product_ids=sorted({name for product in products for name in product.product_ids}),
        tile_cloud=min((product.tile_cloud for product in products if product.tile_cloud is not None), default=None),
        synthetic=any(product.synthetic for product in products),
        versions=sorted({version for product in products for version in product.versions}),
        classes=max((product.classes for product in products), key=CERTAINTY.index),
        mask=_joined(product.mask for product in products),
        unreadable=_joined(product.unreadable for product in products),
        radiometry="; ".join(sorted({product.radiometry for product in products if product.radiometry})) or None,
    )


def _joined(texts: Iterable[str | None]) -> str | None:
    return "; ".join(dict.fromkeys(filter(None, texts))) or None


def candidate_of(day: Day, shares: Shares, params: SelectionParams) -> Candidate:
    """Return a day as a candidate, usable unless the limits rule it out.

    Args:
        day: Of the catalog, or an acquisition of the store.
        shares: Of the area, as its classification shows them.
        params: The limits.
    """
    known = day.over_area(shares)
    reason = params.rejection(known.clear, known.cloud)
    return Candidate(**day.fields_of(Day), clear=known.clear, cloud=known.cloud, usable=reason is None, reason=reason)


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


def classification_messages(days: Sequence[Day]) -> list[str]:
    """Return what is derived of the scene classifications of some days, and on how many the cloud is unknown."""
    derived, masked = ([day for day in days if day.classes == source] for source in ("derived", "mask"))
    unknown = sum(day.cloud_unknown for day in days)
    messages = []
    if derived:
        indexed = f"; it is that of the index on {len(derived) - unknown} dates" if unknown < len(derived) else ""
        messages.append(
            f"no scene classification on {len(derived)} of {len(days)} dates: their classes are derived from NDVI and "
            f"NDWI, which know no cloud{indexed}"
        )
    if masked:
        messages.append(
            f"cloud from masks on {len(masked)} of {len(days)} dates; clear pixels are classified by NDVI and NDWI"
        )
    if unknown:
        messages.append(
            f"cloud unknown on {unknown} of {len(days)} dates: neither a classification nor an index has it"
        )
    return messages
