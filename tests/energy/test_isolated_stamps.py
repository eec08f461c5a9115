"""Stamps years away from all others."""

import pytest

from include.core.errors import BadInputError
from include.energy.isolated_stamps import check_isolated_stamps
from include.energy.params import GeneratorParams

HOURS = [f"2024-03-0{1 + n // 24} {n % 24:02}:00,A,{0.3 + n * 7 % 5 / 10:.1f}" for n in range(96)]
BERLIN = {"timezone": "Europe/Berlin"}


def table(*rows):
    return "\n".join(["time,meter,kWh", *rows]) + "\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*HOURS, "2062-03-01 00:00,A,0.4"],
            r"line 98: the stamp '2062-03-01 00:00' is 38.0 years after all others of",
        ),
        (["2000-01-01 00:00,A,0.4", *HOURS], r"line 2: .* is 24.2 years before all others of household A, which begin"),
        (
            [*HOURS, "2027-03-01 00:00,B,0.4", "2027-03-01 01:00,B,0.4"],
            "3.0 years after all others of the run, which end",
        ),
    ],
)
def test_a_few_stamps_years_away_are_refused_with_the_options_that_resolve_it(convert, rows, message):
    with pytest.raises(BadInputError, match=message) as refused:
        convert(table(*rows), **BERLIN)
    assert "--start and --end, or insist with --as-mapped" in str(refused.value)
    kept = convert(table(*rows), as_mapped=True, **BERLIN)
    assert len(kept.records) == len(rows)
    assert any(f.severity == "warning" and "the user insists" in f.message for f in kept.source.findings)


def test_stamps_outside_the_time_that_is_read_do_not_matter(convert):
    window = {"start": "2024-03-01T00:00:00Z", "end": "2024-03-05T00:00:00Z"}
    assert convert(table(*HOURS, "2062-03-01 00:00,A,0.4"), **window, **BERLIN).source.households == 1


@pytest.mark.parametrize(
    "rows",
    [
        [*HOURS, *(row.replace("2024", "2026") for row in HOURS[:24])],  # more than a few
        [f"{2010 + n}-01-01 00:00,A,{500 + n * 7 % 5}" for n in range(30) if n != 28],  # years are its step
        [*HOURS, "2025-02-01 00:00,A,0.4"],  # within a year
    ],
)
def test_series_with_long_gaps_are_no_isolated_stamps(convert, rows):
    assert not any("all others" in f.message for f in convert(table(*rows), **BERLIN).source.findings)


def test_nothing_is_yielded_for_a_table_without_stamps():
    import duckdb

    db = duckdb.connect()
    db.execute("CREATE TABLE records (file INTEGER, line BIGINT, household_id VARCHAR, stamp VARCHAR, clock TIMESTAMP)")
    assert list(check_isolated_stamps(db, ["a.csv"], GeneratorParams(files=("a.csv",)))) == []
