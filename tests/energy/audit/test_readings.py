import csv
import json

import pytest

from include.core.errors import ContractError
from include.energy.audit.readings import prove_generator
from include.energy.generator import generate
from include.energy.params import GeneratorParams
from tests.energy.analysis import DAY

WEEKS = {"start": "2026-01-05T00:00Z", "end": "2026-03-02T00:00Z", "households": 2, "interval_minutes": 60}
LOCAL = "Zeit;Zähler;kWh\n" + "".join(
    f"{25 + number // 96}.10.2025 {number // 4 % 24:02}:{number % 4 * 15:02};Nord;0,{number + 10}\n"
    for number in range(288)
)


def rewrite(path, change):
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames), list(reader)
    columns, rows = change(columns, rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def many(monkeypatch):
    """However few readings there are, they count as many."""
    monkeypatch.setattr("include.energy.audit.readings.READINGS_GENERATED_AGAIN", 0)


def test_a_generated_day_is_generated_again(files):
    params = GeneratorParams(**DAY)
    generate(files, params)
    proof, source = prove_generator(files, params)
    assert source.recomputed == "every value, from the parameters and the records"
    assert proof.recomputed.endswith("records, generated again")
    assert not proof.draw


@pytest.mark.parametrize(
    "interval", [("2026-01-05T10:20+01:00", "2026-01-06T03:00+01:00"), ("2026-03-28T00:00Z", "2026-03-30T00:00Z")]
)
def test_an_interval_may_begin_and_end_within_a_day(files, interval):
    params = GeneratorParams(start=interval[0], end=interval[1], faulty_share=0.1)
    generate(files, params)
    prove_generator(files, params)


def test_of_many_days_five_percent_are_generated_again(files, many):
    params = GeneratorParams(**WEEKS)
    generate(files, params)
    proof, source = prove_generator(files, params)
    assert (source.recomputed[:28], source.sampled) == (
        "every value but injected, fr",
        "injected is at least what 5 days hold",
    )
    assert len(proof.draw) == 5
    assert proof.sampled == "all records of 5 of 56 days, generated again"
    assert not any(proof.sampled or proof.draw for proof in prove_generator(files, params, audit=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, rows: (c, rows[: len(rows) // 2]), r"must hold (about|the records|\d+ records)"),
        (lambda c, rows: (c, [*rows, *rows[:900]]), r"must hold (about|the records|\d+ records)"),
        (lambda c, rows: (c, [row | {"household_id": "H0009"} for row in rows]), "must hold"),
        (
            lambda c, rows: (c, [row | {"timestamp": row["timestamp"].replace("2026", "1996")} for row in rows]),
            "must hold",
        ),
    ],
)
def test_what_is_not_generated_again_must_be_plausible(files, many, change, message):
    params = GeneratorParams(**WEEKS)
    generate(files, params)
    rewrite(files / "energy_data.csv", change)
    with pytest.raises(ContractError, match=f"energy_data.csv: {message}"):
        prove_generator(files, params)


def test_an_audit_finds_what_a_sample_may_miss(files, many):
    params = GeneratorParams(**WEEKS)
    generate(files, params)
    rewrite(files / "energy_data.csv", lambda columns, rows: (columns, [*rows[:-1], rows[-1] | {"voltage": "231.9"}]))
    with pytest.raises(ContractError, match="must hold the records that seed 0 gives for 2026-03-01"):
        prove_generator(files, params, audit=True)


def test_a_generator_that_states_no_seed_is_said_not_to_be_checked(files):
    params = GeneratorParams(**DAY)
    generate(files, params)
    (files / "energy_source.json").unlink()
    (proof,) = prove_generator(files, params)
    assert (
        proof.finding.message == "energy_data.csv is not fully checked: it comes from a generator that states no seed."
    )


MAPPING = {"columns": "timestamp=Zeit,household_id=Zähler,energy_kwh=kWh", "timezone": "Europe/Berlin"}


def test_input_files_are_converted_again(files, convert):
    convert({"meter.csv": LOCAL}, **MAPPING)
    proofs = prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))
    assert [proof.artifact for proof in proofs] == ["energy_data.csv", "energy_source.json"]
    assert proofs[0].recomputed == "288 readings of 1 input files, in their order"


@pytest.mark.parametrize(
    "wrong", [{"timezone": "UTC"}, {"stamp": "end"}, {"columns": MAPPING["columns"].replace("energy_kwh", "power_kw")}]
)
def test_another_conversion_than_the_users_is_refused(files, convert, wrong):
    convert({"meter.csv": LOCAL}, **MAPPING | wrong, as_mapped=True)
    with pytest.raises(ContractError, match=r"energy_data.csv: record \d+ must be"):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))


def test_a_foreign_generator_is_held_to_the_values_and_need_not_name_lines(files, convert):
    convert({"meter.csv": LOCAL}, **MAPPING)

    def respell(columns, rows):
        return columns[:5], [
            row
            | {
                "timestamp": row["timestamp"].replace("Z", "+00:00"),
                "power_consumption": f"{float(row['power_consumption']):.6f}",
            }
            for row in rows
        ]

    rewrite(files / "energy_data.csv", respell)
    proof, _ = prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))
    assert proof.recomputed
    assert "no record names its line" in proof.finding.message


def test_records_of_a_file_that_no_reader_can_read_are_refused(files, convert):
    convert({"meter.csv": LOCAL}, **MAPPING)
    (files / "source" / "meter.csv").write_bytes(b"\0" * 100)
    with pytest.raises(ContractError, match=r"energy_data.csv: .* no reader of this version .* NUL byte"):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))


def test_the_account_of_input_files_cannot_be_left_out(files, convert):
    convert({"meter.csv": LOCAL}, **MAPPING)
    (files / "energy_source.json").unlink()
    with pytest.raises(ContractError, match=r"energy_source.json: must be there"):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))


def test_records_of_a_drawn_day_stand_nowhere_else(files, many, monkeypatch):
    params = GeneratorParams(**WEEKS)
    generate(files, params)
    with (files / "energy_data.csv").open() as file:
        head, *lines = file.readlines()
    lies = [f"2026-01-05T0{hour}:00:00Z,H0001,9999,230.0,50000" for hour in range(9)]
    (files / "energy_data.csv").write_text(head + "\n".join([*lies, *map(str.strip, lines)]) + "\n")
    monkeypatch.setattr("include.energy.audit.readings.draw", lambda days, audit: days[:5])
    with pytest.raises(ContractError, match=r"must hold \d+ records of 2026-01-05, those that seed 0 gives"):
        prove_generator(files, params)


def test_the_account_must_be_that_of_the_conversion(files, convert):
    convert({"meter.csv": LOCAL}, **MAPPING)
    document = json.loads((files / "energy_source.json").read_text())
    document["files"][0]["households"] = 2
    (files / "energy_source.json").write_text(json.dumps(document))
    with pytest.raises(ContractError, match=r"energy_source.json: files\[0\].households must be 1"):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))


def test_an_input_file_that_is_not_there_is_not_taken_for_another_format(files, convert):
    convert({"meter.csv": LOCAL}, **MAPPING)
    (files / "source" / "meter.csv").unlink()
    with pytest.raises(ContractError, match=r"source/meter.csv: must be there"):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))


REGISTER = "t,v\n" + "".join(
    f"2026-01-05T{number // 3:02}:{number * 20 % 60:02}Z,{(99990 + number) % 100000}\n" for number in range(30)
)
STATED = {"columns": "timestamp=t,household_id=@A,register_kwh=v", "resample": "1h", "register_digits": 5}


def test_registers_are_resampled_again(files, convert):
    convert(REGISTER, **STATED)
    proofs = prove_generator(files, GeneratorParams(files=("meter.csv",), **STATED))
    assert proofs[0].recomputed == "9 readings of 1 input files, in their order"


@pytest.mark.parametrize("wrong", [{"resample": "20min"}, {"register_digits": 6}])
def test_registers_resampled_otherwise_are_refused(files, convert, wrong):
    convert(REGISTER, **STATED | wrong)
    with pytest.raises(ContractError, match=r"energy_data.csv: "):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **STATED))


def test_an_account_that_hides_a_roll_over_is_refused(files, convert):
    convert(REGISTER, **STATED)
    document = json.loads((files / "energy_source.json").read_text())
    document["rolled_over"] = 0
    (files / "energy_source.json").write_text(json.dumps(document))
    with pytest.raises(ContractError, match=r"energy_source.json: rolled_over must be 1"):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **STATED))


def test_meters_that_are_described_otherwise_are_refused(files, convert):
    described = "[meters.Nord]\nmultiplier = 40\nlimit_kw = 30\n"
    convert({"meter.csv": LOCAL, "meters.toml": described}, **MAPPING, meters="meters.toml")
    params = GeneratorParams(files=("meter.csv",), **MAPPING, meters="meters.toml")
    prove_generator(files, params)
    (files / "source" / "meters.toml").write_text(described.replace("40", "20"))
    with pytest.raises(ContractError, match=r"energy_data.csv: record 1 must be"):
        prove_generator(files, params)
    (files / "source" / "meters.toml").write_text(described.replace("30", "31"))
    with pytest.raises(ContractError, match=r"energy_source.json: limits_kw.Nord must be 31"):
        prove_generator(files, params)
    (files / "source" / "meters.toml").unlink()
    with pytest.raises(ContractError, match=r"source/meters.toml: must be there"):
        prove_generator(files, params)


def test_zeros_that_nobody_asked_for_are_refused(files, convert):
    rows = LOCAL.splitlines()
    content = "\n".join(rows[:9] + rows[11:]) + "\n"
    convert(content, **MAPPING, zeros_omitted=True)
    prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING, zeros_omitted=True))
    with pytest.raises(ContractError, match=r"energy_data.csv: must have no other columns"):
        prove_generator(files, GeneratorParams(files=("meter.csv",), **MAPPING))
