"""NEM12: a day in a line, market time, and no value moved to a time or a unit that is not its own."""

import gzip
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy.params import GeneratorParams
from include.energy.readers.base import Reading, choose, find_readers, take_sample
from include.energy.readers.nem12 import BATCH_DAYS, READER, Day, Register, days

PARAMS = GeneratorParams(files=("n.csv",))
HALF_HOURS = [f"0.{number:03}" for number in range(100, 148)]


def register(suffix="E1", unit="KWH", minutes=30, nmi="NMI0000001"):
    return f"200,{nmi},E1B1Q1,1,{suffix},N1,METER1,{unit},{minutes},"


def day(values=HALF_HOURS, date="20240201", quality="A"):
    return f"300,{date},{','.join(values)},{quality},,,20240203000000,"


def nem12(*records):
    return "\n".join(["100,NEM12,202402031135,MDA1,RET1", *records, "900", ""])


@pytest.fixture
def sample(tmp_path):
    def sample(content):
        (tmp_path / "n.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return take_sample(tmp_path / "n.csv", "n.csv")

    return sample


@pytest.fixture
def read(sample):
    def read(content, params=PARAMS):
        with duckdb.connect() as db:
            data = READER.read(sample(content), params, db)
            return data, [Reading(*row) for readings in data.batches for row in readings.fetchall()]

    return read


@pytest.mark.parametrize(
    ("content", "score"),
    [
        (nem12(), 1),
        ("\ufeff\n" + nem12(), 1),
        ("100,NEM13,202402031135,MDA1,RET1\n", 1),
        (register() + "\n" + day(), 1),
        (register() + "\nTime,kWh\n", 0),
        ("100,200,300\n1,2,3\n", 0),
        ("Time,kWh\n2024-01-01,1\n", 0),
    ],
)
def test_a_file_is_known_by_its_first_record(sample, content, score):
    assert READER.sniff(sample(content), PARAMS).score == score


def test_it_is_surer_of_its_files_than_any_other_reader(sample):
    assert choose(sample(nem12(register(), day())), PARAMS, find_readers()) is READER


def test_a_day_starts_at_midnight_of_market_time_and_keeps_its_line(read):
    data, readings = read(nem12(register(), day(), day(date="20240202")))
    assert (data.unit, data.measured, len(readings)) == ("kWh", (), 96)
    assert readings[0] == Reading(3, "NMI0000001", "2024-02-01T00:00:00+10:00", "0.100", quality="A", field="#3")
    assert readings[47] == Reading(3, "NMI0000001", "2024-02-01T23:30:00+10:00", "0.147", quality="A", field="#50")
    assert readings[48] == Reading(4, "NMI0000001", "2024-02-02T00:00:00+10:00", "0.100", quality="A", field="#3")


def test_gzip_and_line_ends_of_windows_and_files_behind_each_other_are_read(read):
    content = nem12(register(), day()) + nem12(register(), day(date="20240202"))
    assert len(read(gzip.compress(content.replace("\n", "\r\n").encode()))[1]) == 96


@pytest.mark.parametrize(("minutes", "second"), [(5, "00:05"), (15, "00:15"), (30, "00:30")])
def test_the_interval_is_that_of_the_register(read, minutes, second):
    _, readings = read(nem12(register(minutes=minutes), day(["1"] * (1440 // minutes))))
    assert (len(readings), readings[1].stamp) == (1440 // minutes, f"2024-02-01T{second}:00+10:00")


@pytest.mark.parametrize(
    ("unit", "value", "kwh"),
    [("KWH", "1.50", "1.50"), ("kWh", "1", "1"), ("WH", "1500", "1.500"), ("MWH", "0.0015", "1.5")],
)
def test_energy_becomes_kwh_to_the_last_digit(read, unit, value, kwh):
    _, readings = read(nem12(register(unit=unit), day([value] * 48)))
    assert {Decimal(reading.power) for reading in readings} == {Decimal(kwh)}


def test_other_registers_are_counted_and_never_read(read):
    data, readings = read(
        nem12(
            register(),
            day(),
            register("B1"),
            day(),
            day(),
            register("Q1", "KVARH"),
            day(),
            register("E2", "kVArh"),
            day(),
        )
    )
    assert len(readings) == 48
    assert data.not_selected == {"B1 (KWH)": 96, "Q1 (KVARH)": 48, "E2 (KVARH)": 48}


def test_a_file_without_energy_from_the_grid_is_refused_with_its_registers(read):
    with pytest.raises(
        BadInputError, match=r"^n\.csv: has no register of energy from the grid .*: B1 \(KWH\), Q1 \(KVARH\)$"
    ):
        read(nem12(register("B1"), day(), register("Q1", "KVARH"), day()))
    with pytest.raises(BadInputError, match="its registers: none"):
        read(nem12())


def test_two_registers_of_a_connection_point_are_two_households(read):
    other = register("E1", nmi="NMI0000002")
    _, readings = read(nem12(register("E1"), day(), register("E2"), day(), other, day()))
    assert [readings[number].household_id for number in (0, 48, 96)] == ["NMI0000001 E1", "NMI0000001 E2", "NMI0000002"]


@pytest.mark.parametrize(
    "record",
    [
        day(HALF_HOURS[:-1]),
        day([*HALF_HOURS, "0.2"]),
        day(["0.1"] * 96),
        day([*HALF_HOURS[:-1], "x"]),
        day([*HALF_HOURS[:-1], "1e3"]),
        day(date="2024-02-01"),
        day(date="20240230"),
        day(quality="X"),
        day(quality=""),
        "300,20240201," + ",".join(HALF_HOURS),
        "300",
        "301,20240201",
        "400,1,48,A,,",
    ],
)
def test_a_record_that_cannot_be_trusted_is_malformed_and_shifts_nothing(read, record):
    _, readings = read(nem12(register(), record, day(date="20240202")))
    assert readings[0] == Reading(3, None, None, None, malformed=True)
    assert [reading.stamp for reading in readings[1:3]] == ["2024-02-02T00:00:00+10:00", "2024-02-02T00:30:00+10:00"]


@pytest.mark.parametrize(
    "record", ["200,NMI1,E1,1,E1,N1,M,KWH,7,", "200,NMI1,E1,1,E1,N1,M,KWH", "200,,E1,1,E1,N1,M,KWH,30,"]
)
def test_days_after_a_register_that_cannot_be_read_are_malformed(read, record):
    _, readings = read(nem12(register(), day(), record, day()))
    assert [(reading.line, reading.malformed) for reading in readings[48:]] == [(4, True), (5, True)]


def test_more_days_than_a_batch_holds_are_read_in_their_order(read):
    count = BATCH_DAYS + 20
    dates = [f"{datetime(2022, 1, 1, tzinfo=UTC) + timedelta(days=number):%Y%m%d}" for number in range(count)]
    _, readings = read(nem12(register(minutes=720), *(day(["1", "2"], text) for text in dates), "x"))
    assert [reading.line for reading in readings] == [3 + number // 2 for number in range(2 * count)] + [count + 3]
    assert readings[-2].stamp == f"{date.fromisoformat(dates[-1])}T12:00:00+10:00"


def test_days_before_any_register_are_malformed(read):
    _, readings = read(nem12(day(), register(), day()))
    assert [reading.line for reading in readings if reading.malformed] == [2]


def test_qualities_of_a_varying_day_are_those_of_its_events(sample):
    content = nem12(register(), day(quality="V"), "400,1,20,F14,76,", "400,21,24,A,,", "400,25,47,S14,1,")
    (stated,) = days(sample(content))
    assert stated.qualities == ["F14 76"] * 20 + ["A"] * 4 + ["S14 1"] * 23 + [None]
    assert (stated.line, stated.register) == (3, Register("NMI0000001", "E1", "KWH", 30))
    assert isinstance(stated, Day)


def test_null_values_are_no_readings_and_unstated_qualities_are_malformed(read):
    data, readings = read(nem12(register(), day(quality="V"), "400,1,4,N,,", "400,5,40,A,,"))
    assert readings[0].stamp == "2024-02-01T02:00:00+10:00"
    assert [reading.malformed for reading in readings] == [False] * 36 + [True] * 8
    assert data.not_selected == {"null values (quality N)": 4}


def test_estimated_and_substituted_values_are_marked(read):
    _, readings = read(
        nem12(register(), day(quality="V"), "400,1,2,E52,,", "400,3,3,S14,,", "400,4,4,F14,,", "400,5,48,A,,")
    )
    assert [reading.estimated for reading in readings] == [True] * 4 + [False] * 44
    assert readings[3].power == "0.103"
    assert [reading.quality for reading in readings[:5]] == ["E52", "E52", "S14", "F14", "A"]


def test_an_event_that_fits_no_day_is_malformed_and_changes_nothing(read):
    for event in ("400,0,4,N,,", "400,40,49,N,,", "400,4,1,N,,", "400,1,4,V,,", "400,a,4,N,,", "400,1"):
        _, readings = read(nem12(register(), day(), event))
        assert [reading.malformed for reading in readings] == [True] + [False] * 48


def test_an_empty_value_is_a_reading_without_one(read):
    _, readings = read(nem12(register(), day(["", *HALF_HOURS[1:]])))
    assert (readings[0].power, readings[0].malformed, readings[1].stamp) == (None, False, "2024-02-01T00:30:00+10:00")


def test_nem13_is_refused_with_what_to_ask_for(read):
    with pytest.raises(
        BadInputError, match=r"^n\.csv: line 1: is NEM13, not NEM12; .* ask for interval data \(NEM12\)$"
    ):
        read("100,NEM13,202402031135,MDA1,RET1\n250,NMI\n900\n")


def test_a_file_without_its_end_is_refused(read):
    content = nem12(register(), day(), day(date="20240202"))
    for incomplete in (content.removesuffix("900\n"), content[:-200]):
        with pytest.raises(
            BadInputError, match=r"^n\.csv: does not end with its end record, so a part of the file is missing"
        ):
            read(incomplete)
    assert len(read("\n".join([register(), day()]))[1]) == 48  # some distributors leave out both 100 and 900


def test_the_end_of_intervals_cannot_be_asked_for(read):
    with pytest.raises(
        BadInputError, match=r"^n\.csv: NEM12 states the start of each interval; leave out --stamp end$"
    ):
        read(nem12(register(), day()), GeneratorParams(files=("n.csv",), stamp="end"))


def test_a_file_is_converted_to_power_in_utc(convert):
    values = [f"{0.1 + number % 7 / 100:.3f}" for number in range(48)]
    done = convert({"n.csv": nem12(register(), day(values), register("B1"), day(["9"] * 48))})
    assert (done.source.unit, done.source.interval_seconds, done.source.households) == ("kWh", 1800, 1)
    assert done.records[0]["timestamp"] == "2024-01-31T14:00:00Z"
    assert sum(map(float, done.column("power_consumption"))) / 2 == pytest.approx(sum(map(float, values)))


def test_a_file_of_malformed_days_is_refused_with_what_a_day_needs(convert):
    with pytest.raises(BadInputError, match=r"^n\.csv: none of its 300 records has a date, a value for each interval"):
        convert({"n.csv": nem12(register(), day(HALF_HOURS[1:]))})


FED_IN = [f"1.{number:03}" for number in range(48)]


def test_what_is_fed_into_the_grid_is_the_export_of_the_register_beside_it(read):
    other = (register("E2"), day(), register("E1", nmi="NMI0000002"), day())
    data, readings = read(nem12(register("B1", "WH"), day(FED_IN), register("E1"), day(), *other))
    assert (data.flows, data.not_selected, len(readings)) == (("export",), {}, 144)
    assert [(r.household_id, r.power, r.export) for r in (readings[1], readings[49], readings[97])] == [
        ("NMI0000001 E1", "0.101", "0.001001"), ("NMI0000001 E2", "0.101", None), ("NMI0000002", "0.101", None),
    ]  # fmt: skip


def test_a_revised_day_takes_the_export_that_is_revised_with_it(read):
    later = [f"2.{number:03}" for number in range(48)]
    _, readings = read(nem12(register(), day(), day(), register("B1"), day(FED_IN), day(later)))
    assert (readings[1].export, readings[49].export) == ("1.001", "2.001")


@pytest.mark.parametrize(
    "records",
    [
        (register("B1"), day()),
        (register("B1"), day(), day(date="20240202"), day(date="20240202")),
        (register("B1"), day(), day(date="20240203")),
        (register("B1"), day(), day(HALF_HOURS[1:], date="20240202")),
        (register("B1", minutes=15), day(["1"] * 96), day(["1"] * 96, date="20240202")),
        (register("B2"), day(), day(date="20240202")),
    ],
)
def test_an_export_of_other_days_is_counted_and_takes_no_reading_away(read, records):
    data, readings = read(nem12(register(), day(), day(date="20240202"), *records))
    assert (data.flows, [reading.export for reading in readings]) == ((), [None] * len(readings))
    assert sum(not reading.malformed for reading in readings) == 96
    assert set(data.not_selected) <= {"B1 (KWH)", "B2 (KWH)"}


def test_the_quality_of_an_export_is_that_of_its_reading_too(read):
    states = ("400,1,1,N,,", "400,2,2,S14,,", "400,4,48,A,,")
    data, readings = read(nem12(register(), day(), register("B1"), day(FED_IN, quality="V"), *states))
    assert [(r.export, r.quality, r.estimated) for r in readings[:4]] == [
        (None, "A; export N", False),
        ("1.001", "A; export S14", True),
        (None, "A; export without quality", False),
        ("1.003", "A", False),
    ]
    assert data.not_selected == {"null values (quality N)": 1}


def test_an_export_beside_a_null_value_is_counted(read):
    data, readings = read(nem12(register(), day(quality="V"), "400,1,2,N,,", "400,3,48,A,,", register("B1"), day()))
    assert (len(readings), readings[0].export) == (46, HALF_HOURS[2])
    assert data.not_selected == {"null values (quality N)": 2, "B1 beside null values (quality N)": 2}


def test_export_becomes_power_and_one_that_is_missing_is_rejected_by_name(convert):
    content = nem12(register(), day(), register("B1"), day(["", *FED_IN[1:]]))
    done = convert({"n.csv": content})
    assert (done.records[0]["source_fault"], done.records[1]["source_fault"]) == ("missing_export", "")
    assert float(done.records[1]["export"]) == pytest.approx(2 * 1.001)
    assert ("export", "B1") in {(stated.topic, stated.value) for stated in done.source.files[0].understood}
