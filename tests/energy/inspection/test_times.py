"""Which columns hold the time, and which end of its interval it is."""

from datetime import datetime, timedelta

import pytest

from include.core.errors import BadInputError
from include.energy.inspection.layout import find_table
from include.energy.inspection.plan import ZONE, Answers
from include.energy.inspection.times import are_periods, hour_name
from include.energy.inspection.understanding import understand

HOURS = [f"2026-01-0{day} {hour:02}:00" for day in (5, 6) for hour in range(24)]


def test_a_date_and_the_time_of_its_start_are_joined(understood):
    rows = [f"2026-01-05;{h:02}:00;2026-01-05;{h:02}:59;1" for h in range(24)]
    plan = understood("Van datum;Van tijd;Tot datum;Tot tijd;kWh", *rows).plan
    assert (plan.stamps, plan.ends) == ((0, 1), False)


def test_hours_may_be_numbered(understood):
    plan = understood("Fecha;Hora;kWh", *(f"05/13/2026;{h};0,5" for h in range(1, 25))).plan
    assert (plan.stamps, plan.period_minutes, plan.ends, plan.order) == ((0, 1), 60, False, "mdy")
    with pytest.raises(BadInputError, match="numbers the periods of the day from 0 to 23 in 'Hora'"):
        understood("Fecha;Hora;kWh", *(f"05/13/2026;{h};0,5" for h in range(24)))


@pytest.mark.parametrize("columns", [None, "timestamp=Datum,timestamp=Stunde"])
def test_numbered_hours_that_clocks_show_twice_are_refused_with_the_times_to_write(understood, tmp_path, columns):
    rows = [
        f"{d}.10.2025;{h};0,5" for d in (25, 26) for h in [1, 2, *(["3A", "3B"] if d == 26 else [3]), *range(4, 25)]
    ]
    with pytest.raises(BadInputError, match=r"'Stunde', and one is '3A': .* with A and B: 02:00A, 02:00B$"):
        understood("Datum;Stunde;kWh", *rows, columns=columns, timezone="Europe/Berlin")
    days = [f"{datetime(2025, 1, 1) + timedelta(days=d):%d.%m.%Y};{h};0,5" for d in range(200) for h in range(1, 25)]  # noqa: DTZ001
    (tmp_path / "late.csv").write_text("\n".join(["Datum;Stunde;kWh", *days]))
    layout = find_table(tmp_path / "late.csv", "late.csv")
    searched = lambda position, pattern, _: "3A" if (position, pattern) == (1, r"\D") else None  # noqa: E731
    with pytest.raises(BadInputError, match="and one is '3A'"):
        understand(layout, Answers(timezone="Europe/Berlin"), searched)


def test_times_may_stand_in_the_header(understood):
    header = "Date," + ",".join(f"kWh {h:02}:00" for h in range(24))
    plan = understood(header, *(f"2026-01-0{d}," + ",".join(["1"] * 24) for d in (5, 6))).plan
    assert (plan.stamps, plan.spread[1], len(plan.values), plan.ends) == ((0,), "00:00", 24, False)
    numbered = "Date,kWh," + ",".join(f"H{h}" for h in range(1, 25))
    plan = understood(numbered, *(f"2026-01-0{d},," + ",".join(["1"] * 24) for d in (5, 6)), unit="kWh").plan
    assert (plan.period_minutes, plan.spread[2]) == (60, "1")


@pytest.mark.parametrize(
    ("header", "stamps", "end", "evidence"),
    [
        ("HourEnding", HOURS, True, "the column's name is 'HourEnding'"),
        ("Start", HOURS[3:], False, "the column's name is 'Start'"),
        ("t", [*HOURS[1:], "2026-01-07 00:00"], True, "only as ends do the stamps, 01:00 to 00:00, give complete days"),
        ("t", HOURS, False, "only as starts do the stamps, 00:00 to 23:00, give complete days"),
        ("t", [f"2026-01-05 {h:02}:00" for h in range(5, 25)], True, "days end with 24:00, and none begins with 00:00"),
        ("t", [f"{h} to {h[:-2]}59" for h in HOURS[3:]], False, "each stamp is a range, and its first time is taken"),
        ("t", HOURS[3:-3], False, "nothing shows whether it is start or end"),
    ],
)  # fmt: skip
def test_what_shows_that_stamps_are_ends(statements, header, stamps, end, evidence):
    found = statements(f"{header},kWh", *(f"{stamp},1" for stamp in stamps))["stamps mark"]
    assert (found.value, found.evidence) == (f"the {'end' if end else 'start'} of the interval", evidence)
    assert found.assumed == evidence.startswith("nothing")


def test_what_the_user_states_of_the_ends_is_checked(understood):
    ends = [f"{stamp},1" for stamp in (*HOURS[1:], "2026-01-07 00:00")]
    with pytest.raises(BadInputError, match="--stamp start contradicts the file: only as ends"):
        understood("t,kWh", *ends, stamp="start")
    assert not understood("t,kWh", *ends, stamp="start", as_mapped=True).plan.ends
    assert understood("t,kWh", *(f"{stamp},1" for stamp in HOURS), stamp="end").plan.ends


def test_the_zone_is_named_by_stamps_by_the_column_or_by_the_user(understood, statements):
    rows = [f"{stamp},1" for stamp in HOURS]
    assert understood("t,kWh", *rows, timezone=None).questions[0].topic == ZONE
    assert understood("t,kWh", *rows, timezone=None).plan is not None, (
        "whether stamps need one is told from all of them"
    )
    assert understood("Time (UTC),kWh", *rows, timezone=None).plan.utc
    assert statements("t,kWh", *(f"{stamp}Z,1" for stamp in HOURS))[ZONE].value == "each stamp names its own"


def test_an_open_date_order_is_asked_and_an_answer_that_contradicts_is_refused(understood):
    (question,) = understood("t,kWh", "03/04/2026 10:00,1", "03/04/2026 11:00,1").questions
    assert question.options == ("--date-order dmy", "--date-order mdy")
    assert understood("t,kWh", "03/04/2026 10:00,1", "03/04/2026 11:00,1", date_order="mdy").plan.order == "mdy"
    with pytest.raises(BadInputError, match="--date-order mdy contradicts the file: '13/04/2026 10:00' can only be"):
        understood("t,kWh", "13/04/2026 10:00,1", "13/04/2026 11:00,1", date_order="mdy")


def test_dates_that_begin_with_a_year_of_two_digits_are_refused(understood):
    days = [f"26/01/{day:02} {hour:02}:00,{hour % 5}" for day in range(5, 9) for hour in range(24)]
    with pytest.raises(BadInputError, match="'26/01/05 00:00' follow each other only if the year stands first"):
        understood("t,kWh", *days)


@pytest.mark.parametrize("form", ["%d/%m/%y %H:%M", "%m/%d/%y %H:%M"])
def test_dates_that_end_with_a_year_of_two_digits_are_read(understood, form):
    hours = [datetime(2025, 12, 25) + timedelta(hours=hour) for hour in range(14 * 24)]  # noqa: DTZ001 - a wall clock
    plan = understood("t,kWh", *(f"{moment:{form}},{moment.hour % 5}" for moment in hours)).plan
    assert plan.order == ("dmy" if form.startswith("%d") else "mdy")


def test_a_file_without_times_is_refused(understood):
    with pytest.raises(BadInputError, match="no column holds times"):
        understood("a,kWh,c", "x,1,2", "y,1,2", "z,3,4")


def test_times_within_names():
    assert [hour_name(name) for name in ("00:15 - 00:30", "kWh 00:15", "MT_001")] == ["00:15", "00:15", "MT_001"]


def test_periods_are_small_whole_numbers(understood, tmp_path):
    from include.energy.inspection.columns import Column

    def column(*texts):
        return Column(0, "h", "number", texts, texts)

    assert are_periods(column("1", "2", "3", "4"))
    assert not are_periods(column("1", "2.5", "3", "4"))
    assert not are_periods(column("100", "2000", "3", "4"))


def test_hours_of_a_header_may_name_the_repeated_one(understood):
    names = [*(f"Hour {n}" for n in (1, 2)), "Hour 3A", "Hour 3B", *(f"Hour {n}" for n in range(4, 25))]
    rows = [f"{day}/10/2024;" + ";".join("1" for _ in names) for day in (26, 27)]
    plan = understood(f"Date;{';'.join(names)}", *rows, unit="kWh").plan
    assert [plan.spread[position] for position in (1, 3, 4, 5, 25)] == ["00:00", "02:00A", "02:00B", "03:00", "23:00"]
    with pytest.raises(BadInputError, match=r"'Hour 3A', 'Hour 3B' name the repeated hour, and the others are not the"):
        understood(f"Date;{';'.join(names)};Hour 25", *(f"{row};1" for row in rows), unit="kWh")


@pytest.mark.parametrize("text", ["(1.5)", "#N/A", "-"])
def test_an_hour_of_a_header_that_holds_no_numbers_is_not_left_out(understood, text):
    header = "Date," + ",".join(f"kWh {h:02}:00" for h in range(24))
    rows = (f"2026-01-0{d}," + ",".join(text if h == 3 else "1" for h in range(24)) for d in (5, 6))
    assert understood(header, *rows).plan.spread[4] == "03:00"
