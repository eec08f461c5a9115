"""What people hand in by mistake: a red run that says in words what to mend, and nothing lost or half-written."""

import gzip
import hashlib

import pytest

from tests.airflow_runs import run_dag

pytestmark = pytest.mark.airflow

HEADER = "timestamp,household_id,power_consumption,voltage,current\n"
GOOD = HEADER + "".join(f"2026-03-01T{hour:02}:00:00Z,A,0.5,230.0,2.2\n" for hour in range(24))
WITHOUT_ZONE = GOOD.replace("Z", "")
IN_BERLIN = {"timezone": "Europe/Berlin"}
EARLIER = {"start": "2025-03-01T00:00:00Z", "end": "2025-03-02T00:00:00Z"}

BAD = {
    "empty": (b"", {}, "prepare", "meters.csv: is empty (0 bytes)"),
    "blank": (b"\n \n", {}, "energy-generator", "meters.csv: is empty; a header line and at least one record"),
    "header_only": (HEADER.encode(), {}, "energy-generator", "meters.csv: holds a header line and no record"),
    "unknown_unit": (
        GOOD.replace("power_consumption", "load").encode(),
        {},
        "energy-generator",
        "meters.csv: nothing says what unit 'load' is in: say which with --unit kWh or",
    ),
    "missing_column": (
        GOOD.encode(),
        {"columns": "power_kw=watts"},
        "energy-generator",
        "meters.csv: has no column 'watts'; its columns are",
    ),
    "unparsable_numbers": (
        GOOD.replace("0.5", "ERR").encode(),
        {},
        "energy-analyzer",
        "none of its 24 records can be accepted: 24 × unparsable_power_consumption; for example meters.csv line 2: "
        "'2026-03-01T00:00:00Z,A,ERR,230.0,2.2'",
    ),
    "unparsable_times": (
        GOOD.replace("2026-03-01T", "03/01/2026 ").encode(),
        {},
        "energy-generator",
        "meters.csv: day and month of '03/01/2026 00:00:00Z' cannot be told apart: nothing in the file decides",
    ),
    "nul_bytes": (GOOD.encode() + b"\0\0", {}, "energy-generator", "delimited text: line 26: holds a NUL byte"),
    "skipped_times": (
        WITHOUT_ZONE.replace("2026-03-01", "2026-03-29").encode(),
        IN_BERLIN,
        "energy-generator",
        "--timezone +01:00 would explain that, or insist with --as-mapped",
    ),
    "all_negative": (
        GOOD.replace("0.5", "-0.5").encode(),
        {},
        "energy-analyzer",
        "none of its 24 records can be accepted: 24 × negative_power",
    ),
    "missing_zone": (
        WITHOUT_ZONE.encode(),
        {},
        "energy-generator",
        "meters.csv: line 2: the stamp '2026-03-01T00:00:00' names no zone; say which one is meant: --timezone",
    ),
    "no_data_in_the_interval": (
        GOOD.encode(),
        EARLIER,
        "energy-analyzer",
        "24 lie outside the window 2025-03-01T00:00:00+00:00 to 2025-03-02T00:00:00+00:00 (they reach from 2026-03-01",
    ),
    "no_interval": (
        (HEADER + "2026-03-01T00:00:00Z,A,0.5,230.0,2.2\n").encode(),
        {},
        "energy-generator",
        "meters.csv: the interval between readings cannot be told",
    ),
    "damaged_gzip": (gzip.compress(GOOD.encode())[:-9], {}, "energy-generator", "meters.csv: is a damaged gzip file"),
    "an_archive": (b"PK\x03\x04" + b"x" * 40, {}, "energy-generator", "meters.csv: the ZIP archive is damaged"),
    "a_web_page": (
        b"<html>\n<body>Log in</body>\n",
        {},
        "energy-generator",
        "meters.csv: is a web page (HTML); export the data",
    ),
}


@pytest.fixture
def hand_in(data_dir):
    """A run on one file of the inbox; afterwards the file must be as it was."""
    inbox = data_dir / "inbox"
    inbox.mkdir(parents=True)

    def go(content, **params):
        (inbox / "meters.csv").write_bytes(content)
        outcome = run_dag("energy_pipeline", {"csv": ["meters.csv"], **params})
        assert (inbox / "meters.csv").read_bytes() == content
        return outcome

    return go


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_cannot_be_used_ends_the_run_in_words(hand_in, data_dir, case):
    content, params, task, message = BAD[case]
    outcome = hand_in(content, **params)
    assert outcome.state == "failed"
    failure = outcome.report["failure_point"]
    assert (failure["task"], failure["kind"]) == (task, "bad_input")
    assert message in failure["message"]
    assert failure["hint"] == "Fix the input, and start the run again."
    assert {step["attempt"] for step in outcome.report["steps"]} <= {1, None}, "again would not help"
    assert not (data_dir / "published").exists()
    left = {path.relative_to(outcome.folder.files).as_posix() for path in outcome.folder.files.rglob("*")}
    accepted = {artifact["path"] for artifact in outcome.report["artifacts"]}
    assert left <= {"source", "source/meters.csv", *accepted}, "nothing half-written"
    if task != "prepare":
        [source] = outcome.report["provenance"]["sources"]
        assert source["sha256"] == hashlib.sha256(content).hexdigest()
        assert (outcome.folder.files / source["path"]).read_bytes() == content


def test_faulty_records_among_good_ones_are_rejected_each_with_its_reason(hand_in):
    lines = GOOD.splitlines()
    lines[3] = lines[3].replace("0.5", "five")
    lines[7] = lines[7].replace("2026-03-01T06", "2026-03-01T26")
    content = "\n".join([*lines, lines[10], ""]).encode()
    outcome = hand_in(content)
    assert outcome.state == "success"
    [accounting] = [each for each in outcome.report["record_accounting"] if each["step"] == "energy-analyzer"]
    assert (accounting["read"], accounting["accepted"], accounting["rejected"]) == (25, 22, 3)
    assert set(accounting["rejected_by_reason"].values()) == {1}
    rejected = (outcome.folder.files / "rejected.csv").read_text().splitlines()[1:]
    assert [line.rpartition(",")[2] for line in rejected] == [
        "unparsable_power_consumption",
        "unparsable_timestamp",
        "duplicate_timestamp",
    ]
    assert [line.split(",")[1] for line in rejected] == ["4", "8", "26"]


def test_times_that_the_zones_clocks_skip_are_rejected_where_the_user_insists(hand_in):
    day = WITHOUT_ZONE.replace("2026-03-01", "2026-03-29")
    outcome = hand_in(day.encode(), **IN_BERLIN, as_mapped=True)
    assert outcome.state == "success"
    [finding] = [each for each in outcome.report["findings"] if "does not exist" in each["message"]]
    assert "--timezone +01:00 would explain that" in finding["message"]
    assert outcome.report["steps"][1]["output_summary"]["rejected_by_reason"] == {"non_existent_time": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_other_encodings_are_read(hand_in, encoding):
    outcome = hand_in(GOOD.replace(",A,", ",Süd,").encode(encoding))
    assert outcome.state == "success"
    assert outcome.report["steps"][1]["output_summary"]["records_out"] == 24
