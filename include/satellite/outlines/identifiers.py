"""Ids of features: unique, and the file's own where it has any."""

from __future__ import annotations

from collections import Counter
from typing import Any

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.satellite.outlines.outline import Layer, is_missing, named, warning


def ids_of(layer: Layer, id_field: str | None) -> tuple[list[str], list[Finding]]:
    """Return an id for each feature, unique, and the file's own where it has any; and what is wrong with its own."""
    if id_field is not None:
        fields = sorted({field for feature in layer.features for field in feature.properties})
        if id_field not in fields:
            raise BadInputError(
                f"{layer.name}: no feature has a property {id_field!r}; they have: {', '.join(fields) or 'none'}"
            )
        ids = [id_text(feature.properties.get(id_field)) for feature in layer.features]
        empty = [str(number) for number, id_ in enumerate(ids, 1) if not id_]
        if empty:
            raise BadInputError(f"{layer.name}: {id_field!r} is empty for: {named(empty)} (numbered from 1)")
        repeated = [id_ for id_, count in Counter(ids).items() if count > 1]
        if repeated:
            raise BadInputError(f"{layer.name}: {id_field!r} must be unique; it is repeated for: {named(repeated)}")
        return ids, []
    stated = [{key.lower(): value for key, value in feature.properties.items()}.get("id") for feature in layer.features]
    for values in (stated, [feature.id for feature in layer.features]):
        ids = [
            id_text(value) or str(number) * is_missing(feature.geometry)
            for number, (value, feature) in enumerate(zip(values, layer.features, strict=True), 1)
        ]
        if all(ids) and len(set(ids)) == len(ids):
            return ids, []
    has_some = any(value is not None for value in stated) or any(feature.id is not None for feature in layer.features)
    message = f"{layer.name}: ids are missing or occur twice, so features are numbered from 1 in the order of the file"
    numbers = [str(number) for number in range(1, len(layer.features) + 1)]
    return numbers, [warning(message)] if has_some else []


def id_text(value: Any) -> str:
    """Return an id as text: 12 for 12.0, which is how a column with empty cells holds whole numbers."""
    if value is None or value == "":
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
