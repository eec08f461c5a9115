"""The step that forecasts: its tables and document follow from the weights and the previews, or the proof says no."""

import shutil
from datetime import timedelta

import pyogrio.raw
import pytest

from include.core.errors import BadInputError, ContractError
from include.satellite.artifacts import (
    FORECAST_PACKAGE,
    FORECAST_PLOT,
    FORECAST_SERIES,
    FORECAST_TABLE,
    FORECASTS,
    NDVI_FORECAST,
)
from include.satellite.fields.products import read_products
from include.satellite.fields.store import read_table, write_table
from include.satellite.forecast import forecasting
from include.satellite.forecast.forecasting import (
    forecast_fields,
    forecast_fields_outcome,
    keep_forecast,
    recompute_forecast,
)
from include.satellite.forecast.latest import latest_forecast
from include.satellite.forecast.params import ForecastParams
from include.satellite.forecast.schemas import ForecastRow, NdviRow
from include.satellite.stored import forecast_files
from tests.satellite.forecast.promoted import DAYS, END, promote, write_fields, write_history

PARAMS = ForecastParams()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data folders of runs that were made in this process, before and after the step."""
    return {name: tmp_path_factory.mktemp("made") / name for name in ("before", "after")}


@pytest.fixture
def files(data_dir, env_file, tmp_path, monkeypatch, made):
    """A run's `files/` before the step: two fields that repeat every year, of which A fell on the last preview."""
    monkeypatch.setattr(forecasting, "plot_forecast", lambda target, *_: target.write_bytes(b"a picture"))
    folder = data_dir / "runs" / "ndvi_forecast_map" / "manual__1" / "files"
    promote(tmp_path, env_file)
    if made["before"].exists():
        shutil.copytree(made["before"], data_dir, dirs_exist_ok=True)
    else:
        write_fields(folder)
        write_history(data_dir, folder)
        shutil.copytree(data_dir, made["before"])
    return folder


@pytest.fixture
def forecast(files, data_dir, made):
    """The run after the step."""
    if made["after"].exists():
        shutil.copytree(made["after"], data_dir, dirs_exist_ok=True)
    else:
        forecast_fields(files, PARAMS)
        shutil.copytree(data_dir, made["after"])
    return files


def test_a_fallen_field_is_a_warning_in_table_document_and_outcome(forecast, env_file):
    recompute_forecast(forecast, PARAMS)
    recompute_forecast(forecast, PARAMS, audit=True)
    document = NDVI_FORECAST.read(forecast)
    assert (document.date, document.last_pass, document.dates) == (END + timedelta(days=5), END, len(DAYS))
    assert (document.fields, document.forecasts) == (3, 2)
    assert {(warning.field_id, warning.kind) for warning in document.warnings} >= {("A", "fall")}
    assert {warning.field_id for warning in document.warnings} == {"A"}
    for table in read_products(forecast, FORECAST_TABLE, FORECAST_PACKAGE):
        assert table.set_index("field_id")["state"].to_dict() == {
            "A": "warning", "B": "as expected", "tiny": "no forecast",
        }  # fmt: skip
    meta, *_ = pyogrio.raw.read(FORECAST_PACKAGE.at(forecast))
    assert (meta["geometry_type"], meta["crs"]) == ("MultiPolygon", "EPSG:4326")
    assert FORECAST_PLOT.at(forecast).is_file()
    outcome = forecast_fields_outcome(forecast)
    assert (outcome.metrics.forecasts, outcome.metrics.falls) == (2, 1)
    assert outcome.metrics.model_version == document.model_version
    assert outcome.published_as == f"farm/{END}"
    first, *_ = outcome.findings
    assert first.severity == "warning"
    assert first.message.startswith("field A: NDVI ")
    assert outcome.tables[0].rows[0][:2] == ("A", "warning")


def change(files, artifact, model, column, by):
    table = read_table(artifact.at(files))
    table.loc[len(table) - 1, column] += by
    write_table(artifact.at(files), table, model)


@pytest.mark.parametrize(
    ("artifact", "model", "column", "words"),
    [
        (FORECASTS, ForecastRow, "forecast", "must hold what forecaster"),
        (FORECASTS, ForecastRow, "expected", "must state dates and values that follow from the series"),
        (FORECAST_SERIES, NdviRow, "ndvi", "must hold NDVI"),
    ],
)
def test_a_number_that_the_weights_or_the_previews_do_not_give_is_found(forecast, artifact, model, column, words):
    change(forecast, artifact, model, column, 0.01)
    with pytest.raises(ContractError, match=words):
        recompute_forecast(forecast, PARAMS)


def test_a_warning_interval_or_table_that_does_not_follow_is_found(forecast):
    document = NDVI_FORECAST.read(forecast)
    for update in (
        {"warnings": []},
        {"interval": document.interval.model_copy(update={"half_width": 0.5})},
        {"interval": document.interval.model_copy(update={"coverage": 1.0})},
        {"model_version": "20260101T000000Z-00000000"},
    ):
        NDVI_FORECAST.write(forecast, document.model_copy(update=update))
        with pytest.raises(ContractError, match=r"forecast\.json"):
            recompute_forecast(forecast, PARAMS)
    NDVI_FORECAST.write(forecast, document)
    series = read_table(FORECAST_SERIES.at(forecast))
    write_table(FORECAST_SERIES.at(forecast), series[:-1], NdviRow)
    with pytest.raises(ContractError, match=r"forecast_series\.parquet"):
        recompute_forecast(forecast, PARAMS)


def test_the_step_reads_its_previews_and_the_files_of_the_enabled_forecaster_alone(forecast):
    paths = [stored.path for stored in forecast_files(forecast, PARAMS)]
    version = NDVI_FORECAST.read(forecast).model_version
    assert sum(path.startswith("imagery/") for path in paths) == len(DAYS)
    assert f"models/store/{version}/lstm_model.safetensors" in paths
    assert all(path.startswith(("imagery/", f"models/store/{version}/")) for path in paths)


def test_the_latest_forecast_is_kept_for_field_monitoring(forecast):
    keep_forecast(forecast, PARAMS)
    assert latest_forecast("farm.gpkg") == NDVI_FORECAST.read(forecast)
    assert latest_forecast("other.gpkg") is None


def test_less_than_two_years_of_previews_and_no_forecaster_are_refused(files, data_dir, env_file):
    write_history(data_dir, files, DAYS[:30])
    with pytest.raises(BadInputError, match="span 436 days"):
        forecast_fields(files, PARAMS)
    env_file.write_text("USE_AI_MODELS=false\n")
    with pytest.raises(BadInputError, match="enables no forecaster"):
        forecast_fields(files, PARAMS)


def test_fields_beyond_the_training_and_dates_that_it_saw_are_stated(files, tmp_path, env_file, data_dir):
    from datetime import UTC, datetime, time

    from tests.satellite.forecast.promoted import card
    from tests.satellite.imagery_store import geometry_of, grid_of

    data = card().data.model_copy(
        update={
            "geometry": geometry_of(grid_of(16, 8, 60)),
            "end": datetime.combine(END, time(), UTC),
        }
    )
    promote(tmp_path, env_file, data=data)
    forecast_fields(files, PARAMS)
    texts = " ".join(finding.message for finding in NDVI_FORECAST.read(files).findings)
    assert "1 of 3 fields lie outside the area of the training" in texts
    assert f"the forecaster's imagery reaches to {END}" in texts
