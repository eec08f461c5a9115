"""Days and baselines in the names of files."""

from datetime import date

import pytest

from include.standins.sentinel_hub.scene_names import baseline_in, day_in, days_in

DAY = date(2024, 1, 3)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("SCL_20240103.tif", DAY),
        ("2024-01-03_scl.tif", DAY),
        ("T31UFS_20240103T105619_SCL_20m.tif", DAY),
        ("scl_of_2024_01_03_v2.tif", DAY),
        ("SCL_2024.01.03.tif", DAY),
        ("job12345678_20240103.tif", DAY),
        ("20240103_of_20240103.tif", DAY),
        ("S2A_MSIL2A_20240103T105619_N0510_R094_T31UES_20240801T153000.tif", DAY),
        ("S2A_OPER_PRD_MSIL1C_PDMC_20160110T200030_R051_V20160109T102412_20160109T102412.tif", date(2016, 1, 9)),
        ("SCL_20241303.tif", None),
        ("SCL_120240103.tif", None),
        ("SCL_03-01-2024.tif", None),
    ],
)
def test_the_day_is_found_in_the_name_however_it_is_written(name, day):
    assert day_in(name) == day


def test_a_name_with_the_day_of_processing_beside_that_of_sensing_is_refused():
    assert days_in("L2A_20240801_20240103.tif") == [date(2024, 8, 1), DAY]
    with pytest.raises(ValueError, match=r"several dates \(2024-08-01, 2024-01-03\).*index\.csv"):
        day_in("L2A_20240801_20240103.tif")


def test_the_baseline_is_that_of_the_products_name():
    names = ["S2A_MSIL2A_20240103T105619_N0400_R094_T31UES", "S2A_TL_A002891_T31UFS_N02.01", "S2_20240103_NDVI_N1"]
    assert [baseline_in(f"{name}.tif") for name in names] == [(4, 0), (2, 1), ()]
