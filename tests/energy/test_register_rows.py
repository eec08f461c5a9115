"""Rows of several registers become readings by the roles that are stated, and by nothing else."""

import pytest

from include.core.errors import BadInputError
from include.energy.presets import preset_of
from include.energy.readers.base import MeterData
from include.energy.register_rows import join_registers, plain_obis, state_flows

HEADER = "time,meter,obis,kWh\n"
COLUMNS = "timestamp=time,household_id=meter,register=obis,register_kwh=kWh"
ROLES = 'registers = { "1.8.0" = "import", "1.8.1" = "import_tariff", "1.8.2" = "import_tariff", "2.8.0" = "export" }'


def rows(registers, hours=6):
    """A row for each hour and register; `registers` gives the reading of each by hour."""
    return HEADER + "".join(
        f"2026-01-01 {hour:02}:00,M1,{name},{reading(hour)}\n" for hour in range(hours) for name, reading in registers
    )


COUNTERS = (
    ("1-0:1.8.1*255", lambda hour: f"{100 + hour * 0.1:.2f}"),
    ("1-0:1.8.2*255", lambda hour: f"{50 + hour * 0.25:.2f}"),
    ("1-0:1.8.0*255", lambda hour: f"{170 + hour * 0.35:.2f}"),
    ("1-0:2.8.0*255", lambda hour: f"{hour * 0.05:.2f}"),
)


@pytest.fixture
def described(convert):
    """Return a function that reads rows of cumulative registers by the roles of a description of meters."""

    def described(content=None, roles=ROLES, **params):
        sources = {"meter.csv": content or rows(COUNTERS), "meters.toml": f"[meters.M1]\n{roles}\n"}
        return convert(sources, columns=COLUMNS, meters="meters.toml", timezone="UTC", **params)

    return described


def by_text(convert, content, roles, **params):
    columns = f"timestamp=time,household_id=meter,register=obis,energy_kwh=kWh,{roles}"
    return convert(content, columns=columns, timezone="UTC", **params)


def test_a_description_gives_registers_their_roles_and_a_register_counts_before_its_tariffs(described):
    done = described()
    assert done.column("power_consumption") == ["0.35"] * 5
    assert done.column("export") == ["0.05"] * 5
    assert done.column("source_line") == ["4", "8", "12", "16", "20"]
    assert done.source.files[0].joined == 18
    assert "import: the register and the sum of its tariffs agree to 0.03 kWh" in done.messages


def test_tariffs_count_where_no_register_of_their_role_stands_beside_them(described):
    done = described(rows([*COUNTERS[:2], COUNTERS[3]]))
    assert done.column("power_consumption") == ["0.35"] * 5


def test_a_register_that_its_tariffs_do_not_add_up_to_is_a_finding(described):
    wrong = [COUNTERS[0], ("1.8.2", lambda hour: f"{50 + hour * 0.25 + (hour == 3) * 0.5:.2f}"), *COUNTERS[2:]]
    done = described(rows(wrong))
    assert "differ by more than 0.03 kWh in 2 of 5 readings (the first: 2026-01-01 03:00, by -0.5 kWh)" in done.messages
    assert done.column("power_consumption") == ["0.35"] * 5


def test_a_register_without_a_role_is_refused_with_the_line_to_write(described):
    with pytest.raises(BadInputError) as refused:
        described(roles='registers = { "1.8.0" = "import" }')
    assert ROLES in str(refused.value)
    assert '[meters."M1"]' in str(refused.value)


def test_a_register_may_be_left_out_and_is_counted_then(described):
    done = described(roles=ROLES.replace('"2.8.0" = "export"', '"2.8.0" = "ignore"'))
    assert "export" not in done.records[0]
    assert "register 1-0:2.8.0*255: 6 readings were not read" in done.messages


def test_roles_must_be_stated(convert):
    with pytest.raises(BadInputError, match=r"what its registers count is not stated"):
        convert(rows(COUNTERS), columns=COLUMNS, timezone="UTC")


def alternating(hour):
    return ("day", "0.5") if 6 <= hour < 20 else ("night", "0.2")


def test_registers_that_take_turns_are_added_up_by_the_one_that_has_a_value(convert):
    lines = [
        f"2026-01-01 {hour:02}:00,M1,{name},{value}\n"
        for hour in range(24)
        for name, value in (alternating(hour), ("injection", f"0.{hour % 3}"))
    ]
    done = by_text(convert, HEADER + "".join(lines), "import=day|night,export=injection")
    assert sum(map(float, done.column("power_consumption"))) == pytest.approx(14 * 0.5 + 10 * 0.2)
    assert sum(map(float, done.column("export"))) == pytest.approx(2.4)


def test_a_register_that_is_missing_beside_others_makes_no_smaller_total(convert):
    content = rows([("T1", lambda hour: f"0.{hour}"), ("T2", lambda hour: f"0.{7 - hour}")])
    done = by_text(convert, content.replace("2026-01-01 02:00,M1,T2,0.5\n", ""), "import=T1|T2")
    assert done.column("power_consumption") == ["0.7", "0.7", "incomplete sum", "0.7", "0.7", "0.7"]
    assert done.column("source_line")[2] == "6"


def test_an_import_without_its_export_and_an_export_without_its_import_are_faults(convert):
    content = rows([("in", lambda hour: f"0.{hour}"), ("out", lambda hour: f"0.{7 - hour}")])
    content = content.replace("2026-01-01 02:00,M1,in,0.2\n", "").replace("2026-01-01 04:00,M1,out,0.3\n", "")
    done = by_text(convert, content, "import=in,export=out")
    assert done.column("source_fault") == ["", "", "", "", "missing_export", ""]
    assert (done.column("power_consumption")[2], done.column("export")[2]) == ("", "0.5")


def test_a_value_that_cannot_be_read_is_shown_at_its_own_line(convert):
    content = rows([("in", lambda hour: f"0.{hour}"), ("out", lambda hour: f"0.{7 - hour}")])
    done = by_text(convert, content.replace("01 03:00,M1,out,0.4", "01 03:00,M1,out,ERR"), "import=in,export=out")
    assert (done.column("export")[3], done.column("source_line")[3]) == ("ERR", "9")


def test_the_repeated_hour_has_two_imports_and_two_exports(convert):
    lines = [
        f"2026-10-25 {hour:02}:00,M1,{name},{value}\n"
        for number, hour in enumerate((0, 1, 2, 2, 3, 4, 5))
        for name, value in (("in", f"0.{number}"), ("out", f"0.{9 - number}"))
    ]
    columns = "timestamp=time,household_id=meter,register=obis,energy_kwh=kWh,import=in,export=out"
    done = convert(HEADER + "".join(lines), columns=columns, timezone="Europe/Berlin")
    assert done.column("timestamp")[2:4] == ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]
    assert done.column("power_consumption")[2:4] == ["0.2", "0.3"]
    assert done.column("export")[2:4] == ["0.7", "0.6"]


def test_a_row_that_names_no_register_is_refused(convert):
    content = rows([("in", lambda hour: f"0.{hour}")]) + "2026-01-01 07:00,M1,,0.4\n"
    with pytest.raises(BadInputError, match=r"line 8: names no register"):
        by_text(convert, content, "import=in")


def test_files_without_registers_stay_as_they_are():
    sources = [MeterData(batches=(), unit="kWh")]
    assert state_flows(sources, ["a.csv"], None) == sources
    assert join_registers(None, sources, ["a.csv"], None)[0] == sources


def test_obis_codes_are_compared_without_medium_and_billing_period():
    assert [plain_obis(name) for name in ("1-0:1.8.1*255", "2.8.0", "T1")] == ["1.8.1", "2.8.0", "T1"]


def test_described_registers_that_no_column_names_are_said(convert):
    content = "time,kWh\n" + "".join(f"2026-01-01 {hour:02}:00,0.{hour % 3}\n" for hour in range(24))
    sources = {"meter.csv": content, "meters.toml": f"[meters.M1]\n{ROLES}\n"}
    done = convert(sources, columns="household_id=@M1", meters="meters.toml", timezone="UTC")
    assert "The registers that are described of M1 were not used" in done.messages


def test_registers_that_the_user_states_come_before_the_rows_that_a_preset_chooses(convert):
    preset = preset_of("fluvius")
    roles = "register=Register,import=Afname Dag|Afname Nacht,export=Injectie Dag|Injectie Nacht"
    done = convert(preset.specimen.text.lstrip(), format="fluvius", timezone=preset.timezone, columns=roles)
    assert len(done.records) == preset.specimen.readings
    assert sum(map(float, done.column("power_consumption"))) / 4 == pytest.approx(preset.specimen.energy_kwh)
    assert sum(map(float, done.column("export"))) / 4 == pytest.approx(0.7)
