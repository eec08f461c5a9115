"""Processing units: the documented rules, and a limit that is not crossed."""

from threading import Thread

import pytest

from include.core.errors import BadInputError
from include.satellite.imagery.area import area_geometry, make_grid, tiles
from include.satellite.imagery.model import Grid
from include.satellite.imagery.units import Meter, estimate
from include.satellite.params import AreaParams


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
    full, look = make_grid(geometry, 10), make_grid(geometry, 60)
    assert estimate((part for part, _ in tiles(full)), 5) == pytest.approx(6.85, abs=0.01)
    assert estimate([look], 1) == pytest.approx(0.04, abs=0.005)


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
