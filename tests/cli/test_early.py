"""What is refused before Airflow starts."""

import json
from dataclasses import replace

import pytest

from include.cli.early import check_early
from include.cli.params import read_params
from include.core.contracts import Credentials
from include.core.definitions.model import ServiceAddress
from include.core.errors import BadInputError
from include.pipelines import all_pipelines
from tests.core.small_pipeline import MEASURE, pipeline, spec

NOTHING = {"date": None, "start": None, "end": None}
ACCOUNT = Credentials("my_hub", "HUB_ID", "HUB_SECRET", ("real",))


def of(name):
    return next(one for one in all_pipelines()[0] if name in one.names)


def refused(name, assignments, **options):
    target = of(name)
    check_early(target, read_params(target, options, assignments, None, **NOTHING), "local")


@pytest.fixture(autouse=True)
def no_accounts(monkeypatch):
    for name in ("AIRFLOW__SECRETS__BACKEND", "GROUNDTRUTH_IMAGERY_SOURCE", "GROUNDTRUTH_FIELDS", "SH_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)


def test_a_column_that_the_file_lacks_is_refused_before_anything_runs(tmp_path):
    file = tmp_path / "day.csv"
    file.write_text("Time,Meter,Value\n2026-01-01T00:00:00Z,a,1.5\n2026-01-01T00:15:00Z,a,1.5\n")
    columns = "timestamp=Time,household_id=Meter,energy_kwh={}"
    refused("energy", [], files=[str(file)], columns=columns.format("Value"))
    with pytest.raises(BadInputError, match="Amount"):
        refused("energy", [], files=[str(file)], columns=columns.format("Amount"))


def test_a_tariff_that_cannot_be_read_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "day.csv").write_text("timestamp,household_id,power_kw\n2026-01-01T00:00:00Z,a,1\n")
    (tmp_path / "tariff.toml").write_text("[[band]\n")
    with pytest.raises(BadInputError, match=r"tariff\.toml"):
        refused("energy", [f"files={json.dumps([str(tmp_path / 'day.csv')])}"], tariff=str(tmp_path / "tariff.toml"))


def test_a_file_of_fields_is_read_before_anything_runs(tmp_path):
    (tmp_path / "fields.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(BadInputError, match=r"fields\.geojson"):
        refused("fields", [], fields=str(tmp_path / "fields.geojson"), source="stac")


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("satellite", {"bbox": "75.8,30.9,75.9,31.0"}, "--bbox"),
        ("fields", {"fields": "fields.geojson"}, "--fields"),
    ],
)
def test_with_an_area_of_ones_own_a_source_must_be_chosen(name, options, option):
    with pytest.raises(BadInputError, match=f"{option}: choose where the imagery of your area comes from: "):
        refused(name, [], **options)


def test_an_account_that_is_not_there_is_named(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_SENTINEL_HUB", raising=False)
    with pytest.raises(BadInputError, match="source cdse: needs an account; set SH_CLIENT_ID and SH_CLIENT_SECRET, or"):
        refused("satellite", ["source=cdse"])
    monkeypatch.setenv("AIRFLOW_CONN_SENTINEL_HUB", "{}")
    refused("satellite", ["source=cdse"])


def test_a_secret_of_a_definition_and_an_image_for_the_docker_runtime_must_be_there(monkeypatch):
    foreign = pipeline(spec("a", command=("true",), outputs=("a.csv",), secrets={"TOKEN": "crm.extra.token"}))
    monkeypatch.delenv("AIRFLOW_CONN_CRM", raising=False)
    with pytest.raises(BadInputError, match="TOKEN of a: there is no connection crm; set AIRFLOW_CONN_CRM"):
        check_early(foreign, {}, "local")
    monkeypatch.setenv("AIRFLOW_CONN_CRM", "{}")
    check_early(foreign, {}, "local")
    with pytest.raises(BadInputError, match="a: has no image, which the runtime docker needs"):
        check_early(foreign, {}, "docker")


def test_a_service_of_this_machine_must_answer_and_the_runtime_needs_one():
    address = ServiceAddress(url="http://127.0.0.1:9")
    named = pipeline(spec("measure", service="small", address=address))
    with pytest.raises(BadInputError, match=r"nothing answers at the address of small .*services up"):
        check_early(named, {}, "local")
    with pytest.raises(BadInputError, match="measure: no service does its work"):
        check_early(pipeline(spec("measure")), {}, "service")


def test_a_step_that_is_skipped_needs_no_account():
    step = replace(MEASURE, credentials=ACCOUNT, skip_param="skip_download")
    target = pipeline(spec("measure"), known=(step,))
    check_early(target, {"source": "real", "skip_download": True}, "local")
    check_early(target, {"source": "demo"}, "local")
    with pytest.raises(BadInputError, match="HUB_ID and HUB_SECRET, or AIRFLOW_CONN_MY_HUB"):
        check_early(target, {"source": "real"}, "local")


def test_a_run_that_is_named_instead_of_a_file_is_left_to_the_preparation():
    check_early(replace(pipeline(), check_files="tests.none:none"), {"files": ["run:manual__1"]}, "local")
