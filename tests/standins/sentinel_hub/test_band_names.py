"""Names of bands: the usual spellings, stated ones, and what is refused with the remedy."""

from pathlib import Path

import pytest

from include.standins.sentinel_hub.band_names import band_of, names_of

SCENE = Path("scenes/S2_20240510.tif")


@pytest.mark.parametrize(
    ("spellings", "band"),
    [
        (("b02", "B2", "Blue", "FRE_B2", "SRE_B2", "B02_10m", "B2, central wavelength 490 nm"), "B02"),
        (("b8a", "FRE_B8A", "nir08", "B8A_20m"), "B8A"),
        (("B8", "nir", "SRE_B08"), "B08"),
        (("scl", "SCL_20m"), "SCL"),
    ],
)
def test_the_usual_spellings_are_known(spellings, band):
    assert {band_of(text) for text in spellings} == {band}


def test_other_descriptions_stay():
    assert names_of(("B2", "CLM", None, "quality"), SCENE) == ("B02", "CLM", None, "quality")


def test_stated_names_count_and_may_skip_bands():
    assert names_of((None, None, "x"), SCENE, ("blue", "-", "B4")) == ("B02", None, "B04")
    with pytest.raises(ValueError, match=r"S2_20240510.tif: has 3 bands, and --band-names names 2"):
        names_of((None, None, None), SCENE, ("B02", "B03"))
    with pytest.raises(ValueError, match=r"S2_20240510.tif: --band-names: B4x: no such band"):
        names_of((None, None), SCENE, ("B02", "B4x"))


def test_bands_without_names_are_refused_with_the_file_and_the_option():
    with pytest.raises(ValueError, match=r"S2_20240510.tif: no band has a known name .*none, a.*--band-names B02,B03"):
        names_of((None, "a"), SCENE)


def test_two_bands_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"several bands are B02 \(the descriptions are: FRE_B2, SRE_B2\)"):
        names_of(("FRE_B2", "SRE_B2"), SCENE)


def test_the_name_of_a_file_with_one_band_names_it_unless_the_description_says_otherwise():
    path = Path("scenes/T31UFS_20240510T105619_B04_10m.jp2")
    assert names_of((None,), path) == names_of(("Band 1",), path) == names_of(("red",), path) == ("B04",)
    assert names_of(("blue", "red"), path) == ("B02", "B04")
    with pytest.raises(ValueError, match=r"B04_10m.jp2: is named B04, and its description is B8; correct one of them"):
        names_of(("B8",), path)
