"""Reading the simulated world in tests."""

from datetime import UTC, date, datetime, timedelta

from include.standins.sentinel_hub.scenes import Grid
from tests.standins.sentinel_hub.api import LUDHIANA

BANDS = ("B02", "B03", "B04", "B08", "SCL", "REFERENCE")
CLEAR, CLOUD = (4, 5, 6, 7), (8, 9, 10)
SUMMER = date(2024, 7, 28)
WIDE = Grid(32643, (576_000, 3_416_000, 586_000, 3_426_000), 250, 250)
"""10 × 10 km, a pixel every 40 m."""


def read(scenes, grid, day, bands=BANDS, product=None):
    if product is None:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        product = scenes.products(start, start + timedelta(days=1), LUDHIANA)[0]
    return scenes.read(product, grid, bands, "NEAREST").values


def passes(scenes, year, grid_box=LUDHIANA):
    products = scenes.products(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC), grid_box)
    return {product.datetime.date(): product for product in products}
