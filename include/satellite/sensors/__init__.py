"""Sensors: a module below this package that holds a `Sensor` adds it; nothing else has to change."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from include.core.errors import BadInputError
from include.satellite.sensors.sensor import Sensor


def sensors() -> dict[str, Sensor]:
    """Return every described sensor by its id."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    values = [value for module in modules for value in vars(module).values()]
    return {value.id: value for value in values if isinstance(value, Sensor)}


def sensor_of(collection: str) -> Sensor:
    """Return the sensor whose imagery a collection holds.

    Args:
        collection: Id of the collection, as a manifest of imagery states it.

    Raises:
        BadInputError: No sensor has this collection.

    >>> sensor_of("sentinel-2-l2a").id
    'sentinel2'
    """
    by_collection = {name: sensor for sensor in sensors().values() for name in sensor.collections.values()}
    if collection not in by_collection:
        names = ", ".join(sorted(by_collection))
        raise BadInputError(f"collection: no sensor describes {collection!r}; the collections are: {names}")
    return by_collection[collection]
