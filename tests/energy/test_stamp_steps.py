"""Steps between the stamps of households, compared with what Python counts."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import duckdb
import numpy as np
import pytest

from include.energy.stamp_steps import measure_steps

START = datetime(2026, 1, 5)  # noqa: DTZ001 -- a wall clock


def counted(rows):
    """The counts by household, by means of Python alone; rows are file, household, minute and value."""
    expected = {}
    for name in sorted({row[1] for row in rows}):
        own = sorted((row for row in rows if row[1] == name), key=lambda row: row[2])
        times = sorted({row[2] for row in own})
        ties = [(a, b) for a, b in pairwise(own) if a[2] == b[2] and a[0] == b[0]]
        wrong = [b for a, b in ties if a[3] != b[3]]
        days = len({row[2] // 1440 for row in wrong})
        falls = any(b[3] < a[3] for a, b in pairwise(own))
        rises = sum(b[3] > a[3] for a, b in pairwise(own))
        steps = Counter(60 * (b - a) for a, b in pairwise(times))
        expected[name] = steps, len(wrong), days, len(ties) - len(wrong), falls, None if falls else rises
    return expected


def measured(rows):
    with duckdb.connect() as db:
        db.execute("CREATE TABLE records (file INTEGER, household_id VARCHAR, clock TIMESTAMP, power VARCHAR)")
        values = [(file, home, START + timedelta(minutes=minute), str(value)) for file, home, minute, value in rows]
        db.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", [*values, (0, None, START, "1"), (0, "x", None, "1")])
        found = measure_steps(db, energy=frozenset({0, 1}))
    return {
        name: (s.counts, s.conflicts, s.conflict_dates, s.repeats, s.falls > 0, None if s.falls else s.rises)
        for name, s in found.items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_households_with_the_same_and_with_other_stamps_are_counted_as_one_by_one(seed):
    random = np.random.default_rng(seed)
    shared = sorted(random.choice(3000, 60, replace=False).tolist())
    shared += shared[10:13] * (seed % 2)
    rows = []
    for number, name in enumerate("abcdef"):
        stamps = shared if number < 4 else sorted(random.choice(3000, 40).tolist())
        series = random.integers(0, 4, len(stamps)).tolist()
        if name in "be":  # a register
            series = [stamp + 1 for stamp in stamps]
        rows += [(int(number == 3), name, stamp, value) for stamp, value in zip(stamps, series, strict=True)]
    assert measured(rows) == counted(rows)


def test_a_fall_at_the_end_of_a_long_series_is_found():
    rows = [(0, "a", minute, minute) for minute in range(200)] + [(0, "a", 200, 0)]
    assert measured(rows)["a"][4]
    assert measured(rows[:-1])["a"][4:] == (False, 199)
