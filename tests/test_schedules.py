"""Schedules with parameters, of definitions and of `schedules.json`."""

import json

import pytest

from include.core.definitions.load import load_definition
from include.core.pipeline import Pipeline
from include.core.settings import get_settings
from include.pipelines import all_pipelines, load_pipelines, scheduled
from include.satellite.pipeline import FIELD_MONITORING
from include.schedules import unscheduled, with_schedules
from tests.core.definitions.documents import container, document

NORTH = {"name": "north", "schedule": "0 5 * * *", "timezone": "Europe/Berlin", "params": {"area": 2}}
PARAMS = {"area": {"type": "integer", "default": 0, "minimum": 0}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of definitions of this deployment."""
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(tmp_path))
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


def state(folder, **schedules):
    (folder / "schedules.json").write_text(json.dumps({name.replace("_", "-"): of for name, of in schedules.items()}))


def of(name):
    return next(one for one in all_pipelines()[0] if one.definition.pipeline == name)


def test_schedules_of_a_definition_are_pipelines_with_their_parameters(folder):
    content = document(container("a"), params=PARAMS, schedules=[NORTH, {"name": "south"}])
    (folder / "a.json").write_text(json.dumps(content))
    pipelines, errors = load_pipelines()
    assert errors == []
    assert [one.definition.dag_id for one in pipelines] == [
        "test_pipeline",
        "test_pipeline_north",
        "test_pipeline_south",
    ]
    assert [one.definition.schedule for one in pipelines] == [None, "0 5 * * *", None]
    assert [one.starts for one in pipelines] == ["on request", "0 5 * * * Europe/Berlin", "on request"]
    assert [one.check_params({})["area"] for one in pipelines] == [0, 2, 0]
    assert pipelines[1].check_params({"area": 7})["area"] == 7, "a run may state another value"


def test_the_file_of_schedules_gives_a_wired_pipeline_its_parameters(folder):
    (folder / "data/inbox").mkdir(parents=True)
    (folder / "data/inbox/fields.gpkg").write_text("x")
    stac = {"source": "stac", "fields": "fields.gpkg"}
    state(folder, field_monitoring=[{"params": stac}, {"name": "south", "schedule": "@weekly", "params": stac}])
    own, south = scheduled(FIELD_MONITORING)
    assert (own.definition.dag_id, own.definition.schedule) == ("field_monitoring", "@daily"), "it keeps its own"
    assert own.check_values({})["fields"] == str(folder / "data/inbox/fields.gpkg")
    assert (south.definition.dag_id, south.definition.schedule) == ("field_monitoring_south", "@weekly")
    assert south.names == {"field_monitoring_south", "field-monitoring-south", "fields_south"}
    assert all_pipelines()[1] == []


def test_an_object_may_be_the_content_of_a_file_beside(folder):
    area = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    (folder / "north.geojson").write_text(json.dumps(area))
    state(folder, satellite=[{"name": "north", "params": {"geojson": "north.geojson", "source": "stac"}}])
    assert of("satellite_north").check_values({})["geojson"] == area


def test_a_schedule_that_is_not_enabled_runs_on_request(folder):
    state(folder, fields=[{"enabled": False}, {"name": "south", "schedule": "@daily", "enabled": False}])
    assert [one.definition.schedule for one in scheduled(FIELD_MONITORING)] == [None, None]


@pytest.mark.parametrize(
    ("schedules", "fault"),
    [
        ({"feilds": [{}]}, r"\$\.feilds: there is no pipeline 'feilds'; did you mean 'fields'"),
        (
            {"fields": [{"params": {"sourc": "stac"}}]},
            r"\$\.fields\[0\]: sourc: no such parameter; did you mean source",
        ),
        ({"fields": [{"params": {"source": "nasa"}}]}, r"\$\.fields\[0\]: source: "),
        ({"fields": [{"schedule": "daily"}]}, r"\$\.fields\[0\]\.schedule: is not a schedule"),
        ({"fields": [{"schedul": "@daily"}]}, r"\$\.fields\[0\]\.schedul: unknown key; did you mean 'schedule'"),
        ({"fields": [{"name": "South!"}]}, r"\$\.fields\[0\]\.name: must be small letters"),
        ({"fields": [{}, {}]}, r"\$\.fields\[1\]\.name: is that of an earlier schedule"),
        ({"fields": {}}, r"\$\.fields: must be a list"),
        ({"maps": [{"timezone": "Europe/Berlin"}], "fields": []}, r"\$\.maps: there is no pipeline"),
        ({"crops": [{"timezone": "Europe/Berlin"}]}, r"\$\.crops\[0\]: timezone: would do nothing without a schedule"),
        ({"satellite": [{"name": "a", "params": {"geojson": "none.json"}}]}, r"geojson: none\.json: cannot be read"),
    ],
)
def test_a_fault_is_reported_with_its_place_and_nothing_starts_until_it_is_fixed(folder, schedules, fault):
    (folder / "schedules.json").write_text(json.dumps(schedules))
    pipelines, [error] = all_pipelines()
    with pytest.raises(type(error), match=fault):
        raise error
    assert {one.definition.schedule for one in pipelines} == {None}


def test_a_file_that_is_no_json_is_one_fault(folder):
    (folder / "schedules.json").write_text("{")
    [error] = all_pipelines()[1]
    assert "schedules.json: 1 fault" in str(error)


def test_a_faulty_schedule_of_a_definition_stops_that_definition_alone(folder):
    for name, schedules in {"one": [NORTH], "two": []}.items():
        content = document(container("a"), workflow_name=name, schedule="@daily", schedules=schedules)
        (folder / f"{name}.json").write_text(json.dumps(content))
    one, two = (Pipeline(load_definition(folder / f"{name}.json", {}), {}) for name in ("one", "two"))
    [[faulty], [good]], [error] = with_schedules([one, two], folder)
    assert "$.schedules[0]: area: no such parameter" in str(error)
    assert faulty.definition == unscheduled(one).definition
    assert good.definition.schedule == "@daily"


def test_a_schedule_takes_no_name_of_another_pipeline(folder):
    for name, schedules in {"test-pipeline": [{"name": "north"}], "test_north": []}.items():
        content = document(container("a"), workflow_name=name, schedules=schedules)
        (folder / f"{name}.json").write_text(json.dumps(content))
    [error] = load_pipelines()[1]
    assert "there is a pipeline test_north already" in str(error)
