from collections import Counter

import pytest

from include.energy.audit.samples import draw, salts, take


@pytest.mark.parametrize(("population", "drawn"), [(0, 0), (3, 3), (5, 5), (20, 5), (100, 5), (101, 6), (1000, 50)])
def test_five_percent_are_drawn_at_least_five(population, drawn):
    sample = draw(range(population))
    assert len(sample) == len(set(sample)) == drawn
    assert sample == sorted(sample)


def test_an_audit_draws_all():
    assert draw("abcdefgh", audit=True) == list("abcdefgh")


def test_every_member_is_drawn_sooner_or_later():
    counts = Counter(member for _ in range(400) for member in take(range(10), 3))
    assert min(counts.values()) > 60
    assert len(counts) == 10


def test_salts_differ_from_call_to_call():
    assert len({*salts(50), *salts(50)}) == 100
