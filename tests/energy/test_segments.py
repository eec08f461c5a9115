from datetime import date

from include.energy.db import connect
from include.energy.figures import usage
from include.energy.schemas import ANALYSIS
from include.energy.segments import KWH, Segment, attribute
from include.energy.timeline import EPOCH
from tests.energy.analysis import MONDAY, analyzed, series

START = int((MONDAY - EPOCH).total_seconds())
MONTH = date(2026, 1, 1)


def test_energy_is_split_in_proportion_to_time_and_weighted(files):
    analyzed(files, [*series([2.0, 4.0]), *series([-1.0, 1.0], home="B")], allow_export=True)
    parts = [
        Segment(START, START + 600, (MONTH, 0), 5),
        Segment(START + 600, START + 2700, (MONTH, 1), 7),
        Segment(START + 2700, START + 2700, (MONTH, 2)),
    ]
    with connect(files) as db:
        usage(db, files, ANALYSIS.read(files), None, 15)
        energy = attribute(db, parts)
        assert attribute(db, parts) == energy, "it can be asked again"
    first = 2 * KWH // 6
    second = 2 * KWH * 1200 // 3600 + 4 * KWH * 900 // 3600
    assert energy["A"] == {(MONTH, 0): (first, 0, 5 * first), (MONTH, 1): (second, 0, 7 * second)}
    assert energy["B"][MONTH, 0] == (0, KWH // 6, 0)
    assert energy["B"][MONTH, 1] == (KWH // 4, KWH // 3, 7 * KWH // 4)
