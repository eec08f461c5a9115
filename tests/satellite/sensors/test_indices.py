"""Indices: their formulas, where they are undefined, their ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.satellite.sensors.indices import (
    INDICES,
    NDVI,
    TOLERANCE,
    VANISHING,
    Index,
    normalised_difference,
    ratio,
)
from include.satellite.sensors.sentinel2 import SENTINEL2

REFLECTANCE = st.floats(0, 1.6, allow_subnormal=False)
EVI, NDWI, SAVI = INDICES["evi"], INDICES["ndwi"], INDICES["savi"]


def test_the_formulas_on_a_healthy_field():
    field = {"blue": 0.03, "green": 0.06, "red": 0.04, "nir": 0.44, "nir08": 0.45, "rededge071": 0.09, "swir16": 0.18}
    expected = {
        "ndvi": 0.40 / 0.48,
        "ndwi": -0.38 / 0.50,
        "savi": 1.5 * 0.40 / 0.98,
        "evi": 2.5 * 0.40 / (0.44 + 0.24 - 0.225 + 1),
        "ndre": 0.36 / 0.54,
        "ndmi": 0.27 / 0.63,
    }
    assert {name: float(INDICES[name].of(field.__getitem__)) for name in expected} == pytest.approx(expected)


@given(REFLECTANCE, REFLECTANCE)
def test_normalised_differences_stay_within_one_and_change_sign_with_their_bands(one, other):
    value = NDVI(other, one)
    if abs(one + other) < VANISHING:
        assert np.isnan(value)
    else:
        assert abs(value) <= 1
        assert NDVI(one, other) == -value
        assert NDWI(one, other) == -value
        assert normalised_difference(other, one) == value


@given(REFLECTANCE, REFLECTANCE)
def test_savi_never_vanishes_and_stays_within_its_limit(red, nir):
    assert abs(SAVI(red, nir)) <= SAVI.limit


def test_undefined_exactly_where_the_denominator_vanishes():
    red, nir = np.array([0.0, 4e-7, 5e-7, 1e-4]), np.array([0.0, 4e-7, 5e-7, 1e-4])
    assert np.isnan(NDVI(nir, red)).tolist() == [True, True, False, False]
    assert np.isnan(ratio(red, red + nir)).tolist() == [True, True, False, False]
    # 0.2 + 6·0.05 − 7.5·0.2 + 1 = 0
    assert np.isnan(EVI(0.2, 0.05, 0.2))
    assert np.isfinite(EVI(0.2, 0.05, 0.2 + 1e-5))


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_ranges_end_at_the_limit_and_its_tolerance(index):
    edge = index.limit + TOLERANCE
    values = np.array([edge - 1e-9, edge + 1e-9, -edge + 1e-9, -edge - 1e-9, np.nan, np.inf])
    assert index.in_range(values).tolist() == [True, False, True, False, False, False]


def test_one_entry_adds_an_index(monkeypatch):
    """The green NDVI, where its bands were fetched."""
    monkeypatch.setitem(INDICES, "gndvi", Index("gndvi", ("nir", "green"), normalised_difference, 1.0))
    assert [index.name for index in SENTINEL2.indices_of(["B03", "B04", "B08"])] == ["ndvi", "savi", "ndwi", "gndvi"]
    assert "gndvi" not in {index.name for index in SENTINEL2.indices_of(["B02", "B04", "B08"])}


def test_red_edge_and_moisture_are_computed_where_their_bands_were_fetched():
    assert [index.name for index in SENTINEL2.indices_of(["B05", "B8A", "B11"])] == ["ndre", "ndmi"]
    assert not {"ndre", "ndmi"} & {index.name for index in SENTINEL2.indices_of(SENTINEL2.base_bands)}
