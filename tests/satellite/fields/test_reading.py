"""Fields as users have them: ids, crops and days by column; what would be a guess is refused by name."""

import json
from datetime import date

import pytest
from shapely.geometry import shape

from include.core.errors import BadInputError, ContractError
from include.satellite.artifacts import FIELDS
from include.satellite.fields.params import FieldsParams
from include.satellite.fields.reading import area_of, read_fields, read_fields_outcome, recompute_fields


def feature(number=0, own_id=None, **properties):
    west, south = 75.83 + 0.01 * number, 30.93
    ring = [[west, south], [west + 0.002, south], [west + 0.002, south + 0.002], [west, south + 0.002], [west, south]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    extra = {} if own_id is None else {"id": own_id}
    return {"type": "Feature", "properties": properties, "geometry": polygon, **extra}


@pytest.fixture
def read(tmp_path):
    """Read features as the step does, with some parameters."""

    def reading(*features, **params):
        (tmp_path / "source").mkdir(exist_ok=True)
        document = {"type": "FeatureCollection", "features": list(features)}
        (tmp_path / "source" / "farm.geojson").write_text(json.dumps(document))
        read_fields(tmp_path, FieldsParams(fields="farm.geojson", **params))
        return FIELDS.read(tmp_path).fields

    return reading


def test_a_field_has_its_id_crop_days_and_area(read, tmp_path):
    [field] = read(feature(id=7.0, crop=" wheat ", valid_from="2025-10-01", valid_to="2026-07-31T00:00:00"))
    assert (field.field_id, field.crop) == ("7", "wheat")
    assert (field.valid_from, field.valid_to) == (date(2025, 10, 1), date(2026, 7, 31))
    assert field.area_ha == pytest.approx(0.002 * 111.32 * 0.8577 * 0.002 * 110.85 * 100, rel=2e-3)
    assert read_fields_outcome(tmp_path).metrics.model_dump() == {
        "fields": 1,
        "crops": 1,
        "area_ha": round(field.area_ha, 2),
    }


def test_columns_may_have_any_names(read):
    columns = {"id_column": "FELD", "crop_column": "KULTUR", "valid_from_column": "VON", "valid_to_column": "BIS"}
    [field] = read(feature(FELD="a1", KULTUR="Raps", VON="2025/09/01", BIS=None), **columns)
    assert (field.field_id, field.crop, field.valid_from, field.valid_to) == ("a1", "Raps", date(2025, 9, 1), None)


def test_a_column_that_does_not_exist_is_refused_with_those_that_do(read):
    with pytest.raises(
        BadInputError, match=r"farm.geojson: has no column 'FELD' \(id_column\); its columns are: crop, id"
    ):
        read(feature(id=1, crop="rye"), id_column="FELD")


def test_fields_without_a_column_of_ids_are_called_as_their_features_and_a_finding_says_so(read, tmp_path):
    assert [field.field_id for field in read(feature(0, own_id="x1"), feature(1, own_id="x2"))] == ["x1", "x2"]
    messages = [finding.message for finding in read_fields_outcome(tmp_path).findings]
    assert any("has no column `id`" in message for message in messages)
    assert any("states no crop" in message for message in messages)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([feature(id=1), feature(1, id=None)], "feature 2: has no id"),
        ([feature(id=1), feature(1, id=" ")], "feature 2: has no id"),
        ([feature(id="A"), feature(1, id="A")], "field A occurs twice"),
        (
            [feature(id="A", valid_to="2026-03-01"), feature(id="A", valid_from="2026-03-01")],
            "field A occurs twice: ids must be unique, or their days",
        ),
        ([feature(id="A", valid_from="spring")], "valid_from 'spring' is not a date"),
        ([feature(id="A", valid_from="2026-03-02", valid_to="2026-03-01")], "valid_from 2026-03-02 is after valid_to"),
    ],
)
def test_what_would_be_a_guess_is_refused_by_name(read, features, message):
    with pytest.raises(BadInputError, match=message):
        read(*features)


def test_a_field_may_have_one_crop_after_the_other(read):
    fields = read(
        feature(id="A", crop="maize", valid_from="2026-03-02"), feature(id="A", crop="wheat", valid_to="2026-03-01")
    )
    assert [(field.field_id, field.crop) for field in fields] == [("A", "wheat"), ("A", "maize")]


def test_the_area_holds_all_fields_and_stays_when_a_field_is_added_inside_it(read, tmp_path):
    read(feature(0, id=1), feature(2, id=2))
    area = shape(area_of(FIELDS.read(tmp_path)))
    assert area.bounds == pytest.approx((75.82, 30.92, 75.86, 30.94))
    read(feature(0, id=1), feature(1, id=3), feature(2, id=2))
    assert shape(area_of(FIELDS.read(tmp_path))).equals(area)


def test_the_demo_has_fields_of_its_own_and_other_sources_need_a_file(tmp_path):
    read_fields(tmp_path, FieldsParams(source="demo"))
    assert len(FIELDS.read(tmp_path).fields) >= 20
    with pytest.raises(BadInputError, match="fields: name the file"):
        read_fields(tmp_path, FieldsParams(source="cdse"))


def test_fields_other_than_those_of_the_file_are_refused(read, tmp_path):
    params = FieldsParams(fields="farm.geojson")
    [field] = read(feature(id=1, crop="rye"))
    recompute_fields(tmp_path, params)
    stated = FIELDS.read(tmp_path)
    FIELDS.write(tmp_path, stated.model_copy(update={"fields": [field.model_copy(update={"crop": "wheat"})]}))
    with pytest.raises(ContractError, match="crop"):
        recompute_fields(tmp_path, params)
