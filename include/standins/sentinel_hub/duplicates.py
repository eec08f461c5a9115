"""Several products of one place and time in a folder: the newest baseline counts; versions that differ are refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from include.standins.sentinel_hub.scene_names import baseline_in
from include.standins.sentinel_hub.scenes import Box, Product

SAME_PLACE = 0.9
"""Share of a product's rectangle that another one covers, from which on both show one place: tiles overlap by less."""
_PIXELS = 256


def one_of_each_place(products: Sequence[Product]) -> list[Product]:
    """Return the products without those of which there is a newer one; of versions that differ, neither can be read.

    The two halves of a tile, at whose seam a data strip ends, do not differ where both have data, and both stay.

    Args:
        products: Of a folder; `source` has `name`, `paths` and `places`.
    """
    kept = list(products)
    for one, other in itertools.combinations(products, 2):
        if one.datetime != other.datetime or "unreadable" in one.properties or "unreadable" in other.properties:
            continue
        if _covered(one.bounds, other.bounds) < SAME_PLACE or one.epsg != other.epsg:
            continue
        older, newer = sorted((one, other), key=lambda product: baseline_in(product.source.name))
        if baseline_in(older.source.name) != baseline_in(newer.source.name):
            kept = [product for product in kept if product is not older]
        elif _differ(one, other):
            reason = (
                f"{one.source.name} and {other.source.name}: are two versions of one scene, and nothing says which is "
                "newer; keep one"
            )
            kept = [
                replace(product, properties=product.properties | {"unreadable": reason})
                if product is one or product is other
                else product
                for product in kept
            ]
    return kept


def _covered(one: Box, other: Box) -> float:
    """Return the share of the larger rectangle that both cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(width, 0) * max(height, 0) / max(areas)


def _differ(one: Product, other: Product) -> bool:
    """Return whether two products of one place differ where both have data, seen from afar."""
    from rasterio.errors import RasterioError

    try:
        pairs = [
            (_seen(place), _seen(other.source.places[band]))
            for band, place in one.source.places.items()
            if band in other.source.places
        ]
    except RasterioError:
        return True
    return any(first.shape != second.shape or bool(np.ma.any(first != second)) for first, second in pairs)


def _seen(place: tuple[Path, int]) -> np.ma.MaskedArray[Any, Any]:
    import rasterio

    path, number = place
    with rasterio.open(path) as file:
        shape = tuple(min(side, _PIXELS) for side in file.shape)
        return np.ma.masked_equal(file.read(number, out_shape=shape), 0 if file.nodata is None else file.nodata)
