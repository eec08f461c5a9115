"""Candidates: products merged by day, usable dates, and those that are chosen: the least cloudy, spread."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.errors import TransientError
from include.satellite.imagery.candidates import candidate_of, choose, classification_messages, days
from include.satellite.imagery.schemas import Candidate, Shares
from include.satellite.params import SelectionParams

YEAR = timedelta(days=365)
FIRST = date(2025, 1, 1)


def candidate(day, cloud=0.0, *, usable=True, clear=None):
    when = FIRST + timedelta(days=day)
    return Candidate(
        date=when,
        datetime=datetime(when.year, when.month, when.day, tzinfo=UTC),
        product_ids=[str(day)],
        tile_cloud=cloud,
        synthetic=False,
        clear=100 - cloud if clear is None else clear,
        cloud=cloud,
        usable=usable,
    )


def offsets(dates):
    return [(each - FIRST).days for each in dates]


def test_equally_clear_dates_are_spread_evenly():
    every_five_days = [candidate(day) for day in range(0, 365, 5)]
    chosen, _ = choose(every_five_days, 12, YEAR)
    gaps = [after - before for before, after in zip(offsets(chosen), offsets(chosen)[1:], strict=False)]
    assert len(chosen) == 12
    assert min(gaps) >= 15
    assert max(gaps) <= 45


def test_a_bunch_of_clear_dates_does_not_push_out_a_usable_one_of_a_lonely_season():
    bunch = [candidate(day, 0.5) for day in range(0, 60, 3)]
    lonely = [candidate(200, 18.0), candidate(300, 15.0)]
    chosen, _ = choose([*bunch, *lonely], 8, YEAR)
    assert {200, 300} <= set(offsets(chosen))


def test_among_neighbours_the_least_cloudy_is_taken():
    pairs = [candidate(day, 5.0) for day in range(0, 360, 40)] + [candidate(day + 2, 1.0) for day in range(0, 360, 40)]
    chosen, reserves = choose(pairs, 9, YEAR)
    assert offsets(chosen) == [day + 2 for day in range(0, 360, 40)]
    assert sorted(offsets(reserves)) == list(range(0, 360, 40))


def test_fewer_usable_dates_than_wanted_are_all_taken():
    chosen, reserves = choose([candidate(1), candidate(9), candidate(50, usable=False)], 20, YEAR)
    assert (offsets(chosen), reserves) == ([1, 9], [])


@given(
    st.lists(st.tuples(st.integers(0, 364), st.floats(0, 20), st.booleans()), unique_by=lambda each: each[0]),
    st.integers(1, 40),
    st.randoms(),
)
def test_every_usable_date_is_chosen_or_in_reserve_once_whatever_the_order(drawn, target, random):
    candidates = [candidate(day, cloud, usable=usable) for day, cloud, usable in drawn]
    chosen, reserves = choose(candidates, target, YEAR)
    usable = [each.date for each in candidates if each.usable]
    assert sorted([*chosen, *reserves]) == sorted(usable)
    assert len(chosen) == min(target, len(usable))
    assert chosen == sorted(chosen)
    random.shuffle(candidates)
    assert choose(candidates, target, YEAR) == (chosen, reserves)
    if usable:
        best = min((each for each in candidates if each.usable), key=lambda each: each.cloud)
        assert any(each.date in chosen and each.cloud == best.cloud for each in candidates)


def test_ten_years_are_ranked_in_no_time():
    many = [candidate(day, (day * 7919) % 20) for day in range(0, 3650, 5)]
    started = datetime.now(UTC)
    chosen, reserves = choose(many, 400, timedelta(days=3650))
    assert len(chosen) + len(reserves) == len(many)
    assert datetime.now(UTC) - started < timedelta(seconds=10)


AREA = {"type": "Polygon", "coordinates": [[[75, 30], [76, 30], [76, 31], [75, 31], [75, 30]]]}
WINDOW = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC))


def product(name, moment, cloud=10.0, **other):
    return {"id": name, "properties": {"datetime": moment, "eo:cloud_cover": cloud}, "geometry": AREA} | other


def test_products_of_a_day_are_merged_with_the_first_time_and_the_least_cloud():
    [day] = days([product("b", "2025-01-05T05:40:10Z", 30), product("a", "2025-01-05T05:40:00Z", 7)], AREA, *WINDOW)
    assert (list(day.product_ids), day.tile_cloud) == (["a", "b"], 7)
    assert day.datetime == datetime(2025, 1, 5, 5, 40, tzinfo=UTC)


def test_products_beside_the_area_or_the_window_are_passed_over():
    beside = {"type": "Point", "coordinates": [10, 10]}
    features = [
        product("beside", "2025-01-05T05:40:00Z", geometry=beside),
        product("late", "2025-02-01T00:00:00Z"),
        product("first", "2025-01-01T00:00:00Z"),
    ]
    assert [list(day.product_ids) for day in days(features, AREA, *WINDOW)] == [["first"]]


def test_a_product_without_a_time_is_a_fault_of_the_catalog():
    with pytest.raises(TransientError, match="lists a product that cannot be understood"):
        days([{"id": "a", "properties": {}}], AREA, *WINDOW)


def test_a_day_is_a_usable_candidate_unless_the_limits_rule_it_out():
    [day] = days([product("a", "2025-01-05T05:40:00Z", 7, properties={"datetime": "2025-01-05", "synthetic": True})],
                 AREA, *WINDOW)  # fmt: skip
    usable = candidate_of(day, Shares(clear=90, cloud=5), SelectionParams())
    assert (usable.usable, usable.clear, usable.cloud, usable.tile_cloud, usable.synthetic) == (True, 90, 5, None, True)
    cloudy = candidate_of(day, Shares(clear=10, cloud=90), SelectionParams())
    assert not cloudy.usable
    assert cloudy.reason == SelectionParams().rejection(10, 90)


def test_a_day_is_as_certain_as_the_least_certain_of_its_products():
    sources = ({"scene_classes": "scl"}, {"scene_classes": "derived", "version": "b", "mask": "m.tif"})
    products = [
        product(name, "2025-01-05T05:40:00Z", properties={"datetime": "2025-01-05", **source})
        for name, source in zip("ab", sources, strict=True)
    ]
    [day] = days(products, AREA, *WINDOW)
    assert (day.classes, day.versions, day.mask, day.cloud_unknown) == ("derived", ["b"], "m.tif", True)
    assert classification_messages([day]) == [
        "no scene classification on 1 of 1 dates: their classes are derived from NDVI and NDWI, which know no cloud",
        "cloud unknown on 1 of 1 dates: neither a classification nor an index has it",
    ]


def test_the_cloud_of_the_tile_counts_only_where_the_classes_know_none():
    [day] = days([product("a", "2025-01-05T05:40:00Z", 60)], AREA, *WINDOW)
    shares = Shares(clear=90, nodata=10)
    assert day.over_area(shares) == shares
    derived = day.model_copy(update={"classes": "derived"})
    assert derived.over_area(shares) == Shares(clear=30, cloud=60, nodata=10)
