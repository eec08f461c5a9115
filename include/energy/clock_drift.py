"""Clocks of meters that drift against the grid of their interval, or jump.

A meter whose clock runs fast or slow stamps its quarter-hours 00:00:03, 00:15:05, 00:30:07. Each of these readings
counts for the interval whose start is nearest (for its end, where stamps mark ends). That is possible as long as the
clock is off by less than half an interval; a file whose clock is off by more is refused, for then it is open which
readings are missing. Series without a trend are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from include.core.errors import BadInputError
from include.core.outcome import Finding

if TYPE_CHECKING:
    import duckdb
    import numpy as np

DAY, MINUTE, ZONES = 86400, 60, 900
"""Seconds; offsets of zones are multiples of the last one."""
NEAR = 0.01
"""Part of the interval by which a step may differ from it."""
SHARE = 0.9
READINGS, RUN, MOVES = 24, 8, 3
"""Least readings of a series that is judged, and of a stretch with an offset of its own; least moves of a drift."""


class Drift(NamedTuple):
    """How a series of stamps moves against the grid of its interval.

    Args:
        seconds: The interval.
        grid: The stamps on the grid, seconds since 1970.
        drifts: They move steadily; else they only jump.
        jumps: Positions of the first stamps after a jump.
    """

    seconds: int
    grid: np.ndarray
    drifts: bool
    jumps: np.ndarray


def correct_clocks(connection: duckdb.DuckDBPyConnection, where: str) -> Iterator[Finding]:
    """Put stamps that drift or jump against the grid of their interval onto it, in `records`; yields what was done.

    Args:
        connection: Holds `records`: `household_id` and `clock` (TIMESTAMP).
        where: What errors call the files.

    Raises:
        BadInputError: A clock is off by half an interval or more.
    """
    import numpy as np

    known = "household_id IS NOT NULL AND clock IS NOT NULL"
    odd = f"SELECT DISTINCT household_id FROM records WHERE {known} AND epoch(clock) % {MINUTE} <> 0"
    households = [household for (household,) in connection.execute(f"{odd} ORDER BY 1").fetchall()]
    for household in households:
        query = f"SELECT DISTINCT epoch(clock) AS shown FROM records WHERE {known} AND household_id = ? ORDER BY shown"
        clocks = np.asarray(connection.execute(query, [household]).fetchnumpy()["shown"])
        drift = find_drift(clocks)
        if drift is None:
            continue
        _require_known_slots(clocks, drift, household, where)
        connection.execute(
            "UPDATE records SET clock = make_timestamp((grid * 1000000)::BIGINT) FROM "
            "(SELECT unnest(?::DOUBLE[]) AS shown, unnest(?::DOUBLE[]) AS grid) WHERE household_id = ? AND "
            "epoch(clock) = shown",
            [clocks.tolist(), drift.grid.tolist(), household],
        )
        yield from _findings(clocks, drift, household)


def find_drift(clocks: np.ndarray) -> Drift | None:
    """Return how stamps move against the grid of their interval; None where they do not, or have no interval.

    Args:
        clocks: Distinct stamps in order, seconds since 1970.
    """
    import numpy as np

    if len(clocks) < READINGS:
        return None
    steps = np.diff(clocks)
    usual = float(np.median(steps))
    seconds = min((n for n in range(MINUTE, DAY + 1, MINUTE) if DAY % n == 0), key=lambda n: abs(n - usual))
    if abs(usual - seconds) > NEAR * seconds:
        return None
    times = np.maximum(np.round(steps / seconds), 1)
    off = steps - times * seconds
    near = np.abs(off) <= np.maximum(NEAR * seconds * times, 2)
    phases = range(0, seconds, ZONES) if seconds > ZONES else (0,)
    phase = min(phases, key=lambda p: abs((clocks[0] - p + seconds / 2) % seconds - seconds / 2))
    grid = np.round((clocks - phase) / seconds) * seconds + phase
    moving = off[near & (off != 0)]
    steady = max((moving > 0).sum(), (moving < 0).sum()) >= SHARE * len(moving)
    if near.mean() >= SHARE and len(moving) >= MOVES and steady:
        return Drift(seconds, grid, drifts=True, jumps=np.flatnonzero(~near) + 1)
    offsets = clocks - grid
    begins = np.flatnonzero(np.diff(offsets)) + 1
    lengths = np.diff([*begins, len(clocks)])
    jumps = begins[(lengths >= RUN) & (np.diff(offsets)[begins - 1] % ZONES != 0)]
    is_regular = (off == 0).mean() >= SHARE and len(begins) == len(jumps) and len(jumps) > 0
    return Drift(seconds, grid, drifts=False, jumps=jumps) if is_regular else None


def _require_known_slots(clocks: np.ndarray, drift: Drift, household: str, where: str) -> None:
    """Refuse a clock that is off by half an interval or more: neighbours would share an interval, or leave one out."""
    import numpy as np

    passed = np.round(np.diff(drift.grid) / drift.seconds)
    lost = np.flatnonzero(passed != np.maximum(np.round(np.diff(clocks) / drift.seconds), 1))
    if len(lost):
        raise BadInputError(
            f"{where}: household {household}: its clock drifts against the grid of {drift.seconds} s, and is off by "
            f"half an interval at {_shown(clocks[lost[0] + 1])}, so it is open which interval its readings belong to; "
            "correct the stamps, or run the time before that alone"
        )


def _findings(clocks: np.ndarray, drift: Drift, household: str) -> Iterator[Finding]:
    """Yield how the clock of a household moves."""
    offsets = clocks - drift.grid
    if drift.drifts:
        days = (clocks[-1] - clocks[0]) / DAY
        rate = (sum(offsets[1:] - offsets[:-1]) - sum(_sizes(offsets, drift))) / days
        message = (
            f"Household {household}: its clock drifts by {rate:+.3g} s a day against the grid of {drift.seconds} s (it "
            f"is off by {offsets.min():+g} to {offsets.max():+g} s); each reading counts for the interval that begins "
            "or ends nearest to its stamp."
        )
        yield Finding(severity="warning", message=message)
    if len(drift.jumps):
        first = drift.jumps[0]
        message = (
            f"Household {household}: its clock jumped {len(drift.jumps):,} time{'s' * (len(drift.jumps) != 1)} against "
            f"the grid of {drift.seconds} s (the first: at {_shown(clocks[first])}, by {_sizes(offsets, drift)[0]:+g} "
            "s); each reading counts for the interval that begins or ends nearest to its stamp."
        )
        yield Finding(severity="warning", message=message)


def _sizes(offsets: np.ndarray, drift: Drift) -> list[float]:
    """Return by how much the clock jumped, each time."""
    return [float(offsets[position] - offsets[position - 1]) for position in drift.jumps]


def _shown(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
