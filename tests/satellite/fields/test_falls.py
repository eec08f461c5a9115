"""Falls by field and pass: what confirms one, what explains it, and the rates on simulated seasons."""

import numpy as np
import pytest

from include.satellite.fields.comparison import Reference, by_crop, with_neighbours
from include.satellite.fields.falls import falls
from include.satellite.fields.panel import Panel, Season
from tools.bench_alerts import Score, add_score
from tools.simulated_seasons import simulate

PASSES = np.arange(0, 300, 5)


def panel(values, last=299, *, annual=True):
    values = np.asarray(values, dtype=float)
    count = len(values)
    return Panel(
        ids=[f"f{i}" for i in range(count)],
        crops=["wheat"],
        days=PASSES,
        values=values,
        weights=np.ones_like(values),
        covered=np.isfinite(values),
        crop=np.zeros(values.shape, dtype=int),
        places=np.column_stack([5 + np.arange(count) / 1000, np.full(count, 50.0)]),
        seasons=[Season(i, 0, 0, last, annual) for i in range(count)],
    )


def found(fields):
    groups = by_crop(fields)
    nothing = np.full(fields.values.shape, np.nan)
    own = Reference(np.zeros(fields.values.shape, dtype=int), nothing, nothing)
    return falls(fields, with_neighbours(fields, fields.values, groups), own, groups)


def flat(count=8, level=0.7):
    return np.full((count, len(PASSES)), level)


def test_the_second_pass_confirms_a_fall_and_one_alert_states_it():
    values = flat()
    values[3, 20:] -= 0.1
    [fall] = found(panel(values))
    assert (fall.field, fall.since, fall.day, fall.cut, fall.compared) == (3, PASSES[20], PASSES[21], False, 7)
    assert (fall.change, fall.expected) == (pytest.approx(-0.1), pytest.approx(0.7))


def test_passes_that_were_not_clear_delay_a_fall_and_do_not_hide_it():
    values = flat()
    values[3, 20:] -= 0.1
    values[3, 21:24] = np.nan
    assert [fall.day for fall in found(panel(values))] == [PASSES[24]]


@pytest.mark.parametrize(
    ("passes", "level", "fields"),
    [(slice(20, 21), 0.7, [3]), (slice(20, None), 0.7, range(8)), (slice(20, None), 0.3, [3])],
    ids=["one pass", "all neighbours", "bare soil"],
)
def test_what_is_no_alert(passes, level, fields):
    values = flat(level=level)
    values[list(fields), passes] -= 0.1
    assert found(panel(values)) == []


def test_a_large_sudden_fall_is_a_harvest_late_in_the_season_and_an_alert_early_in_it():
    values = flat()
    values[3, 45:] = 0.2
    values[5, 20:] = 0.2
    assert [(fall.field, fall.cut) for fall in found(panel(values))] == [(5, False), (3, True)]


def test_a_partial_fall_late_in_the_season_is_an_alert_and_one_to_bare_soil_a_harvest():
    values = flat()
    values[3, 48:] -= 0.25
    values[5, 48:] = 0.3
    assert [(fall.field, fall.cut) for fall in found(panel(values))] == [(3, False), (5, True)]


def test_a_field_that_has_grown_less_than_its_neighbours_has_not_fallen():
    values = flat(level=0.5)
    values[:, 20:] = 0.9
    values[3, 20:] = 0.8
    assert [fall for fall in found(panel(values)) if fall.since == PASSES[20]] == []
    values[3, :20] = 0.8
    values[3, 20:] = 0.7
    assert [fall.since for fall in found(panel(values)) if fall.field == 3] == [PASSES[20]]


def test_a_later_pass_changes_no_fall_before_it():
    random = np.random.default_rng(0)
    values = flat(12) + random.normal(0, 0.02, (12, len(PASSES))) + random.normal(0, 0.05, len(PASSES))
    values[3, 20:] -= 0.15
    values[7, 40:] -= 0.15
    falls_of = {}
    for last in (25, 45, 60):
        seen = values.copy()
        seen[:, last:] = np.nan
        falls_of[last] = {(fall.field, fall.day): fall for fall in found(panel(seen))}
    assert {field for field, _ in falls_of[60]} == {3, 7}
    assert {field for field, _ in falls_of[25]} == {3}
    assert falls_of[25].items() <= falls_of[45].items() <= falls_of[60].items()


def test_a_cut_while_neighbours_are_cut_is_a_harvest():
    values = flat(12)
    for field in range(4):
        values[field, 35 + field :] = 0.2
    alone = flat(12)
    alone[3, 30:] = 0.2
    assert [fall.cut for fall in found(panel(alone, last=499)) if fall.field == 3] == [False]
    assert [fall.cut for fall in found(panel(values, last=499)) if fall.field == 3] == [True]


def test_a_permanent_crop_may_be_cut_at_any_time():
    values = flat()
    values[3, 20:] = 0.4
    assert [fall.cut for fall in found(panel(values, annual=False))] == [True]


def test_false_alarms_and_found_falls_on_simulated_seasons():
    total = Score()
    add_score(simulate(10, fields=250, years=1, falls=0.15, depth=0.10), total)
    assert total.wrong.total() <= 0.10 * total.field_seasons
    assert total.imposed["crop"] >= 15
    assert total.found["crop"] >= 0.7 * total.imposed["crop"]
