"""The description of connection points, through the generator."""

import pytest

from include.core.errors import BadInputError
from include.energy.meters import read_meters

COLUMNS = "timestamp=t,household_id=m,energy_kwh=v"
DATA = "t,m,v\n" + "".join(f"2026-01-05T{hour:02}:00Z,{home},0.5\n" for home in "AB" for hour in range(6))


def described(convert, description, data=DATA, columns=COLUMNS, **params):
    return convert({"meter.csv": data, "meters.toml": description}, columns=columns, meters="meters.toml", **params)


REFUSED = {
    "no_toml": ("meters: A", "meters.toml: is not TOML: .*; write a table for each meter: \\[meters.NAME\\]"),
    "empty": ("", "meters.toml: meters: Field required"),
    "other_table": ("[meter.A]\nlimit_kw = 3", "meters.toml: .*meter: is not a key; the keys are meters"),
    "unknown_key": ("[meters.A]\nlimit = 3", "meters.toml: meter A: limit: is not a key; the keys are devices, multi"),
    "unknown_key_of_a_device": (
        '[meters.A]\ndevices = [{ id = "x", since = 2026-01-01T00:00:00Z }]',
        "meters.toml: meter A: devices.1.since: is not a key; the keys are id, from, until, multiplier",
    ),
    "limit": ("[meters.A]\nlimit_kw = 0", "meters.toml: meter A: limit_kw: Input should be greater than 0"),
    "no_offset": (
        '[meters.A]\ndevices = [{ id = "x", until = 2026-01-01T00:00:00 }]',
        "meter A: devices.1.until: must state its offset from UTC, for example 2026-03-01T10:00:00\\+01:00",
    ),
    "order": (
        '[meters.A]\ndevices = [{ id = "x", from = 2026-01-02T00:00:00Z, until = 2026-01-01T00:00:00Z }]',
        "meter A: devices.1: from must be earlier than until",
    ),
    "overlap": (
        '[meters.A]\ndevices = [{ id = "x" }, { id = "y", from = 2026-01-01T00:00:00Z }]',
        "meter A: devices: x must have an until, and y a from that is not earlier",
    ),
    "twice": (
        '[meters.A]\ndevices = [{ id = "x" }]\n[meters.B]\ndevices = [{ id = "x" }]',
        "meters.toml: meters: devices: x: belongs to two meters, or is the name of one",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_description_that_breaks_a_rule_is_refused_with_file_meter_key_and_rule(tmp_path, case):
    content, message = REFUSED[case]
    (tmp_path / "meters.toml").write_text(content)
    with pytest.raises(BadInputError, match=message):
        read_meters(tmp_path / "meters.toml", "meters.toml")


def test_values_are_multiplied_by_the_ratios_of_transformers_and_that_is_stated(convert):
    done = described(convert, "[meters.A]\nmultiplier = 40\nlimit_kw = 30\n[meters.B]\n")
    powers = {(row["household_id"], row["power_consumption"]) for row in done.records}
    assert powers == {("A", "20.0"), ("B", "0.5")}
    assert "multiplied by the ratios of transformers that meters.toml states: A × 40." in done.messages
    assert done.source.limits_kw == {"A": 30.0}


def test_a_device_may_have_a_ratio_of_its_own(convert):
    change = "2026-01-05T03:00:00Z"
    devices = f'{{ id = "x", until = {change} }}, {{ id = "y", from = {change}, multiplier = 10 }}'
    done = described(convert, f"[meters.A]\nmultiplier = 2\ndevices = [{devices}]\n[meters.B]\n")
    assert [row["power_consumption"] for row in done.records][:6] == ["1.0"] * 3 + ["5.0"] * 3
    assert "A × 2 then 10" in done.messages


def test_what_a_device_reads_before_or_after_it_was_installed_is_rejected(convert):
    devices = '{ id = "A", until = 2026-01-05T03:00:00Z }, { id = "B", from = 2026-01-05T03:00:00Z }'
    done = described(convert, f"[meters.HOME]\ndevices = [{devices}]\n", as_mapped=True)
    sound = [(row["timestamp"][11:13]) for row in done.records if not row["source_fault"]]
    assert sound == ["00", "01", "02", "03", "03", "04", "05"]
    assert {row["source_fault"] for row in done.records} == {"", "not_installed"}
    assert {row["household_id"] for row in done.records} == {"HOME"}


def test_a_time_at_which_no_device_was_installed_is_rejected(convert):
    done = described(convert, '[meters.A]\ndevices = [{ id = "x", from = 2026-01-05T02:00:00Z }]\n[meters.B]\n')
    faults = [row["source_fault"] for row in done.records]
    assert faults == ["not_installed"] * 2 + [""] * 10


def test_meters_that_only_one_side_knows_are_stated(convert):
    done = described(convert, "[meters.A]\n[meters.C]\n")
    assert "meters.toml does not describe B." in done.messages
    assert "meters.toml describes C, which the data do not hold." in done.messages


def test_a_meter_without_a_multiplier_beside_those_that_have_one_is_refused(convert):
    with pytest.raises(BadInputError, match=r"does not describe B, and states multipliers for others; add a table"):
        described(convert, "[meters.A]\nmultiplier = 40\n")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('unit = "Wh"', "meter A: unit: is Wh, and the input files were read as kWh"),
        ('timezone = "+10:00"', r"meter A: timezone: is \+10:00, and the run's is None; say --timezone \+10:00"),
    ],
)
def test_another_unit_or_zone_than_that_of_the_run_is_refused(convert, key, message):
    with pytest.raises(BadInputError, match=message):
        described(convert, f"[meters.A]\n{key}\n[meters.B]\n")


def test_digits_and_limit_of_a_meter_say_what_is_a_roll_over(convert):
    rows = [f"2026-01-05T{hour:02}:00Z,A,{value}" for hour, value in enumerate(["9997", "9998", "9999", "1", "2"])]
    data, columns = "\n".join(["t,m,v", *rows]) + "\n", COLUMNS.replace("energy", "register")
    stated = "[meters.A]\nregister_digits = 4\nmultiplier = 10\nlimit_kw = {}\n"
    done = described(convert, stated.format(20), data, columns)
    assert [row["power_consumption"] for row in done.records] == ["10.0", "10.0", "20.0", "10.0"]
    assert done.source.rolled_over == 1
    done = described(convert, stated.format(15), data, columns)
    assert [row["source_fault"] for row in done.records] == ["", "", "register_reset", ""]
