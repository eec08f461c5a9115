"""Tables of series as users have them: what a number means is tested, and what would be a guess is refused."""

from datetime import date

import duckdb
import pytest

from include.core.errors import BadInputError
from include.satellite.crops.params import SeriesParams
from include.satellite.crops.series import read_series
from tests.satellite.crops.fields_table import rows, write_csv


def read(path, table, **params):
    return read_series(write_csv(path / "series.csv", table), SeriesParams(series="series.csv", **params))


def test_bands_give_their_indices_and_rows_are_by_field_and_date(tmp_path):
    series = read(tmp_path, rows(3)[::-1])
    assert series.features == ("B04", "B08", "ndvi", "savi")
    assert (series.total, series.synthetic) == (24, False)
    first = series.rows.iloc[0]
    assert (first["field_id"], first["crop"], first["date"].date()) == ("F000", "maize", date(2022, 4, 5))
    assert first["ndvi"] == pytest.approx((first["B08"] - first["B04"]) / (first["B08"] + first["B04"]))


def test_the_observations_of_field_monitoring_are_read_as_published(tmp_path):
    path = tmp_path / "observations.parquet"
    with duckdb.connect() as db:
        db.execute(
            "COPY (SELECT 'A' AS field_id, 'rye' AS crop, DATE '2026-05-01' + i::INT AS date, 'S2A_SIM-plain-7' AS "
            "scene, 9 AS pixels, 0.9 AS clear_share, if(i = 1, 'cloudy', 'ok') AS status, "
            "0.5 AS ndvi_mean, 0.1 AS ndvi_std, NULL::DOUBLE AS savi_mean FROM range(3) t(i)) "
            f"TO '{path}' (FORMAT parquet)"
        )
    series = read_series(path, SeriesParams(series=path.name))
    assert series.features == ("ndvi",)
    assert (series.total, len(series.rows), series.synthetic) == (3, 2, True)
    messages = " ".join(finding.message for finding in series.findings)
    assert "1 rows of observations.parquet whose status is not ok" in messages
    assert "no value of savi" in messages


def scaled(table, number):
    return [row | {"B04": round(row["B04"] * 10_000), "B08": round(row["B08"] * 10_000)} | number for row in table]


def test_integers_are_reflectance_only_by_a_stated_scale(tmp_path):
    table = scaled(rows(2), {})
    with pytest.raises(BadInputError, match=r"half of the numbers of B08.*reflectance_scale=0.0001"):
        read(tmp_path, table)
    series = read(tmp_path, table, reflectance_scale=1e-4)
    assert series.rows["B08"].median() == pytest.approx(0.35)
    with pytest.raises(BadInputError, match=r"median of the brightest band is a reflectance of 3.5e-05"):
        read(tmp_path, rows(2), reflectance_scale=1e-4)


def test_a_number_for_missing_values_counts_only_where_it_is_stated(tmp_path):
    table = scaled(rows(2), {})
    table[3] |= {"B04": 65535, "B08": 65535}
    with pytest.raises(BadInputError, match=r"record 4: B04 is 65535, which is not a reflectance .*nodata=65535"):
        read(tmp_path, table, reflectance_scale=1e-4)
    series = read(tmp_path, table, reflectance_scale=1e-4, nodata=65535)
    assert len(series.rows) == len(table) - 1


@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        ({"date": "5.4.2022"}, {}, "record 1: column date must hold a date such as 2026-04-30; found '5.4.2022'"),
        ({"B04": "0,12"}, {}, "record 1: column B04 must hold a number or nothing; found '0,12'"),
        ({"field_id": " "}, {}, "record 1: column field_id must hold an id"),
        ({"date": "2022-04-20"}, {}, "record 2: field F000 has another row on 2022-04-20"),
        ({"ndvi": 7.5}, {}, "record 1: ndvi is 7.5, which is not an NDVI"),
        ({}, {"date_column": "day"}, r"has no column 'day' \(date_column\); its columns are: field_id, date"),
        ({}, {"season_start": "2023-01-01"}, "holds no row between 2023-01-01"),
        ({"ndvi": 0.5, "ndvi_mean": 0.5}, {}, "the columns ndvi and ndvi_mean state the same"),
    ],
)
def test_what_would_be_a_guess_is_refused_by_record(tmp_path, change, params, message):
    table = rows(2)
    if "ndvi" in change:
        table = [row | dict.fromkeys(change, 0.4) for row in table]
    table[0] |= change
    with pytest.raises(BadInputError, match=message):
        read(tmp_path, table, **params)


def test_a_table_needs_ids_dates_and_a_band_or_index(tmp_path):
    bare = [{name: row[name] for name in ("field_id", "date", "crop")} for row in rows(1)]
    with pytest.raises(BadInputError, match=r"holds no band .* and no index"):
        read(tmp_path, bare)
    with pytest.raises(BadInputError, match=r"has no column field_id or id; name it \(id_column\)"):
        read(tmp_path, [{"plot": row.pop("field_id"), **row} for row in rows(1)])
    with pytest.raises(BadInputError, match="CSV"):
        read_series(tmp_path / "series.xlsx", SeriesParams())


def test_a_season_takes_complete_months(tmp_path):
    series = read(tmp_path, rows(1), season_start="2022-05-10", season_end="2022-06-01")
    assert [day.date() for day in series.rows["date"]] == [
        date(2022, 5, 5),
        date(2022, 5, 20),
        date(2022, 6, 5),
        date(2022, 6, 20),
    ]
