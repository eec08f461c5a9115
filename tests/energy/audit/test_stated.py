import duckdb
import pytest

from include.core.errors import ContractError
from include.energy import validation
from include.energy.audit.stated import read_stated
from include.energy.db import connect
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from tests.energy.analysis import analyzed, series, varied


@pytest.fixture
def read(files):
    def read(params):
        with connect(files) as db:
            validation.parse(db, inspect(files / "energy_data.csv"), params, None)
            validation.place(db, params.timezone)
            read_stated(db, files, params)
            return db.execute("SELECT hour, line FROM stated").fetchall()

    return read


@pytest.mark.parametrize(
    ("zone", "start", "hours"),
    [
        ("UTC", 0, [0, 0, 1, 1]),
        ("Asia/Kolkata", 0, [5, 6, 6, 7]),
        ("America/New_York", 0, [163, 163, 164, 164]),  # Sunday, 19:00
        ("Europe/Berlin", 48 * 83, [145, 145, 147, 147]),  # clocks go forward on Sunday, 29 March, 01:00 UTC
        ("UTC", -48 * 365 * 60, [72, 72, 73, 73]),  # Thursday, 20 January 1966
    ],
)
def test_the_hour_of_the_week_is_that_of_the_local_clock(files, read, zone, start, hours):
    analyzed(files, series(varied(4), start=start), timezone=zone)
    assert read(AnalyzerParams(timezone=zone)) == list(zip(hours, [2, 3, 4, 5], strict=True))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("'NOBODY' AS household_id", "household_id must be a household of energy_data.csv"),
        ("'odd' AS anomaly_reasons, true AS anomaly_detected", "anomaly_reasons must hold known reasons"),
        ("'outlier;power_factor' AS anomaly_reasons, true AS anomaly_detected", "in their order"),
        ("'odd' AS state", "state must be valid, suspect or estimated"),
        ("'estimated' AS state", "an estimate, and nothing else, must have a method, and no line"),
        ("'linear' AS method", "an estimate, and nothing else, must have a method, and no line"),
        (
            "'estimated' AS state, 'linear' AS method, NULL::BIGINT AS line",
            "an estimate must have no efficiency, quality, anomaly_reasons and zero_run",
        ),
        ("'A' AS quality", "quality must be one of energy_data.csv, or nothing"),
        ("'suspect' AS state, true AS zero_run", "a suspect record must have no anomaly_reasons"),
        ("true AS anomaly_detected", "anomaly_detected must be true where there is a reason"),
        ("'high_usage' AS status", r"status must be high_usage above 5.0 kW"),
        ("TIMESTAMPTZ '2026-01-05 00:00Z' AS timestamp", "must be sorted by household and time, each pair once"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(files, read, change, rule):
    analyzed(files, series(varied(4)))
    path = files / "energy_records.parquet"
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"CREATE TABLE records AS SELECT * REPLACE ({change}) FROM '{path}'")
        db.execute(f"COPY records TO '{path}' (FORMAT parquet)")
    with pytest.raises(ContractError, match=rule):
        read(AnalyzerParams())
