"""Processing units: estimated before by the documented rules, metered by what the service says it charged.

One unit is 512 × 512 pixels of three bands, one sample, at most 16 bits
(https://docs.sentinel-hub.com/api/latest/api/overview/processing-unit/).
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from include.core.errors import BadInputError
from include.satellite.imagery.model import Grid

UNIT_PIXELS = 512 * 512
UNIT_BANDS = 3
LEAST_AREA_FACTOR = 0.01
LEAST_UNITS = 0.005


def estimate(parts: Iterable[Grid], bands: int) -> float:
    """Units that requests of at most 16 bits take.

    Args:
        parts: The grid of each request.
        bands: Input bands, without dataMask, which is free.
    """
    return sum(
        max(max(part.width * part.height / UNIT_PIXELS, LEAST_AREA_FACTOR) * bands / UNIT_BANDS, LEAST_UNITS)
        for part in parts
    )


class Meter:
    """Adds up what is spent, and stops before a limit is crossed; safe for threads.

    Args:
        limit: `max_processing_units`.
        before: Units that the run has spent, or set aside, before.
    """

    def __init__(self, limit: float, before: float = 0) -> None:
        self.limit, self.before, self.spent = limit, before, 0.0
        self._reserved, self._lock = 0.0, Lock()

    def reserve(self, units: float, purpose: str) -> None:
        """Set units aside for a request that is about to be sent.

        Raises:
            BadInputError: They would cross the limit.
        """
        with self._lock:
            so_far = self.before + self.spent + self._reserved
            if so_far + units > self.limit:
                raise BadInputError(
                    f"max_processing_units: {purpose} would take about {units:.2f} processing units after "
                    f"{so_far:.2f}, more than the limit of {self.limit:g}; nothing more was requested"
                )
            self._reserved += units

    def settle(self, reserved: float, spent: float) -> None:
        """Replace what was set aside by what was charged; nothing was if the request failed."""
        with self._lock:
            self._reserved -= reserved
            self.spent += spent
