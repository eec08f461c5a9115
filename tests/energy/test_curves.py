"""Profiles, curves and EN 50160, on the local clock."""

from tests.energy.analysis import DAY, MONDAY, analyzed, series, varied


def test_the_local_clock_decides_the_hour(files):
    evening = [round(0.3 + 0.001 * (n % 5) + (3 if (n // 2) % 24 == 8 else 0), 3) for n in range(14 * 48)]
    utc = analyzed(files, series(evening)).document
    assert utc.hourly_profile_kw[8] > 3 > utc.hourly_profile_kw[18]
    sydney = analyzed(files, series(evening), timezone="+10:00").document
    assert sydney.hourly_profile_kw[18] == utc.hourly_profile_kw[8]
    assert sydney.anomalies_by_reason["outlier"] == 0


def test_all_together_peak_in_the_same_interval(files):
    document = analyzed(files, [*series([1, 2, 1, 1] * 12), *series([4, 1, 1, 1] * 12, home="B")]).document
    assert (document.peak_kw, document.peak_at, document.energy_kwh) == (5.0, MONDAY, 72.0)


def test_intervals_that_begin_apart_add_up_while_they_overlap(files):
    late = [line.replace(":00:00Z", ":10:00Z").replace(":30:00Z", ":40:00Z") for line in series([2.0] * 10, home="B")]
    document = analyzed(files, [*series([1.0] * 10), *late], **DAY).document
    assert (document.peak_kw, f"{document.peak_at:%H:%M}") == (3.0, "00:10")


def test_intervals_of_different_lengths_add_up_while_they_overlap(files):
    halves = series([0.5] * 9 + [2.0], home="B")
    document = analyzed(files, [*series([1.0] * 5, minutes=60), *halves], **DAY).document
    assert (document.peak_kw, f"{document.peak_at:%H:%M}") == (3.0, "04:30")


def test_a_reading_counts_for_its_interval_in_profile_and_heat_map(files):
    hours = series([3.0] * 24, home="A", minutes=60)
    quarters = series([1.0] * 96, home="B", minutes=15)
    document = analyzed(files, [*hours, *quarters], **DAY).document
    assert document.hourly_profile_kw == [2.0] * 24
    assert document.heat_map.kw == [[2.0] * 24]
    assert set(document.load_curve.mean_kw) == {2.0}


def test_en_50160_needs_a_week_of_fine_readings(files):
    week = series(varied(7 * 144), minutes=10)
    document = analyzed(files, week).document
    assert document.en_50160.compliant_households == document.en_50160.households == 1
    low = [line.replace(",230.0,", ",200.0,") if number < 51 else line for number, line in enumerate(week)]
    failing = analyzed(files, low).document.en_50160
    assert (failing.compliant_weeks, failing.lowest_share) == (0, round(957 / 1008, 4))
    short = analyzed(files, week[:-1]).document
    assert short.en_50160 is None
    assert "less than seven days" in short.en_50160_note
    coarse = analyzed(files, series(varied(400))).document
    assert "coarser" in coarse.en_50160_note


def test_the_load_curve_has_a_point_for_each_quarter_of_an_hour_or_longer_period(files):
    curve = analyzed(
        files, [*series([1, 2, None, 4, *varied(44)]), *series([3, 2, *varied(46)], home="B")]
    ).document.load_curve
    assert curve.period_seconds == 1800
    assert (curve.mean_kw[:4], curve.peak_kw[:4]) == ([2.0, 2.0, 0.3, 2.155], [3.0, 2.0, 0.3, 4.0])
    assert (curve.start[1] - curve.start[0]).total_seconds() == 1800
    year = analyzed(files, series(varied(365 * 24), minutes=60)).document.load_curve
    assert (year.period_seconds, len(year.start)) == (86400, 365)


def test_anomalies_stand_in_their_period_of_the_load_curve(files):
    curve = analyzed(files, series([*varied(40), 7.5, *varied(7)])).document.load_curve
    assert [(point.period, point.reason, point.records, point.peak_kw) for point in curve.anomalies] == [
        (40, "outlier", 1, 7.5)
    ]


def test_the_heat_map_has_a_row_for_each_day_and_its_hours(files):
    heat = analyzed(files, series([1, 3, *varied(46), 2, 2, *varied(46)])).document.heat_map
    assert (heat.period_days, [str(day) for day in heat.start]) == (1, ["2026-01-05", "2026-01-06"])
    assert [row[0] for row in heat.kw] == [2.0, 2.0]


def test_curve_and_heat_map_say_which_periods_hold_estimates(files):
    powers = varied(7 * 24)
    powers[51] = powers[52] = None
    document = analyzed(files, series(powers, minutes=60), estimate=True).document
    assert (document.load_curve.estimated, document.heat_map.estimated) == ([51, 52], [(2, 3), (2, 4)])
    plain = analyzed(files, series(powers, minutes=60)).document
    assert (plain.load_curve.estimated, plain.heat_map.estimated) == ([], [])


def test_a_profile_is_the_mean_of_each_hour_of_the_day(files):
    document = analyzed(files, [*series([1, 3] * 24), *series([2, 2] * 24, home="B")]).document
    assert document.hourly_profile_kw == [2.0] * 24
    assert [home.hourly_profile_kw for home in document.households] == [[2.0] * 24] * 2
