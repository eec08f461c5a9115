"""The analysis against the same rules written again, slowly and plainly, on random meter data."""

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from statistics import median
from zoneinfo import ZoneInfo

import pytest

from tests.energy.analysis import analyzed

FAULTS = {
    "missing_timestamp": lambda t, h, p, v, i: f",{h},{p},{v},{i}",
    "missing_household_id": lambda t, h, p, v, i: f"{t},,{p},{v},{i}",
    "missing_power_consumption": lambda t, h, p, v, i: f"{t},{h},,{v},{i}",
    "unparsable_power_consumption": lambda t, h, p, v, i: f"{t},{h},1_0,{v},{i}",
    "not_finite_power_consumption": lambda t, h, p, v, i: f"{t},{h},inf,{v},{i}",
    "negative_power": lambda t, h, p, v, i: f"{t},{h},-{p + 0.1:.3f},{v},{i}",
    "missing_time_zone": lambda t, h, p, v, i: f"{t[:-1]},{h},{p},{v},{i}",
    "malformed_record": lambda t, h, p, v, i: f"{t},{h},{p}",
}
TIMELESS = {"missing_timestamp", "missing_time_zone", "malformed_record"}


class Data:
    """Random readings of some households, and what each line was made to be."""

    def __init__(self, seed, zone, start, days, minutes, window):
        self.random, self.zone, self.minutes = random.Random(seed), ZoneInfo(zone), minutes  # noqa: S311
        self.start, self.days = datetime.fromisoformat(start).replace(tzinfo=UTC), days
        self.window = window and tuple(self.start + timedelta(hours=hours) for hours in window)
        self.lines: list[str] = []
        self.rejected: Counter[str] = Counter()
        self.outside = 0
        self.accepted: dict[str, dict[datetime, tuple[float, float, float]]] = defaultdict(dict)
        self.texts: dict[tuple[str, datetime], list[str]] = {}
        for number, interval in enumerate(minutes):
            self._readings(f"H{number}", interval)
        self.random.shuffle(self.lines)
        self._sort_out()

    def _readings(self, home, minutes):
        pick = self.random
        count = int(self.days * 1440 / minutes)
        level, hold, gap = 0.3, 0, pick.randrange(count // 2)
        for number in range(count):
            if gap <= number < gap + 5 or pick.random() < 0.01:
                continue
            if hold:
                hold -= 1
            else:
                level = round(pick.choice([0.2, 0.4, 0.41, 0.9, 1.5]) * pick.uniform(0.9, 1.1), 3)
                if pick.random() < 0.02:
                    level = round(pick.uniform(3, 12), 3)
                elif pick.random() < 0.02:
                    level, hold = pick.choice([(0.0, 1500), (0.25, 400), (0.25, 700)])
                    hold //= minutes
            volts, factor = round(pick.uniform(205, 255), 1), pick.choice([0.8, 0.95, 1.0, 1.015, 1.03, 1.3])
            if pick.random() < 0.05:
                volts = 0.0
            amperes = round(level * 1000 / (volts or 230) / factor, pick.choice([1, 3]))
            stamp = self.start + timedelta(minutes=number * minutes)
            self._write(stamp, home, level, volts, amperes)

    def _write(self, stamp, home, power, volts, amperes):
        pick = self.random
        text = f"{stamp:%Y-%m-%dT%H:%M:%SZ}"
        if pick.random() < 0.2:
            text = f"{stamp + timedelta(hours=5, minutes=30):%Y-%m-%d %H:%M:%S}+05:30"
        if pick.random() < 0.01:
            fault = pick.choice(list(FAULTS))
            text = f"{stamp:%Y-%m-%dT%H:%M:%SZ}"
            self.lines.append(f"{FAULTS[fault](text, home, power, volts, amperes)}#{fault}")
        else:
            self.lines.append(f"{text},{home},{power},{volts},{amperes}#")
            if pick.random() < 0.01:
                self.lines.append(f"{text},{home},{power + 1:.3f},{volts},{amperes}#")

    def _sort_out(self):
        lines, self.lines = self.lines, []
        for marked in lines:
            line, fault = marked.split("#")
            self.lines.append(line)
            stamp, home, *values = line.split(",")
            when = None if fault in TIMELESS else datetime.fromisoformat(stamp).astimezone(UTC)
            if when and self.window and not self.window[0] <= when < self.window[1]:
                self.outside += 1
            elif fault:
                self.rejected[fault] += 1
            elif when in self.accepted[home]:
                self.rejected["duplicate_timestamp"] += 1
            else:
                self.accepted[home][when] = tuple(map(float, values))
                self.texts[home, when] = values


def quantile(values, share):
    """Linear between the order statistics, as Hyndman and Fan's type 7."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = ordered[int(place)]
    return low + (ordered[min(int(place) + 1, len(ordered) - 1)] - low) * (place - int(place))


def typical(readings, zone):
    """Median and scale for each reading's time, by hour of the week, of the day, or the household; else None."""
    weekly, daily, every = defaultdict(list), defaultdict(list), []
    for when, (power, _, _) in readings.items():
        local = when.astimezone(zone)
        weekly[local.weekday(), local.hour].append(power)
        daily[local.hour].append(power)
        every.append(power)

    def of(when):
        local = when.astimezone(zone)
        for samples, least in ((weekly[local.weekday(), local.hour], 12), (daily[local.hour], 12), (every, 48)):
            if len(samples) >= least:
                middle = median(samples)
                mad = median(abs(sample - middle) for sample in samples)
                spread = (quantile(samples, 0.9) - quantile(samples, 0.5)) / 1.2816
                return middle, max(1.4826 * mad, spread, 0.25 * abs(middle), 0.05)
        return None

    return of


def runs(readings, step):
    """Stretches of one value without a gap."""
    stretches = []
    for when in sorted(readings):
        if stretches and when - stretches[-1][-1] == step and readings[when][0] == readings[stretches[-1][-1]][0]:
            stretches[-1].append(when)
        else:
            stretches.append([when])
    return [stretch for stretch in stretches if len(stretch) > 1]


def is_power_factor_impossible(power, volts, amperes, decimals):
    """1.02 is exceeded, and below 500 VA even where every reading is off by half its last digit."""
    apparent = volts * amperes
    if power * 1000 <= 1.02 * apparent:
        return False
    off = [0.5 * 10**-places for places in decimals]
    return apparent >= 500 or (power - off[0]) * 1000 > 1.02 * (volts + off[1]) * (amperes + off[2])


def reasons_of(data, home, step):
    """Reasons by time, the times of zero runs, and how many readings could not be assessed."""
    readings = data.accepted[home]
    found, zeros, usual, unknown = defaultdict(set), set(), typical(readings, data.zone), 0
    for when, (power, volts, amperes) in readings.items():
        if volts < 207 or volts > 253:
            found[when].add("voltage_outside_band")
        decimals = [len(text.partition(".")[2]) for text in data.texts[home, when]]
        if is_power_factor_impossible(power, volts, amperes, decimals):
            found[when].add("power_factor")
        known = usual(when)
        unknown += known is None
        if known and (power - known[0]) / known[1] > 5:
            found[when].add("outlier")
    for stretch in runs(readings, step):
        lasts = len(stretch) * step
        if readings[stretch[0]][0] == 0:
            zeros |= set(stretch) if lasts >= timedelta(hours=24) else set()
        elif lasts >= timedelta(hours=6) and len(stretch) >= 12:
            for when in stretch:
                found[when].add("flat_line")
    return found, zeros, unknown


def missing_stretches(readings, first, expected, step):
    """Lengths of all gaps, longest first."""
    received = {(when - first) // step for when in readings}
    gaps, length = [], 0
    for number in range(expected + 1):
        here = number in received or number == expected
        if here and length:
            gaps.append(length)
        length = 0 if here else length + 1
    return sorted(gaps, reverse=True)


def check_coverage(figures, readings, window, step):
    first, end = window or (min(readings), max(readings) + step)
    expected = -(-(end - first) // step)
    gaps = missing_stretches(readings, first, expected, step)
    assert (figures.expected, figures.received, figures.missing) == (expected, len(readings), sum(gaps))
    assert [gap.intervals for gap in figures.longest_gaps] == gaps[:3]
    powers = [power for power, _, _ in readings.values()]
    factor = sum(powers) / len(powers) / max(powers)
    covered = len(readings) >= 0.8 * expected
    assert figures.load_factor == (pytest.approx(factor, abs=5.1e-5) if covered else None)


def check_energy(figures, readings, zone, hours_each):
    powers = [power for power, _, _ in readings.values()]
    assert figures.energy_kwh == pytest.approx(sum(powers) * hours_each, abs=1e-3)
    assert figures.peak_kw == max(powers)
    assert figures.peak_at == min(when for when in readings if readings[when][0] == max(powers))
    assert figures.high_usage == sum(power > 5 for power in powers)
    factors = [power * 1000 / volts / amperes for power, volts, amperes in readings.values() if volts * amperes >= 50]
    assert figures.mean_power_factor == pytest.approx(sum(factors) / len(factors), abs=1.1e-4)
    hours = defaultdict(list)
    for when, (power, _, _) in readings.items():
        hours[when.astimezone(zone).hour].append(power)
    means = [sum(hours[hour]) / len(hours[hour]) if hours[hour] else None for hour in range(24)]
    assert figures.hourly_profile_kw == [mean if mean is None else pytest.approx(mean, abs=1e-4) for mean in means]


CASES = {
    "hours of the week": (1, "UTC", "2026-01-05", 95, [60], None),
    "hours of the day": (2, "UTC", "2026-01-05", 14, [15, 60], None),
    "spring forward": (3, "Europe/Berlin", "2026-03-16", 28, [30, 60], None),
    "fall back": (4, "Australia/Sydney", "2026-03-25", 28, [30, 15], (36, 600)),
    "half-hour zone": (5, "Asia/Kolkata", "2026-05-01", 4, [15, 10], (1, 95)),
    "too few to assess": (6, "UTC", "2026-01-05", 2, [60, 30], None),
    "a window wider than the data": (7, "America/New_York", "2026-10-28", 9, [20, 20, 20], (-7, 230)),
    "a window that cuts intervals": (8, "Pacific/Chatham", "2026-04-01", 9, [60, 30], (0.25, 100.75)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_analysis_agrees_with_the_rules_as_written(files, case):
    data = Data(*CASES[case])
    window = dict(zip(("start", "end"), data.window or (), strict=False))
    done = analyzed(files, data.lines, timezone=str(data.zone), **window)
    document = done.document
    assert document.rejected_by_reason == dict(sorted(data.rejected.items()))
    assert document.records_outside_window == data.outside
    assert document.records_in == len(data.lines)
    assert document.records_in == document.records_out + document.records_rejected + document.records_outside_window

    rows = {(row["household_id"], row["timestamp"]): row for row in done.records}
    assert len(rows) == len(done.records) == sum(map(len, data.accepted.values()))

    for number, minutes in enumerate(data.minutes):
        home, step = f"H{number}", timedelta(minutes=minutes)
        readings = data.accepted[home]
        found, zeros, unknown = reasons_of(data, home, step)
        figures = next(each for each in document.households if each.household_id == home)
        check_coverage(figures, readings, data.window, step)
        check_energy(figures, readings, data.zone, minutes / 60)
        for when, (power, volts, amperes) in readings.items():
            row, apparent = rows[home, f"{when:%Y-%m-%dT%H:%M:%SZ}"], volts * amperes
            assert row["power"] == power
            assert row["efficiency"] == (pytest.approx(power * 1000 / apparent, abs=5.1e-5) if apparent >= 50 else None)
            assert row["status"] == ("high_usage" if power > 5 else "normal")
            assert set((row["anomaly_reasons"] or "").split(";")) - {""} == found[when], (home, when, power)
            assert row["anomaly_detected"] == bool(found[when])
            assert row["zero_run"] == (when in zeros)

        assert figures.outlier_not_assessed == unknown
        assert figures.anomalies == sum(bool(reasons) for reasons in found.values())
        assert figures.anomalies_by_reason == {
            reason: sum(reason in each for each in found.values()) for reason in figures.anomalies_by_reason
        }
        assert figures.zero_run_hours == pytest.approx(len(zeros) * minutes / 60, abs=0.01)

    changes = Counter()
    for number, minutes in enumerate(data.minutes):
        for when, (power, _, _) in data.accepted[f"H{number}"].items():
            changes.update({when: power})
            changes.subtract({when + timedelta(minutes=minutes): power})
    assert document.peak_kw == pytest.approx(max(accumulate(changes[when] for when in sorted(changes))))
    assert document.energy_kwh == pytest.approx(sum(home.energy_kwh for home in document.households), abs=1e-2)


def test_the_random_data_reaches_every_rule():
    """So that agreement means something."""
    seen, rejected, unknown = Counter(), Counter(), 0
    for case in CASES.values():
        data = Data(*case)
        for number, minutes in enumerate(data.minutes):
            found, zeros, missed = reasons_of(data, f"H{number}", timedelta(minutes=minutes))
            seen.update(reason for reasons in found.values() for reason in reasons)
            seen["zero_run"] += len(zeros)
            unknown += missed
        rejected += data.rejected
    assert set(seen) == {"voltage_outside_band", "power_factor", "outlier", "flat_line", "zero_run"}
    assert min(seen.values()) > 20
    assert set(rejected) == {*FAULTS, "duplicate_timestamp"}
    assert unknown > 0
