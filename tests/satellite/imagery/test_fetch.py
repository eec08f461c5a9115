"""Fetching: two requests at once, days within the window, and a limit of processing units that is not crossed."""

import time
from datetime import UTC, date, datetime
from threading import Thread

import numpy as np
import pytest

from include.core.errors import BadInputError
from include.satellite.imagery.area import area_geometry, make_grid, request_grids
from include.satellite.imagery.client import Hub, Rendered
from include.satellite.imagery.fetch import Meter, Order, connect, day_interval, estimate, fetch, two_at_once
from include.satellite.imagery.scenes import Scene, encode
from include.satellite.imagery.schemas import Catalog, Day, Grid, Scope
from include.satellite.imagery.stac import StacApi
from include.satellite.params import AreaParams
from include.satellite.sensors.sentinel2 import SENTINEL2

START, END = datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)


def grid(width, height):
    return Grid(crs="EPSG:32643", resolution=10, bounds=(0, 0, width * 10, height * 10), width=width, height=height)


@pytest.mark.parametrize(
    ("width", "height", "bands", "units"),
    [
        (512, 512, 3, 1.0),  # the definition
        (512, 512, 5, 5 / 3),
        (1024, 512, 3, 2.0),
        (1, 1, 3, 0.01),  # the least area factor
        (1, 1, 1, 0.005),  # the least that a request costs
        (951, 1110, 5, 6.711),
    ],
)
def test_the_documented_rules(width, height, bands, units):
    assert estimate([grid(width, height)], bands) == pytest.approx(units, rel=1e-3)


def test_the_default_area_costs_what_was_measured():
    geometry = area_geometry(AreaParams())
    full, preview = make_grid(geometry, 10), make_grid(geometry, 60)
    assert estimate((part for part, _ in request_grids(full)), 5) == pytest.approx(6.85, abs=0.01)
    assert estimate([preview], 1) == pytest.approx(0.04, abs=0.005)


def test_the_meter_stops_before_the_limit_is_crossed():
    meter = Meter(10, before=4)
    meter.reserve(3, "one")
    meter.settle(3, 3.5)
    meter.reserve(2.5, "two")
    with pytest.raises(BadInputError, match=r"max_processing_units: three .* 0\.10 .* after 10\.00, .* limit of 10"):
        meter.reserve(0.1, "three")
    meter.settle(2.5, 0)  # it failed: nothing was charged
    meter.reserve(0.1, "three")
    assert meter.spent == 3.5


def test_threads_do_not_cross_it_together():
    meter, refused = Meter(50), []

    def spend():
        for _ in range(50):
            try:
                meter.reserve(1, "a scene")
            except BadInputError:
                refused.append(1)
            else:
                meter.settle(1, 1)

    threads = [Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.spent == 50
    assert len(refused) == 150


class TestTwoAtOnce:
    """Two threads, results in order, nothing begun after a fault."""

    def test_the_results_keep_the_order(self):
        assert two_at_once(lambda n: (time.sleep(0.01 * (3 - n % 3)), n)[1], range(20)) == list(range(20))

    def test_the_first_fault_ends_it(self):
        begun = []

        def fail_at_three(number):
            begun.append(number)
            time.sleep(0.02)
            if number == 3:
                raise RuntimeError("three")

        with pytest.raises(RuntimeError, match="three"):
            two_at_once(fail_at_three, range(100))
        assert len(begun) <= 6


@pytest.mark.parametrize(
    ("day", "interval"),
    [
        (date(2025, 6, 10), ("2025-06-10T00:00:00", "2025-06-10T23:59:59")),
        (date(2025, 6, 1), ("2025-06-01T00:00:00", "2025-06-01T23:59:59")),
    ],
)
def test_a_day_is_asked_for_whole(day, interval):
    assert [each.isoformat()[:19] for each in day_interval(day, START, END)] == list(interval)


def test_the_windows_edges_cut_a_day():
    start, end = START.replace(hour=5), END.replace(day=1, hour=12)
    assert day_interval(start.date(), start, end)[0] == start
    assert day_interval(end.date(), start, end)[1] == end.replace(hour=11, minute=59, second=59)


def test_the_data_mask_is_free():
    with_mask = Order("script", ("SCL", "dataMask"), "uint8", grid(4, 3))
    assert with_mask.charged_bands == 1
    assert with_mask.units == estimate([grid(4, 3)], 1)


class Service:
    """A service that answers what it is told."""

    def __init__(self, content, units=None):
        self.answer = Rendered(content, units)

    def render(self, script, grid, start, end):
        return self.answer


ORDER = Order("script", ("B04",), "uint16", grid(4, 3))
DAY = Day(date=START.date(), datetime=START, product_ids=["a"], synthetic=True)


def test_an_order_to_a_service_that_charges_nothing_takes_no_units():
    assert Order(None, ("B04",), "uint16", grid(512, 512)).units == 0


def test_the_service_is_that_of_the_scope(api):
    scope = Scope(
        collection="sentinel-2-l2a", source="demo", grid=grid(4, 3), geometry={}, bands=["B04"], start=START, end=END
    )
    assert isinstance(connect(scope), Hub)
    catalog = Catalog(url="https://a.example", collection="c")
    assert isinstance(connect(scope.model_copy(update={"source": "stac", "catalog": catalog})), StacApi)


def test_an_answer_that_is_not_a_scene_is_a_reason_and_is_paid_for():
    meter = Meter(10)
    fetched = fetch(Service(b"", 0.5), meter, ORDER, DAY, (START, END), "downloading")
    assert (fetched.array, fetched.units, meter.spent) == (None, 0.5, 0.5)
    assert "empty" in fetched.reason


def test_a_service_that_does_not_state_its_charge_is_metered_by_the_estimate():
    layers = np.full((1, 3, 4), 7, np.uint16)
    content = encode(Scene(SENTINEL2, ["B04"], layers), ORDER.grid, {})
    meter = Meter(10)
    fetched = fetch(Service(content), meter, ORDER, DAY, (START, END), "downloading")
    assert (fetched.array == layers).all()
    assert fetched.units == meter.spent == ORDER.units
