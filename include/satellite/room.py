"""Whether an area has room for what is to be learnt from it: known before any of its imagery is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.satellite.params import AreaParams, CnnDataParams, LstmDataParams


class RoomParams(AreaParams, CnnDataParams, LstmDataParams):
    """The area, and the squares that are cut from it."""


def check_room(values: Mapping[str, Any]) -> None:
    """Refuse an area from which no training data can be cut, whatever its imagery shows.

    Args:
        values: The run's parameters by name.

    Raises:
        BadInputError: The area is unusable, a square does not fit, or training, tuning and validation cannot each have
            a block of their own.
    """
    from include.satellite.datasets.splits import plan_blocks
    from include.satellite.datasets.squares import Squares
    from include.satellite.imagery.area import area_geometry, make_grid

    params = RoomParams.model_validate({name: values[name] for name in RoomParams.model_fields})
    grid = make_grid(area_geometry(params), params.resolution)
    for size, stride in ((params.patch_size, params.stride), (params.location_size, params.location_size)):
        Squares.on(grid.height, grid.width, size, stride)
        plan_blocks(grid.height, grid.width, size, stride, params.seed)
