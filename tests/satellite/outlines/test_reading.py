"""Vector files by their content: archives, documents, what is none."""

import json
import zipfile

import pytest
from shapely.geometry import mapping

from include.core.errors import BadInputError
from include.satellite.outlines.reading import outlines_of, read_document, read_outlines
from tests.satellite.outlines.two_fields import FIELD, IN_UTM, OTHER, collection, crs, feature, written


def test_archives_name_their_layers_or_what_they_may_hold(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("north.geojson", json.dumps(mapping(FIELD)))
        packed.writestr("south.geojson", json.dumps(mapping(OTHER)))
    with pytest.raises(BadInputError, match="Its layers: north, south"):
        read_outlines(archive)
    assert read_outlines(archive, layer="south").outlines[0].geometry == OTHER
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("readme.txt", "none")
    with pytest.raises(BadInputError, match="holds no vector file"):
        read_outlines(archive)


def test_what_is_no_vector_file_is_refused_by_name(tmp_path):
    path = tmp_path / "a.gpkg"
    with pytest.raises(BadInputError, match=r"a.gpkg: no such file"):
        read_outlines(path)
    path.write_bytes(b"")
    with pytest.raises(BadInputError, match="is empty"):
        read_outlines(path)
    path.write_bytes(b"neither of them")
    with pytest.raises(BadInputError, match=r"cannot be read as a vector file.*readable are GeoJSON"):
        read_outlines(path)
    path.write_bytes(b"{ no json")
    with pytest.raises(BadInputError, match="cannot be read as JSON"):
        read_outlines(path)


def test_a_document_of_a_file_gives_the_same_outlines_and_findings(tmp_path):
    ring = [[IN_UTM.bounds[0], IN_UTM.bounds[1]], [IN_UTM.bounds[2], IN_UTM.bounds[3]]]
    ring = [*ring, [ring[1][0], ring[0][1]], [ring[0][0], ring[1][1]], ring[0]]
    bow_tie = {"type": "Feature", "id": "tie", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = written(
        tmp_path / "a.geojson", collection(feature(None), feature(IN_UTM, id="b"), bow_tie, crs=crs("EPSG:32631"))
    )
    read, again = read_outlines(path), outlines_of(read_document(path))
    assert [(outline.id, outline.geometry) for outline in read.outlines] == [
        (outline.id, outline.geometry) for outline in again.outlines
    ]
    assert read.findings == again.findings
    assert len(read.findings) == 3
