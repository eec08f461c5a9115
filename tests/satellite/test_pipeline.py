"""The satellite pipelines: the order that follows from what their steps read and write; the window before its end."""

from datetime import UTC, datetime

import pytest

from include.core.contracts import imported
from include.core.errors import BadInputError
from include.core.exchange import Producer
from include.satellite.domain import SATELLITE_DOMAIN
from include.satellite.pipeline import CROP_CLASSIFICATION, CROP_HEALTH_MAP, FIELD_MONITORING, SATELLITE, LookbackWindow

HOUR_S = 3600


def test_the_order_follows_from_what_the_steps_read_and_write():
    assert {spec.id: spec.depends_on for spec in SATELLITE.definition.steps} == {
        "search": (),
        "download": ("search",),
        "collect": ("download",),
        "validate": ("collect",),
        "prepare_cnn": ("validate",),
        "prepare_lstm": ("validate",),
        "train_cnn": ("prepare_cnn",),
        "train_lstm": ("prepare_lstm",),
        "compare": ("train_cnn", "train_lstm"),
        "verify": ("compare",),
        "approve": ("verify",),
        "configure": ("approve",),
    }


def test_the_steps_keep_the_order_of_the_pipeline():
    ids = [spec.id for spec in SATELLITE.definition.steps]
    assert ids[:4] == ["search", "download", "collect", "validate"]
    assert ids[4:8] == ["prepare_cnn", "prepare_lstm", "train_cnn", "train_lstm"]
    assert ids[8:] == ["compare", "verify", "approve", "configure"]


def test_steps_that_train_have_more_time():
    limits = {spec.id: spec.timeout_seconds for spec in SATELLITE.definition.steps}
    longer = {name: limit // HOUR_S for name, limit in limits.items() if limit != HOUR_S}
    assert longer == {"collect": 2, "train_cnn": 6, "train_lstm": 6, "compare": 3}


def test_the_map_is_one_step_that_starts_on_new_imagery_or_a_new_model():
    assert [(spec.id, spec.depends_on) for spec in CROP_HEALTH_MAP.definition.steps] == [("draw_map", ())]
    assert CROP_HEALTH_MAP.starts == "after satellite_imagery or crop_health_model"


def test_monitoring_takes_one_step_after_the_other_every_day():
    ids = [spec.id for spec in FIELD_MONITORING.definition.steps]
    assert ids == [
        "read_fields",
        "find_passes",
        "fetch_passes",
        "check_passes",
        "measure_fields",
        "analyse_fields",
        "map_fields",
    ]
    assert [spec.depends_on for spec in FIELD_MONITORING.definition.steps] == [(), *((name,) for name in ids[:-1])]
    assert FIELD_MONITORING.starts == "@daily"
    assert "fields" in FIELD_MONITORING.names


JULY = datetime(2026, 7, 1)  # noqa: DTZ001 - as the command line reads a date


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ((JULY, None, None, None), {"end": "2026-07-02T00:00:00Z"}),
        ((None, None, "2026-07-01", None), {"end": "2026-07-01T00:00:00Z"}),
        ((None, None, "2026-07-01", "Asia/Kolkata"), {"end": "2026-06-30T18:30:00Z"}),
        ((None, "2026-06-01", "2026-07-01", None), {"end": "2026-07-01T00:00:00Z", "days_back": 30}),
    ],
)
def test_the_window_ends_where_the_options_say(options, params):
    assert LookbackWindow().from_options(*options, has_files=False) == params


def test_without_options_the_window_ends_with_yesterday():
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    params = LookbackWindow().from_options(None, None, None, None, has_files=False)
    assert params == {"end": today.strftime("%Y-%m-%dT%H:%M:%SZ")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, "2026-06-01", None, None), "--start needs --end"),
        ((None, "2026-06-01", "2026-06-01T12:00", None), "whole days apart"),
        ((None, "2026-06-02", "2026-06-01", None), "whole days apart"),
        ((JULY, "2026-06-01", "2026-06-02", None), "--date is a whole day"),
        ((None, None, "yesterday", None), "not an ISO 8601 time"),
    ],
)
def test_a_window_that_is_impossible_is_refused(options, message):
    with pytest.raises(BadInputError, match=message):
        LookbackWindow().from_options(*options, has_files=False)


def test_a_run_covers_the_days_before_its_end_whatever_its_interval():
    rule, end = LookbackWindow(), datetime(2026, 1, 31, tzinfo=UTC)
    window = rule.of_run({"end": "2026-01-31T00:00:00Z", "days_back": 30}, None, has_files=False)
    assert (window.start, window.end) == (datetime(2026, 1, 1, tzinfo=UTC), end)
    scheduled = rule.of_run({"end": None, "days_back": 30}, (datetime(2026, 1, 30, tzinfo=UTC), end), has_files=False)
    assert scheduled == window
    assert rule.of_run({"days_back": 30}, None, has_files=False).start is None


def test_the_window_is_described_in_words():
    assert LookbackWindow().describe({"days_back": 30, "end": "T"}) == "the 30 days to T"


def test_a_map_takes_validated_imagery_of_the_satellite_pipeline_alone():
    assert CROP_HEALTH_MAP.producers == {"imagery": Producer("satellite_pipeline", "validate", "validated.json")}
    assert "validate" in {spec.id for spec in SATELLITE.definition.steps}


def test_crops_are_learnt_step_by_step_on_request():
    ids = [spec.id for spec in CROP_CLASSIFICATION.definition.steps]
    assert ids[:4] == ["read_series", "train_crops", "compare_crops", "verify_crops"]
    assert CROP_CLASSIFICATION.starts == "on request"
    assert "crops" in CROP_CLASSIFICATION.names


def test_what_reads_imagery_asks_for_its_source_and_is_not_scheduled_on_what_is_simulated():
    reading = [pipeline for pipeline in SATELLITE_DOMAIN.pipelines if "source" in pipeline.params]
    assert len(reading) == 3
    for pipeline in reading:
        assert imported(pipeline.invents)({"source": "demo"}, ()) is not None
        with pytest.raises(BadInputError, match="choose where the imagery of your area comes from"):
            imported(pipeline.check_stated)({"fields": "own.gpkg", "geojson": "own.geojson"})
