"""Evidence of a fall: what the neighbours share, what fields of a crop differ by, and haze."""

import numpy as np
import pytest

from include.satellite.fields.comparison import Reference, by_crop, with_neighbours
from include.satellite.fields.deviations import Deviations, _log_ratio
from include.satellite.fields.panel import Panel, Season

PASSES = np.arange(0, 120, 5)


def last_evidence(values):
    """Return the evidence of the last pass of fields of one crop side by side."""
    count = len(values)
    panel = Panel(
        ids=[f"f{i}" for i in range(count)],
        crops=["wheat"],
        days=PASSES,
        values=values,
        weights=np.ones_like(values),
        covered=np.isfinite(values),
        crop=np.zeros(values.shape, dtype=int),
        places=np.column_stack([5 + np.arange(count) / 1000, np.full(count, 50.0)]),
        seasons=[Season(i, 0, 0, 200, True) for i in range(count)],
    )
    groups = by_crop(panel)
    own = Reference(np.zeros(values.shape, dtype=int), *(np.full(values.shape, np.nan) for _ in range(2)))
    deviations = Deviations(panel, with_neighbours(panel, values, groups), own, groups)
    previous = np.full(count, -1)
    for at in range(len(PASSES)):
        evidence = deviations.evidence(at, np.zeros(count, dtype=int), previous, np.zeros(count, dtype=bool))
        previous[np.isfinite(values[:, at])] = at
    return evidence


def fields(count=20, noise=0.01, seed=0):
    """Return fields at levels of their own, on scenes of different haze."""
    random = np.random.default_rng(seed)
    level, scene = random.normal(0.7, 0.05, (count, 1)), random.normal(0, 0.05, len(PASSES))
    return level + scene + random.normal(0, noise, (count, len(PASSES)))


def test_a_fall_of_one_field_shows_in_its_size_and_in_no_other_field():
    values = fields()
    values[3, -2:] -= 0.10
    evidence = last_evidence(values)
    assert [evidence.previous[3], evidence.latest[3]] == pytest.approx([-0.10, -0.10], abs=0.03)
    assert evidence.ratio[3] > 3
    assert evidence.z[3] < -4
    assert np.delete(evidence.ratio, 3).max() < 0
    assert evidence.compared.tolist() == [19] * 20


def test_what_all_fields_share_is_no_fall():
    values = fields()
    values[:, -2:] -= 0.2
    assert last_evidence(values).ratio.max() < 0


def test_a_fall_counts_less_where_fields_of_the_crop_differ_on_those_passes():
    calm = fields()
    calm[3, -2:] -= 0.10
    ripening = calm.copy()
    others = np.delete(np.arange(20), 3)
    ripening[others, -2:] += np.linspace(-0.15, 0.15, 19)[:, None]
    assert last_evidence(ripening).ratio[3] < last_evidence(calm).ratio[3] - 2


def test_too_few_neighbours_or_passes_give_no_evidence():
    assert np.isnan(last_evidence(fields(5)).ratio).all()
    values = fields()
    values[3, :-3] = np.nan
    evidence = last_evidence(values)
    assert np.isnan(evidence.ratio[3])
    assert np.isfinite(np.delete(evidence.ratio, 3)).all()


def test_two_passes_are_evidence_and_one_may_be_haze():
    def ratio(previous, latest):
        return float(_log_ratio(*np.array([[previous], [latest], [0.02**2], [0.5 * 0.02**2], [0.02**2]]))[0])

    assert ratio(-0.10, -0.10) > 1
    assert ratio(-0.30, -0.30) > 1
    assert ratio(0.0, 0.0) < -2
    assert ratio(-0.2, 0.0) < 0
    assert ratio(0.0, -0.2) < 0
