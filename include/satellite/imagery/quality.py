"""How much of the area a scene shows: shares of its pixels by scene classification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.satellite.imagery.model import CLEAR, CLOUD

SHADOW = 3


@dataclass(frozen=True)
class Shares:
    """Shares of the area, percent."""

    clear: float
    cloud: float
    shadow: float
    nodata: float


def shares(scl: NDArray[np.uint8], data: NDArray[np.bool_], inside: NDArray[np.bool_]) -> Shares:
    """Judge a scene over the area; a pixel without data is neither clear nor cloud.

    Args:
        scl: Scene classification, (height, width).
        data: Where there is data, same shape.
        inside: Which pixels belong to the area, same shape.
    """
    classes, has_data = scl[inside], data[inside]
    return Shares(
        clear=_percent(np.isin(classes, CLEAR) & has_data),
        cloud=_percent(np.isin(classes, CLOUD) & has_data),
        shadow=_percent((classes == SHADOW) & has_data),
        nodata=_percent(~has_data),
    )


def _percent(mask: NDArray[np.bool_]) -> float:
    return round(100 * float(mask.mean()), 3)
