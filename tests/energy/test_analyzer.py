"""The analyzer step as a whole: what it writes, and what it leaves behind after a failure."""

import hashlib
import shutil

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy import db as energy_db
from include.energy.analyzer import analyze
from include.energy.params import AnalyzerParams
from tests.energy.analysis import analyzed, series, varied


def test_status_follows_the_limit(files):
    lines = series([*varied(46), 5.0, 5.001])
    assert [record["status"] for record in analyzed(files, lines).records[-2:]] == ["normal", "high_usage"]
    assert analyzed(files, lines, high_usage_kw=None).document.high_usage == 0


@pytest.mark.own_database
def test_the_same_data_gives_the_same_bytes_whatever_the_threads_and_order(files, monkeypatch):
    homes = [series([p * 1.1 + k / 7 for p in varied(2000)], home=f"H{k}", minutes=5) for k in range(12)]
    lines = [line for rows in zip(*homes, strict=True) for line in rows]
    digests = set()
    config = energy_db._config
    for threads in (1, 4):
        monkeypatch.setattr(energy_db, "_config", lambda *a, n=threads: config(*a) | {"threads": n})
        for order in (lines, lines[::-1]):
            analyzed(files, order)
            digests.add(hashlib.sha256((files / "output1.json").read_bytes()).hexdigest())
            rows = duckdb.execute(f"""
                SELECT md5(string_agg(
                    concat_ws(',', epoch(timestamp), household_id, power, efficiency, anomaly_reasons), ';'))
                FROM '{files}/energy_records.parquet'
            """).fetchall()
            digests.add(rows[0])
    assert len(digests) == 2


def test_a_failure_leaves_no_scratch_behind(files, monkeypatch):
    def fail(*_):
        raise RuntimeError("disk")

    monkeypatch.setattr("include.energy.analyzer.write_table", fail)
    with pytest.raises(RuntimeError, match="disk"):
        analyzed(files, series(varied(48)))
    shutil.rmtree(files / "source")
    assert {path.name for path in files.iterdir()} <= {"energy_data.csv", "rejected.csv"}


def test_no_file_is_an_error_that_names_it(files):
    with pytest.raises(BadInputError, match=r"energy_data\.csv"):
        analyze(files, AnalyzerParams())
