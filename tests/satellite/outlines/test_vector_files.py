"""GeoPackage, shapefiles and KML."""

import zipfile

import numpy as np
import pytest
import shapely

from include.core.errors import BadInputError
from include.satellite.outlines.reading import read_outlines
from tests.satellite.outlines.two_fields import FIELD, IN_UTM, OTHER, write


def test_geopackages_are_read_by_layer(tmp_path):
    path = tmp_path / "farm.gpkg"
    write(path, [IN_UTM], crs="EPSG:32631", layer="fields", crop=["wheat"], sown=np.array(["2026-03-01"], "M8[D]"))
    (outline,) = read_outlines(path).outlines
    assert shapely.equals_exact(outline.geometry, FIELD, 1e-9)
    assert (outline.id, outline.properties) == ("1", {"crop": "wheat", "sown": "2026-03-01"})
    write(path, [OTHER], layer="wells", crop=["none"])
    with pytest.raises(BadInputError, match=r"farm.gpkg: has several layers.*Its layers: fields, wells"):
        read_outlines(path)
    with pytest.raises(BadInputError, match="has no layer 'x'"):
        read_outlines(path, layer="x")
    assert read_outlines(path, layer="wells").outlines[0].geometry == OTHER


def test_shapefiles_are_read_zipped_in_a_folder_and_need_a_crs(tmp_path):
    path = write(tmp_path / "fields.shp", [FIELD, OTHER], name=["a", "b"])
    assert len(read_outlines(path).outlines) == 2
    archive = tmp_path / "fields.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for part in tmp_path.glob("fields.???"):
            if part != archive:
                packed.write(part, f"export/{part.name}")
    assert [outline.properties["name"] for outline in read_outlines(archive).outlines] == ["a", "b"]
    (tmp_path / "fields.prj").unlink()
    with pytest.raises(BadInputError, match=r"states no CRS.*\.prj.*ogr2ogr -a_srs"):
        read_outlines(path)


def test_kml_is_read(tmp_path):
    path = write(tmp_path / "a.kml", [shapely.force_3d(FIELD, 5.0)], Name=["Home field"])
    (outline,) = read_outlines(path).outlines
    assert shapely.equals_exact(outline.geometry, FIELD, 1e-9)
    archive = tmp_path / "a.kmz"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(path, "doc.kml")
    assert read_outlines(archive).outlines[0].geometry == outline.geometry
