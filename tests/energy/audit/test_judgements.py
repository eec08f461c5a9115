import pytest

from include.core.errors import ContractError
from include.energy.audit.judgements import judge_again
from include.energy.db import connect
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from tests.energy.analysis import analyzed, series, stamp, varied


@pytest.fixture
def judge(files):
    def judge(lines, **params):
        analyzed(files, lines, **params)
        with connect(files) as db:
            counts = judge_again(db, inspect(files / "energy_data.csv"), files, AnalyzerParams(**params), None)
            stated = db.execute("SELECT household::VARCHAR, hour, line FROM stated").fetchall()
            rejected = db.execute("SELECT line, reason::VARCHAR FROM rejected ORDER BY line").fetchall()
        return counts, stated, rejected

    return judge


def test_the_first_of_several_records_of_a_time_is_accepted(judge):
    lines = series(varied(4))
    counts, stated, rejected = judge([*lines, lines[1], lines[1]])
    assert counts == {"": 6}
    assert [line for _, _, line in stated] == [2, 3, 4, 5]
    assert rejected == [(6, "duplicate_timestamp"), (7, "duplicate_timestamp")]


def test_an_analyzer_that_accepts_the_later_duplicate_is_refused(files):
    analyzed(files, [*series(varied(4)), f"{stamp(1)},A,0.9,230,5"])
    text = (files / "energy_data.csv").read_text().splitlines()
    text[2], text[5] = text[5], text[2]
    (files / "energy_data.csv").write_text("\n".join(text) + "\n")
    with connect(files) as db, pytest.raises(ContractError, match=r"energy_records.parquet: .* must be"):
        judge_again(db, inspect(files / "energy_data.csv"), files, AnalyzerParams(), None)
