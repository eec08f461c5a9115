"""Every parameter through the command line, on a run of its own: what is accepted changes what comes out."""

import csv
import gzip
import json
from datetime import datetime, timedelta

import pytest

from tests.airflow_runs import ROOT  # isort: skip - sets Airflow's home first

from include.cli.params import read_params, read_profile
from include.core.errors import BadInputError
from include.energy.params import AnalyzerParams, GeneratorParams, ReportParams
from include.pipelines import load_pipelines
from include.satellite.crops.params import SeriesParams
from include.satellite.pipeline import (
    CROP_CLASSIFICATION,
    CROP_HEALTH_MAP,
    CROP_MAP,
    FIELD_MONITORING,
    NDVI_FORECAST_MAP,
    SATELLITE,
)

pytestmark = pytest.mark.airflow


def run(call, *arguments, pipeline="energy"):
    """The report of a run and the key figures of its steps."""
    ended = call("run", pipeline, "--json", *arguments)
    assert ended.code == 0, ended.stderr
    report = json.loads(ended.stdout)
    return report, {step["id"]: step["output_summary"] for step in report["steps"]}


def meter_file(home, days=2, watts=500, minutes=30):
    """Kilowatt-hours on a Brisbane clock whose stamps mark the ends of half hours, volts, no amperes."""
    lines, first = ["When;Meter;Wh/1000;U"], datetime(2026, 1, 5, minute=minutes)  # noqa: DTZ001
    for number in range(days * 48):
        energy = f"{(watts + number % 7) / 2000:.4f}".replace(".", ",")
        lines.append(f"{first + timedelta(minutes=minutes * number):%d.%m.%Y %H:%M};{home};{energy};120")
    return "\n".join(lines) + "\n"


def test_own_files_with_every_setting_for_them(call, data_dir, tmp_path):
    """Two files (one gzip), a record twice, exports, no current, a local day as window."""
    one, two = tmp_path / "2026-01-05.csv", tmp_path / "-two 'b'.csv.gz"
    twice = meter_file("A").splitlines()[3]
    export = "05.01.2026 12:15;A;-0,1;130"
    one.write_text(meter_file("A") + f"{twice}\n{export}\n05.01.2026 13:15;A;0,1;\n")
    two.write_bytes(gzip.compress(meter_file("A").encode()[:200] + b"\n" + meter_file("B", watts=9000).encode()[21:]))
    columns = "timestamp=When,household_id=Meter,energy_kwh=Wh/1000,voltage=U"
    report, figures = run(
        call,
        *("--files", one, "--csv", two, "--columns", columns, "--timezone", "+10:00", "--stamp", "end"),
        *("--date", "2026-01-05", "--set", "high_usage_kw=none", "--set", "allow_export=true"),
        *("--set", "nominal_voltage=120", "--set", "outlier_threshold=100", "--set", 'required_columns=["voltage"]'),
    )
    files = next(data_dir.glob("runs/*/*/files"))
    source = json.loads((files / "energy_source.json").read_text())
    assert report["interval"] == {"start": "2026-01-04T14:00:00Z", "end": "2026-01-05T14:00:00Z"}
    assert (source["unit"], source["stamp"], source["timezone"]) == ("kWh", "end", "+10:00")
    assert [each["name"] for each in source["files"]] == ["2026-01-05.csv", "-two 'b'.csv.gz"]
    figures = figures["energy-analyzer"]
    assert figures["records_in"] == sum(each["records"] for each in source["files"])
    assert figures["records_outside_window"] == 96
    assert figures["rejected_by_reason"]["missing_voltage"] == 1
    assert figures["rejected_by_reason"]["duplicate_timestamp"] >= 2, "in one file, and across the two"
    assert figures["high_usage"] == 0, "though B uses 9 kW"
    assert figures["anomalies_by_reason"]["voltage_outside_band"] == 0
    with (files / "energy_report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["power"] for row in rows if row["power"].startswith("-")] == ["-0.2"], "an export, accepted"
    assert {row["efficiency"] for row in rows} == {""}
    published = [path.relative_to(data_dir).as_posix() for path in data_dir.glob("published/*/*/*/*")]
    assert published == ["published/energy/manual/file-2026-01-05+1-2cf98afc/2026-01-04T1400_2026-01-05T1400"]
    with (files / "rejected.csv").open(newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == {"2026-01-05.csv", "-two 'b'.csv.gz"}


def test_generated_data_with_every_setting_for_it(call, data_dir):
    window = ("--start", "2026-03-01T06:00", "--end", "2026-03-01T12:00+01:00", "--timezone", "Europe/Berlin")
    settings = (
        "households=7",
        "interval_minutes=30",
        "seed=5",
        "faulty_share=0",
        "high_usage_kw=0.1",
        "peak_minutes=60",
        "escape_formulas=true",
    )
    sets = [argument for setting in settings for argument in ("--set", setting)]
    report, figures = run(call, *window, *sets, "--set", "outlier_threshold=0.5", "--audit", "--publish")
    assert report["params"]["audit"] is report["audited"] is True
    proofs = [proof for artifact in report["artifacts"] for proof in artifact["proofs"]]
    assert any(proof["recomputed"] for proof in proofs)
    assert not [proof for proof in proofs if proof["sampled"] or proof["draw"] or proof["not_checked"]]
    assert report["interval"] == {"start": "2026-03-01T05:00:00Z", "end": "2026-03-01T11:00:00Z"}
    assert figures["energy-generator"]["households"] == 7
    analyzer = figures["energy-analyzer"]
    assert (analyzer["records_in"], analyzer["records_rejected"], analyzer["missing"]) == (7 * 12, 0, 0)
    assert analyzer["high_usage"] > 7 * 6
    files = next(data_dir.glob("runs/*/*/files"))
    assert json.loads((files / "energy_source.json").read_text())["seed"] == 5
    assert json.loads((files / "output1.json").read_text())["timezone"] == "Europe/Berlin"
    usage = json.loads((files / "output2.json").read_text())["usage"]
    assert (usage["timezone"], usage["peaks"][0]["window_seconds"]) == ("Europe/Berlin", 3600)


def test_own_files_that_leave_something_open(call, tmp_path):
    """Day or month, decimal mark, unit, the rows that count and omitted zeros are stated; one is above the limit."""
    path = tmp_path / "works.csv"
    rows = [
        f"03/04/2026 {hour:02}:{minute:02};{kind};{watts}"
        for hour in range(24)
        for minute in (0, 30)
        for kind, watts in (("Actual", "99.000" if (hour, minute) == (12, 0) else "1.500"), ("Plan", "2.500"))
        if (hour, kind) != (3, "Actual")
    ]
    path.write_text("\n".join(["Time;Type;Load", *rows]) + "\n")
    stated = ("--date-order", "dmy", "--decimal", ",", "--unit", "W", "--where", "Type=Actual", "--timezone", "UTC")
    report, figures = run(
        call, "--files", path, *stated, "--limit-kw", "50", "--as-mapped", "--zeros-omitted",
        "--set", "max_rejected=0.05",
        "--estimate", "--set", "min_coverage=0.9", "--set", "max_gap_hours=1", "--set", "max_estimated=0.05",
    )  # fmt: skip
    assert report["interval"] == {"start": "2026-04-03T00:00:00Z", "end": "2026-04-04T00:00:00Z"}
    assert (figures["energy-analyzer"]["suspect"], figures["energy-analyzer"]["records_rejected"]) == (1, 0)
    assert figures["energy-analyzer"]["energy_without_estimates_kwh"] == 45 * 0.75, "two are left out"
    assert figures["energy-analyzer"]["energy_kwh"] == 46 * 0.75, "the suspect reading is estimated"
    assert figures["energy-analyzer"]["sufficient"] is True


def test_a_register_that_is_written_on_change_and_rolls_over(call, data_dir, tmp_path):
    """Every 40 minutes but for a hole of three hours, 0.5 kWh each time, across 999.9."""
    minutes = [40 * number for number in range(30)] + [1160 + 180 + 40 * number for number in range(30)]
    readings = [
        f"{datetime(2026, 1, 5) + timedelta(minutes=minute)},{(990 + number / 2) % 1000}"  # noqa: DTZ001
        for number, minute in enumerate(minutes)
    ]
    path, meters = tmp_path / "history.csv", tmp_path / "meters.toml"
    meters.write_text("[meters.A]\nmultiplier = 2\n")
    path.write_text("\n".join(["t,v", *readings]) + "\n")
    stated = ("--columns", "timestamp=t,household_id=@A,register_kwh=v", "--timezone", "UTC", "--register-digits", "3")
    resampled = ("--resample", "1h", "--set", "resample_limit_hours=2.5")
    _, figures = run(call, "--files", path, *stated, *resampled, "--limit-kw", "9", "--meters", meters)
    source = json.loads(next(data_dir.glob("runs/*/*/files/energy_source.json")).read_text())
    assert (source["rolled_over"], source["resampled"]) == (1, "1h")
    assert "the 1.000 kWh between them belong to no interval" in " ".join(f["message"] for f in source["findings"])
    assert figures["energy-analyzer"]["missing"] == 4, "from 19:00 to 23:00, which the hole from 19:20 to 22:20 touches"
    assert figures["energy-analyzer"]["peak_kw"] == 1.5


OWN_PRESET = """\
name = "works"
title = "Our works"
region = "here"
about = "What the works' logger writes."
timezone = "+02:00"
stamp = "end"

[columns]
timestamp = "Time"
household_id = "@WORKS"
energy_wh = "Value"
"""


def test_own_files_of_a_preset(call, data_dir, tmp_path):
    """A preset of the user's own, which no public description confirms; its zone is that of --date, too."""
    path = tmp_path / "works.csv"
    path.write_text("Time;Value\n" + "".join(f"2026-01-05 {h:02}:{m};500\n" for h in range(24) for m in (15, 45)))
    (data_dir / "formats").mkdir(parents=True)
    (data_dir / "formats" / "works.toml").write_text(OWN_PRESET)
    arguments = ("run", "energy", "--json", "--files", path, "--format", "works", "--date", "2026-01-05")
    assert "works is untried" in call(*arguments).stderr
    report, figures = run(call, *arguments[3:], "--accept-untried")
    assert report["interval"] == {"start": "2026-01-04T22:00:00Z", "end": "2026-01-05T22:00:00Z"}
    assert (report["params"]["format"], report["params"]["timezone"]) == (OWN_PRESET, "+02:00")
    assert figures["energy-analyzer"]["energy_kwh"] == 47 * 0.5, "the first interval begins on the day before"
    assert json.loads(next(data_dir.glob("runs/*/*/files/output1.json")).read_text())["timezone"] == "+02:00"
    findings = json.loads(next(data_dir.glob("runs/*/*/files/energy_source.json")).read_text())["findings"]
    assert findings[0]["message"] == "Read as the format works: Our works; untried, used as the user insists."


def test_only_a_feed_of_the_inbox_can_be_published_as_one(call, data_dir, tmp_path):
    path = tmp_path / "home.csv"
    path.write_text(meter_file("a"))
    stated = ("--timezone", "Australia/Brisbane", "--date", "2026-01-05")
    ended = call("run", "energy", "--files", path, *stated, "--set", "feed=home/2026-01-05")
    assert ended.code == 1
    assert "feed must name a feed and a day, such as home/2026-03-01; found home/2026-01-05" in ended.stderr
    assert not (data_dir / "published").exists()


def test_a_tariff_and_factors_of_emissions(call, data_dir, tmp_path):
    (tmp_path / "flat.toml").write_text(
        'name = "Flat"\ncurrency = "EUR"\ntimezone = "UTC"\nvalid_from = 2026-01-01\n'
        '[[bands]]\nname = "always"\nprice_per_kwh = 0.5\n'
    )
    hours = "".join(f"2026-01-05T{hour:02}:00Z,200\n" for hour in range(24))
    (tmp_path / "co2.csv").write_text(f"time,gCO2/kWh\n{hours}")
    inputs = ("--tariff", tmp_path / "flat.toml", "--emissions", tmp_path / "co2.csv")
    report, _ = run(call, "--date", "2026-01-05", "--set", "households=2", "--set", "faulty_share=0", *inputs)
    published = data_dir / "published/energy/manual/2026-01-05"
    document = json.loads((published / "output2.json").read_text())
    energy = document["key_figures"]["energy_kwh"]
    assert document["cost"]["total"] == pytest.approx(energy / 2, abs=0.01)
    assert document["emissions"]["co2_kg"] == pytest.approx(energy / 5, abs=0.001)
    assert (published / "energy_report.parquet").stat().st_size > 0
    assert {file["path"] for file in report["provenance"]["sources"]} == {"source/flat.toml", "source/co2.csv"}
    (tmp_path / "flat.toml").write_text((tmp_path / "flat.toml").read_text() + 'hours = ["00:00-12:00"]\n')
    refused = call("run", "energy", "--date", "2026-01-05", "--set", "households=2", *inputs)
    assert "tariff flat.toml: each time must be in one band, and mon 12:00 in month 1 is in no band" in refused.stderr


def test_these_runs_use_every_param_there_is():
    here = (ROOT / "tests/cli/test_params.py").read_text()
    for name in {*GeneratorParams.model_fields, *AnalyzerParams.model_fields, *ReportParams.model_fields}:
        assert f"--{name.replace('_', '-')}" in here or f'"{name}=' in here or f"'{name}=" in here, name


def test_a_second_pipeline_is_a_file_and_takes_files(call, data_dir, tmp_path, monkeypatch):
    """Nothing but JSON: a definition with a source, and the command line that hands it one."""
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    count = {
        "id": "count",
        "image": "python:3.11-slim-bookworm",
        "command": "wc -l < source/readings.csv > count.json",
        "input_file": "source/readings.csv",
        "output_file": "count.json",
    }
    document = {"workflow_name": "sum-pipeline", "sources": ["readings.csv"], "publish": ["count.json"]}
    (definitions / "sum.json").write_text(json.dumps(document | {"containers": [count]}))
    (tmp_path / "readings.csv").write_text("n\n1\n2\n")
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(definitions))
    _, figures = run(call, "--csv", tmp_path / "readings.csv", "--date", "2026-01-05", pipeline="sum")
    assert figures == {"count": {}}
    [published] = data_dir.glob("published/sum/**/readings/2026-01-05_2026-01-06/count.json")
    assert published.read_text().strip() == "3"
    refused = call("run", "sum")
    assert refused.code == 2
    assert "files: the pipeline needs a file named readings.csv" in refused.stderr


def test_a_profile_of_the_user_s_own_is_a_json_object(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"$comment": "quick", "cnn_epochs": 3}))
    assert read_profile(str(tmp_path / "mine.json")) == {"cnn_epochs": 3}
    (tmp_path / "mine.json").write_text("[1]")
    with pytest.raises(BadInputError, match="must hold a JSON object"):
        read_profile(str(tmp_path / "mine.json"))
    with pytest.raises(BadInputError, match="there are: demo"):
        read_profile("other")


def test_the_demo_profile_holds_parameters_of_the_pipeline():
    assert SATELLITE.check_params(read_profile("demo"))["allow_synthetic"] is True


def parameters(*assignments, options=None, profile=None, date=None, start=None, end=None, switches=()):
    pipelines, _ = load_pipelines(ROOT / "include/config")
    [energy] = [pipeline for pipeline in pipelines if pipeline.definition.pipeline == "energy"]
    return read_params(energy, options or {}, assignments, profile, date=date, start=start, end=end, switches=switches)


def test_assignments_are_json_where_they_are_json_and_a_day_is_a_window():
    params = parameters("households=3", "high_usage_kw=none", "timezone=Europe/Berlin", date=datetime(2026, 3, 1))  # noqa: DTZ001
    assert (params["households"], params["high_usage_kw"], params["timezone"]) == (3, None, "Europe/Berlin")
    assert (params["start"], params["end"]) == ("2026-02-28T23:00:00Z", "2026-03-01T23:00:00Z")


def test_an_option_counts_before_the_profile_and_only_once(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"households": 3, "seed": 7}))
    params = parameters("households=4", profile=str(tmp_path / "mine.json"))
    assert (params["households"], params["seed"]) == (4, 7)
    with pytest.raises(BadInputError, match="timezone: given more than once"):
        parameters("timezone=UTC", options={"timezone": "Z"})


def test_an_audit_is_a_parameter_of_the_run():
    assert parameters()["audit"] is False
    assert parameters(switches=["audit"])["audit"] is parameters("audit=true")["audit"] is True
    with pytest.raises(BadInputError, match="audit: given more than once"):
        parameters("audit=false", switches=["audit"])


def test_input_files_get_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meter.csv").write_text("a\n")
    assert parameters('csv=["meter.csv"]')["files"] == [str(tmp_path / "meter.csv")]
    with pytest.raises(BadInputError, match=r"--files: no such file: other\.csv"):
        parameters('files=["other.csv"]')


def test_an_option_of_another_domain_is_refused():
    with pytest.raises(BadInputError, match="--scenes: energy does not take this option; it is one of: satellite"):
        parameters(options={"scenes": "folder"})


def read(pipeline, *assignments):
    return read_params(pipeline, {}, assignments, None, date=None, start=None, end=None)


def test_a_file_of_a_run_is_no_input_file(data_dir, tmp_path):
    file = data_dir / "runs" / "satellite_pipeline" / "manual__1" / "files" / "validated.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    link = tmp_path / "link.json"
    link.symlink_to(file)
    for path in (file, link):
        with pytest.raises(BadInputError, match="lies among the runs, whose files are not input files"):
            read(CROP_HEALTH_MAP, f"imagery={path}")


def test_a_parameter_that_another_pipeline_fills_names_a_run_or_a_file(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    assert read(CROP_HEALTH_MAP, "imagery=run:manual__1")["imagery"] == "run:manual__1"
    assert read(CROP_HEALTH_MAP, f"imagery={tmp_path}/mine.json")["imagery"] == f"{tmp_path}/mine.json"
    assert read(CROP_HEALTH_MAP)["imagery"] is None
    with pytest.raises(BadInputError, match="reference: no such file: run:manual__1"):
        read(SATELLITE, "reference=run:manual__1")


def assert_all_are_read(pipeline, fields, stated):
    """Check that a pipeline of fields takes every parameter it has: those stated, the file, the end, the switches."""
    texts = [f"{name}={json.dumps(value)}" for name, value in stated.items()]
    params = read_params(
        pipeline,
        {"fields": str(fields)},
        texts,
        None,
        date=None,
        start=None,
        end="2026-10-01",
        switches=["audit", "publish"],
    )
    more = {"fields": str(fields), "end": "2026-10-01T00:00:00Z", "audit": True, "publish": True}
    assert params == stated | more
    assert params.keys() == pipeline.params.keys()


def test_every_parameter_of_field_monitoring_from_the_command_line(tmp_path):
    (tmp_path / "farm.gpkg").write_text("read by the step alone")
    stated = {
        "source": "stac",
        "stac_url": "planetary-computer",
        "stac_collection": "sentinel-2-l2a",
        "id_column": "FELD",
        "crop_column": "KULTUR",
        "valid_from_column": "VON",
        "valid_to_column": "BIS",
        "days_back": 40,
        "scenes": "/in",
        "mask_type": "fmask",
        "scale": 0.0002,
        "offset": -0.1,
        "band_names": ["B02", "B03", "B04", "-", "B08"],
        "max_processing_units": 7.0,
        "skip_download": True,
        "resolution": 20,
        "indices": ["ndvi", "ndmi"],
        "max_cloud_cover": 80.0,
        "no_data_days": 20,
        "map_every_pass": False,
    }
    assert_all_are_read(FIELD_MONITORING, tmp_path / "farm.gpkg", stated)
    with pytest.raises(BadInputError, match="max_cloud_cover"):
        read(FIELD_MONITORING, "max_cloud_cover=101")
    with pytest.raises(BadInputError, match="indices"):
        read(FIELD_MONITORING, 'indices=["ndwi"]')


def test_every_parameter_of_the_forecast_of_fields_from_the_command_line(tmp_path):
    (tmp_path / "farm.gpkg").write_text("read by the step alone")
    stated = STATED | {
        "id_column": "FELD",
        "crop_column": "KULTUR",
        "valid_from_column": "VON",
        "valid_to_column": "BIS",
        "source": "stac",
        "stac_url": "planetary-computer",
        "stac_collection": "sentinel-2-l2a",
        "scenes": "/in",
        "days_back": 1100,
        "max_processing_units": 7.0,
        "skip_download": True,
        "forecast_days": 10,
    }
    assert_all_are_read(NDVI_FORECAST_MAP, tmp_path / "farm.gpkg", stated)
    with pytest.raises(BadInputError, match="days_back"):
        read(NDVI_FORECAST_MAP, "days_back=365")
    with pytest.raises(BadInputError, match="forecast_days"):
        read(NDVI_FORECAST_MAP, "forecast_days=61")


def test_what_the_forecast_learns_is_a_parameter_of_the_satellite_pipeline():
    assert read(SATELLITE)["lstm_target"] == "residual"
    assert read(SATELLITE, "lstm_target=absolute")["lstm_target"] == "absolute"
    with pytest.raises(BadInputError, match="lstm_target"):
        read(SATELLITE, "lstm_target=change")


def test_the_history_of_the_series_is_a_parameter_of_the_satellite_pipeline():
    assert read(SATELLITE)["history_days"] == 1825
    assert read(SATELLITE, "history_days=0")["history_days"] == 0
    with pytest.raises(BadInputError, match="history_days"):
        read(SATELLITE, "history_days=4000")


STATED = {
    "stac_url": "earth-search",
    "stac_collection": "sentinel-2-c1-l2a",
    "mask_type": "clm",
    "scale": 0.0001,
    "offset": -0.1,
    "band_names": ["B02", "B08"],
}


@pytest.mark.parametrize("pipeline", [SATELLITE, FIELD_MONITORING, NDVI_FORECAST_MAP])
def test_what_is_stated_of_imagery_is_an_option_and_a_parameter(pipeline, tmp_path):
    assert {*STATED, "scenes", "source"} <= pipeline.params.keys()
    given = STATED | {"scale": "0.0001", "offset": "-0.1", "band_names": "B02,B08", "scenes": str(tmp_path)}
    params = read_params(pipeline, given, [], None, date=None, start=None, end=None)
    assert STATED | {"scenes": str(tmp_path)} == {name: params[name] for name in given}


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("mask_type=qa60", "mask_type"),
        ('crop_mask_codes=["wheat"]', "crop_mask_codes"),
        ("scale=0", "scale: .*greater than 0"),
        ("scale=x", "scale: .*number"),
        ("offset=-1000", "offset: .*greater than -1"),
    ],
)
def test_impossible_statements_about_imagery_are_refused(assignment, words):
    with pytest.raises(BadInputError, match=words):
        read(SATELLITE, assignment)


def test_the_codes_of_crops_are_a_parameter_of_the_satellite_pipeline():
    assert read(SATELLITE, "crop_mask_codes=[40]")["crop_mask_codes"] == [40]


def test_every_parameter_of_crop_classification_from_the_command_line(tmp_path):
    for name in ("series.csv", "farm.gpkg"):
        (tmp_path / name).write_text("read by the step alone")
    stated = {
        "id_column": "plot",
        "date_column": "day",
        "crop_column": "KULTUR",
        "longitude_column": "x",
        "latitude_column": "y",
        "reflectance_scale": 0.0001,
        "nodata": 65535.0,
        "season_start": "2021-09-01",
        "season_end": "2022-08-31",
        "min_fields": 30,
        "block_km": 5.0,
        "crop_model": "gradient_boosting",
        "seed": 3,
        "allow_synthetic": True,
        "require_approval": True,
    }
    params = read_params(
        CROP_CLASSIFICATION,
        {"series": str(tmp_path / "series.csv"), "fields": str(tmp_path / "farm.gpkg")},
        [f"{name}={json.dumps(value)}" for name, value in stated.items()],
        None,
        date=None,
        start=None,
        end=None,
        switches=["audit", "publish"],
    )
    files = {"series": f"{tmp_path}/series.csv", "fields": f"{tmp_path}/farm.gpkg"}
    assert params == stated | files | {"audit": True, "publish": True}
    assert params.keys() == CROP_CLASSIFICATION.params.keys()
    assert CROP_MAP.params.keys() == set(SeriesParams.model_fields) | {"audit", "publish"}
    with pytest.raises(BadInputError, match="season_start 2022-09-01 must not be after season_end 2022-08-31"):
        read(CROP_CLASSIFICATION, "season_start=2022-09-01", "season_end=2022-08-31")
    with pytest.raises(BadInputError, match="crop_model"):
        read(CROP_CLASSIFICATION, "crop_model=lstm")
