"""Figures by household and in all: energy, peaks, coverage and gaps."""

from include.energy import statistics
from include.energy.schemas import Gap
from tests.energy.analysis import DAY, MONDAY, analyzed, series, varied


def test_energy_peak_and_load_factor(files):
    home = analyzed(files, series([1, 2, 3, 2] * 12), outlier_threshold=100).document.households[0]
    assert (home.energy_kwh, home.peak_kw, home.mean_kw, home.load_factor) == (48.0, 3.0, 2.0, 0.6667)
    assert home.peak_at == MONDAY.replace(hour=1), "the first of equal peaks"


def test_gaps_are_counted_against_the_window(files):
    lines = series([*varied(10), *[None] * 5, *varied(20), None, *varied(8)], start=2)
    document = analyzed(files, lines, **DAY).document
    assert (document.expected, document.received, document.missing) == (48, 38, 10)
    assert [(gap.intervals, f"{gap.start:%H:%M}", f"{gap.end:%H:%M}") for gap in document.longest_gaps] == [
        (5, "06:00", "08:30"),
        (2, "00:00", "01:00"),
        (2, "23:00", "00:00"),
        (1, "18:30", "19:00"),
    ]
    assert document.load_factor is None, "38 of 48 is less than 80 %"
    assert analyzed(files, lines).document.missing == 6, "without a window the ends are the data's own"


def test_households_keep_their_own_intervals(files):
    lines = [*series(varied(48)), *series(varied(96), home="B", minutes=15)]
    document = analyzed(files, lines).document
    assert document.interval_seconds is None
    assert [(home.interval_seconds, home.missing) for home in document.households] == [(1800, 0), (900, 0)]
    assert document.households[1].energy_kwh == round(sum(varied(96)) / 4, 3)


def test_totals_add_up_the_households(files):
    document = analyzed(files, [*series([1, 1, None, *varied(45)]), *series(varied(96), home="B", minutes=15)]).document
    for name in ("energy_kwh", "expected", "received", "missing", "high_usage", "anomalies", "outlier_not_assessed"):
        assert getattr(document, name) == sum(getattr(home, name) for home in document.households)
    assert (document.missing, document.expected, document.load_factor) == (1, 144, None)


def test_the_extent_ends_with_the_last_interval(files):
    document = analyzed(files, [*series(varied(4)), *series(varied(4), home="B", minutes=60)]).document
    assert (document.start, document.end) == (MONDAY, MONDAY.replace(hour=4))


def test_energy_is_power_times_time_to_the_watt_hour():
    assert statistics.energy(1_500_000 * 1800) == 0.75
    assert statistics.moment(MONDAY.timestamp()) == MONDAY


def test_gaps_are_sorted_by_length_then_time():
    def gap(home, start, end):
        return Gap(household_id=home, start=MONDAY.replace(hour=start), end=MONDAY.replace(hour=end), intervals=1)

    gaps = [gap("B", 5, 6), gap("A", 3, 4), gap("A", 7, 9), gap("A", 5, 6)]
    assert statistics.longest(gaps) == [gaps[2], gaps[1], gaps[3], gaps[0]]
