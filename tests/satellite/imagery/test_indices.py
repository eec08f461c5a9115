"""Indices: their formulas, where they are undefined, their ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from include.satellite.imagery.indices import (
    INDICES,
    LIMITS,
    TOLERANCE,
    VANISHING,
    clear_mask,
    evi,
    in_range,
    ndvi,
    ndwi,
    savi,
    valid_mask,
)

REFLECTANCE = st.floats(0, 1.6, allow_subnormal=False)
DN = arrays(np.uint16, (30, 4), elements=st.integers(0, 16_000))
SCL = arrays(np.uint8, (30,), elements=st.integers(0, 11))


def test_the_formulas_on_a_healthy_field():
    blue, green, red, nir = 0.03, 0.06, 0.04, 0.44
    assert ndvi(red, nir) == pytest.approx(0.40 / 0.48)
    assert ndwi(green, nir) == pytest.approx(-0.38 / 0.50)
    assert savi(red, nir) == pytest.approx(1.5 * 0.40 / 0.98)
    assert evi(blue, red, nir) == pytest.approx(2.5 * 0.40 / (0.44 + 0.24 - 0.225 + 1))


@given(REFLECTANCE, REFLECTANCE)
def test_normalised_differences_stay_within_one_and_change_sign_with_their_bands(one, other):
    value = ndvi(one, other)
    if abs(one + other) < VANISHING:
        assert np.isnan(value)
    else:
        assert abs(value) <= 1
        assert ndvi(other, one) == -value
        assert ndwi(other, one) == value


@given(REFLECTANCE, REFLECTANCE)
def test_savi_never_vanishes_and_stays_within_its_limit(red, nir):
    assert abs(savi(red, nir)) <= LIMITS["savi"]


def test_undefined_exactly_where_the_denominator_vanishes():
    red, nir = np.array([0.0, 4e-7, 5e-7, 1e-4]), np.array([0.0, 4e-7, 5e-7, 1e-4])
    assert np.isnan(ndvi(red, nir)).tolist() == [True, True, False, False]
    # 0.2 + 6·0.05 − 7.5·0.2 + 1 = 0
    assert np.isnan(evi(0.2, 0.05, 0.2))
    assert np.isfinite(evi(0.2, 0.05, 0.2 + 1e-5))


@pytest.mark.parametrize("name", LIMITS)
def test_ranges_end_at_the_limit_and_its_tolerance(name):
    edge = LIMITS[name] + TOLERANCE
    values = [edge - 1e-9, edge + 1e-9, -edge + 1e-9, -edge - 1e-9, np.nan, np.inf]
    assert in_range(name, values).tolist() == [True, False, True, False, False, False]


@given(DN, SCL)
def test_a_valid_pixel_is_clear_and_every_index_of_it_is_right(dn, scl):
    valid = valid_mask(dn, scl)
    assert (valid <= clear_mask(dn, scl)).all()
    for pixel, is_valid, is_clear in zip(dn, valid, clear_mask(dn, scl), strict=True):
        right = all(in_range(name, index(pixel * 1e-4)) for name, index in INDICES.items())
        assert is_valid == (is_clear and right)


def test_the_mask_takes_any_shape_and_looks_at_the_first_four_bands():
    dn = np.full((2, 3, 5, 6), 3000, np.uint16)
    dn[..., 3] = 4000
    scl = np.full((2, 3, 5), 4, np.uint8)
    dn[0, 0, 0, 1] = 0  # nodata
    dn[0, 0, 1, 5] = 0  # a class raster behind the reflectances may be 0
    scl[1, 2, 4] = 9
    dn[0, 1, 1, :4] = (9000, 9000, 100, 3000)  # EVI 2.5·0.29/(0.3+0.06−6.75+1): −0.13, in range
    dn[0, 1, 2, :4] = (1500, 1000, 100, 1000)  # EVI 2.5·0.09/(0.1+0.06−1.125+1) = 6.4: cannot be
    expected = np.ones((2, 3, 5), bool)
    expected[0, 0, 0] = expected[1, 2, 4] = expected[0, 1, 2] = False
    assert (valid_mask(dn, scl) == expected).all()
