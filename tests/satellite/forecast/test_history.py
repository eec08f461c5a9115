"""Previews of the fields: nothing is fetched without a promoted forecaster, and none of another kind of imagery."""

from datetime import UTC, datetime

import pytest

from include.core.errors import BadInputError, ContractError
from include.satellite.artifacts import FIELDS_HISTORY
from include.satellite.fields.reading import area_of
from include.satellite.forecast import history
from include.satellite.forecast.history import (
    enabled_forecaster,
    preview_fields,
    preview_fields_outcome,
    recompute_previews,
)
from include.satellite.forecast.params import PreviewParams
from include.satellite.imagery.area import area_geometry
from include.satellite.registry import store
from tests.satellite.forecast.promoted import DAYS, promote, write_fields, write_history

PARAMS = PreviewParams(source="demo", end="2026-10-01T00:00:00Z", days_back=1825)


@pytest.fixture
def fetched(monkeypatch, data_dir, tmp_path):
    """The previews that the catalog would give; counts how often it is asked."""
    asked = []

    def search_history(params):
        asked.append(params)
        start, end = params.window
        update = {"geometry": area_geometry(params), "start": start, "end": end}
        return write_history(data_dir, tmp_path / "scenes", DAYS[:3]).model_copy(update=update)

    (tmp_path / "scenes").mkdir()
    monkeypatch.setattr(history, "search_history", search_history)
    return asked


def test_without_a_promoted_forecaster_nothing_is_fetched_and_the_message_says_how_to_get_one(
    env_file, tmp_path, fetched
):
    write_fields(tmp_path)
    with pytest.raises(BadInputError, match=r"enables no forecaster.*AI_LSTM_MODEL_PATH.*\./pipeline run satellite"):
        preview_fields(tmp_path, PARAMS)
    assert fetched == []


def test_a_forecaster_that_is_gone_changed_or_without_an_interval_is_refused(env_file, tmp_path):
    version = promote(tmp_path, env_file)
    assert enabled_forecaster()[0].version == version
    (store.find(version).folder / "lstm_model.safetensors").write_bytes(b"others")
    with pytest.raises(ContractError, match="must be as it was stored"):
        enabled_forecaster()
    promote(tmp_path, env_file, interval=None)
    with pytest.raises(BadInputError, match="has no calibrated interval"):
        enabled_forecaster()


def test_the_manifest_is_of_the_fields_area_and_window(env_file, tmp_path, fetched):
    promote(tmp_path, env_file)
    fields = write_fields(tmp_path)
    preview_fields(tmp_path, PARAMS)
    recompute_previews(tmp_path, PARAMS)
    (asked,) = fetched
    assert asked.geojson == area_of(fields)
    metrics = preview_fields_outcome(tmp_path).metrics
    assert (metrics.dates, metrics.first_date, metrics.last_date) == (3, str(DAYS[0]), str(DAYS[2]))
    stated = FIELDS_HISTORY.read(tmp_path)
    FIELDS_HISTORY.write(tmp_path, stated.model_copy(update={"start": datetime(2020, 1, 1, tzinfo=UTC)}))
    with pytest.raises(ContractError, match="start"):
        recompute_previews(tmp_path, PARAMS)
    hidden = [item.model_copy(update={"clear": 10}) for item in stated.acquisitions]
    FIELDS_HISTORY.write(tmp_path, stated.model_copy(update={"acquisitions": hidden}))
    with pytest.raises(ContractError, match="acquisitions"):
        recompute_previews(tmp_path, PARAMS)


def test_a_forecaster_of_simulated_imagery_does_not_forecast_real_fields(env_file, tmp_path, fetched, monkeypatch):
    promote(tmp_path, env_file, synthetic=False)
    write_fields(tmp_path)
    with pytest.raises(BadInputError, match="learnt from measured imagery, and that of the fields is simulated"):
        preview_fields(tmp_path, PARAMS)
    assert not FIELDS_HISTORY.at(tmp_path).exists()
