"""Lies of energy steps: each must end red, in the step that tells it, and name the artifact and the rule."""

import json
import shutil
from datetime import datetime, timedelta

import pytest

from include.core.errors import ContractError
from include.energy import analyzer
from include.energy.audit import samples
from include.energy.params import AnalyzerParams
from include.energy.steps import ENERGY_STEPS
from include.energy.validation import BITS
from tests.energy.analysis import DAY, HEADER, series, varied
from tests.energy.lies import both, each, forged, patched, queried, rewritten, selected

WINDOW = {name: moment.isoformat() for name, moment in DAY.items()}
OWN = "timestamp,household_id,power_consumption,voltage,current\n"


@pytest.fixture(scope="module")
def faulty_day(tmp_path_factory):
    """The files of an honest day with many faulty records."""
    files = tmp_path_factory.mktemp("faulty") / "files"
    (files / "source").mkdir(parents=True)
    for step in ENERGY_STEPS.values():
        params = {key: DAY[key] for key in DAY if key in step.params.model_fields}
        if "faulty_share" in step.params.model_fields:
            params["faulty_share"] = 0.05
        step.load()(files, step.params(**params))
    return files


def given(proving, day, step_id):
    """Lay the inputs of a step out, as an honest day left them."""
    for artifact in ENERGY_STEPS[step_id].reads:
        if artifact.at(day).is_file():
            shutil.copy(artifact.at(day), artifact.at(proving.files))


def renamed(records, names):
    return [",".join([stamp, names.get(home, home), *rest]) for stamp, home, *rest in records if rest]


def exchanged(records):
    """Exchange the readings of two households at one time: all sums by time stay as they are."""
    rows = [",".join(record) for record in records]
    rows[40], rows[41] = (
        ",".join([*records[40][:2], *records[41][2:]]),
        ",".join([*records[41][:2], *records[40][2:]]),
    )
    return rows


def scaled(home, factor):
    def change(stamp, name, power, *rest):
        return stamp, name, f"{float(power) * factor:.3f}" if name == home and power[-1:].isdigit() else power, *rest

    return each(change)


def later(records):
    """Move every record by an hour, as a wrong time zone does; those of the last hour stay."""
    return [
        ",".join([f"{stamp[:11]}{int(stamp[11:13]) + 1:02}{stamp[13:]}" if "" < stamp[11:13] < "23" else stamp, *rest])
        for stamp, *rest in records
    ]


def fewer(files, params):
    """Call all records but those of the first quarter of an hour outside the window."""
    narrow = params.model_copy(update={"end": params.start + (params.end - params.start) / 96})
    ENERGY_STEPS["energy-analyzer"].load()(files, narrow)


def set_values(**values):
    return lambda document: document.update(values)


def drop_one(reason="negative_power"):
    """Drop a rejected record, and call it outside the window."""

    def change(rows):
        rows.remove(next(row for row in rows if row["reason"] == reason))

    def count(document):
        document["records_rejected"] -= 1
        document["records_outside_window"] += 1
        document["rejected_by_reason"][reason] -= 1

    return both(rewritten("rejected.csv", change), patched("output1.json", count))


def other_reason(rows):
    next(row for row in rows if row["reason"] == "negative_power")["reason"] = "duplicate_timestamp"


def count_other_reason(document):
    document["rejected_by_reason"]["negative_power"] -= 1
    document["rejected_by_reason"]["duplicate_timestamp"] += 1


def late_peak(document):
    peak = datetime.fromisoformat(document["peak_at"]) + timedelta(minutes=15)
    document["peak_at"] = peak.isoformat()


def widened(name, column, value):
    """Add a column to a CSV file."""

    def lie(files, params):
        head, *rows = (files / name).read_text().splitlines()
        lines = [f"{head},{column}", *(f"{row},{value}" for row in rows)]
        (files / name).write_text("\n".join(lines) + "\n")

    return lie


def flag(where, reason):
    return selected(
        "SELECT * REPLACE (CASE WHEN line = (SELECT min(line) FROM records WHERE anomaly_reasons IS NULL AND "
        f"{where}) THEN '{reason}' ELSE anomaly_reasons END AS anomaly_reasons, "
        f"anomaly_detected OR line = (SELECT min(line) FROM records WHERE anomaly_reasons IS NULL AND {where}) "
        "AS anomaly_detected) FROM records"
    )


ANALYZER_LIES = {
    "1,905 of 1,920 records are called outside the window": (fewer, "energy_records.parquet"),
    "all values 0.001, household NOBODY": (each(lambda t, h, *_: (t, "NOBODY", "0.001", "230", "0.1")), "household_id"),
    "999,999 kWh": (patched("output1.json", set_values(energy_kwh=999_999)), "energy_kwh must be"),
    "no anomalies": (
        patched("output1.json", set_values(anomalies=0)),
        "anomalies must be",
    ),
    "not a number of kWh": (patched("output1.json", set_values(energy_kwh=float("nan"))), "NaN is not a JSON number"),
    "stamps 30 years off": (
        selected("SELECT * REPLACE (timestamp - INTERVAL 30 YEAR AS timestamp) FROM records"),
        "timestamp must be",
    ),
    "every line number is 1": (selected("SELECT * REPLACE (1 AS line) FROM records"), "each line"),
    "line numbers of other records": (
        selected(
            "SELECT * EXCLUDE other REPLACE (other AS line) FROM (SELECT *, lag(line, 1, (SELECT max(line) FROM "
            "records)) OVER (ORDER BY line) AS other FROM records) ORDER BY household_id, timestamp"
        ),
        "energy_records.parquet: .* must be .*, as line",
    ),
    "rejected lines that never stood in the input": (
        rewritten("rejected.csv", lambda rows: [row | {"raw": "invented,H1,-1,230,1"} for row in rows]),
        "rejected.csv: must list only records that stand in the input",
    ),
    "a rejected line at another place": (
        rewritten("rejected.csv", lambda rows: [row | {"line": int(row["line"]) + 1} for row in rows]),
        "rejected.csv: must list only records that stand in the input",
    ),
    "a rejected line twice": (
        rewritten("rejected.csv", lambda rows: [rows[0], *rows[:-1]]),
        r"(rejected.csv|output1.json): (must list each rejected record once|rejected_by_reason)",
    ),
    "a reason that does not hold": (
        both(rewritten("rejected.csv", other_reason), patched("output1.json", count_other_reason)),
        "rejected.csv: reason must be negative_power",
    ),
    "a rejected record is called outside the window": (drop_one(), "rejected.csv: must list every record"),
    "two households exchanged": (
        forged(lambda records: renamed(records, {"H0001": "H0002", "H0002": "H0001"})),
        "household_id must be H0001|hold",
    ),
    "one household's values ten times as high": (scaled("H0007", 10), "power must be"),
    "one household's values in W": (scaled("H0007", 1000), "power must be"),
    "values of two households exchanged once": (forged(exchanged), "must be"),
    "every record an hour later": (forged(later), "timestamp must be|hold"),
    "a rejected record is accepted": (
        forged(lambda records: [",".join(record).replace(",-", ",") for record in records]),
        "must hold only records of energy_data.csv that no rule rejects",
    ),
    "an accepted record is left out": (
        both(
            selected("SELECT * FROM records WHERE line <> (SELECT min(line) FROM records)"),
            patched("output1.json", lambda d: d.update(records_out=d["records_out"] - 1, records_outside_window=1)),
        ),
        "must hold every record of energy_data.csv that no rule rejects",
    ),
    "a voltage anomaly that is none": (flag("household_id = 'H0003'", "voltage_outside_band"), "voltage_outside_band"),
    "an outlier that is none": (flag("household_id = 'H0003'", "outlier"), "must be none for H0003"),
    "a flat line that is none": (flag("household_id = 'H0003'", "flat_line"), "must be none for H0003"),
    "a run of zeros that is none": (selected("SELECT * REPLACE (true AS zero_run) FROM records"), "zero_run"),
    "a reason that nobody knows": (flag("household_id = 'H0003'", "odd"), "known reasons"),
    "high usage that is none": (
        selected("SELECT * REPLACE (CASE WHEN power > 1 THEN 'high_usage' ELSE 'normal' END AS status) FROM records"),
        "status must be high_usage above 5.0 kW",
    ),
    "another power factor": (selected("SELECT * REPLACE (efficiency * 0.9 AS efficiency) FROM records"), "efficiency"),
    "a power factor beyond all numbers": (
        selected("SELECT * REPLACE (coalesce(efficiency, 1e16) AS efficiency) FROM records"),
        "efficiency must be a number below 1e",
    ),
    "a power that is none": (
        selected("SELECT * REPLACE (CASE WHEN line = 5 THEN 'nan'::DOUBLE ELSE power END AS power) FROM records"),
        "energy_records.parquet",
    ),
    "a power factor of records that have none": (
        selected("SELECT * REPLACE (coalesce(efficiency, -0.0001) AS efficiency) FROM records"),
        "efficiency",
    ),
    "records in another order": (selected("SELECT * FROM records ORDER BY timestamp"), "sorted by household and time"),
    "the peak an interval later": (patched("output1.json", late_peak), "peak_at must be"),
    "coverage overstated": (
        patched("output1.json", lambda d: d.update(received=d["expected"], missing=0)),
        "received must be|missing must be",
    ),
    "a household's energy moved to another": (
        patched(
            "output1.json",
            lambda d: (
                d["households"][0].update(energy_kwh=d["households"][1]["energy_kwh"]),
                d["households"][1].update(energy_kwh=d["households"][0]["energy_kwh"]),
            ),
        ),
        r"households\[\d\].energy_kwh",
    ),
    "a load curve that is smoother": (
        patched("output1.json", lambda d: d["load_curve"].update(mean_kw=[0.5] * len(d["load_curve"]["mean_kw"]))),
        r"load_curve.mean_kw\[0\]",
    ),
    "no gaps": (patched("output1.json", set_values(longest_gaps=[])), "longest_gaps must be"),
    "measured, not generated": (patched("output1.json", set_values(source="files")), "source must be generated"),
    "compliant voltage": (
        patched(
            "output1.json",
            set_values(
                en_50160={
                    "households": 20,
                    "compliant_households": 20,
                    "weeks": 1,
                    "compliant_weeks": 20,
                    "lowest_share": 1.0,
                }
            ),
        ),
        "en_50160 must be None",
    ),
}

ANALYZER_LIES |= {
    "a column of values that nobody can recompute": (
        selected("SELECT *, power * 2 AS corrected_power FROM records"),
        "energy_records.parquet: must have no other columns .*; found corrected_power",
    ),
    "a column beside the rejected records": (
        widened("rejected.csv", "accepted_later", "true"),
        "rejected.csv: must have no other columns .*; found accepted_later",
    ),
    "a key beside the figures": (
        patched("output1.json", set_values(certified_energy_kwh=999_999)),
        "output1.json: must keep to its schema.*certified_energy_kwh",
    ),
    "an interval twice as long": (
        patched("output1.json", lambda d: [home.update(interval_seconds=1800) for home in d["households"]]),
        "output1.json: (must keep to its schema|households)",
    ),
    "a zone that was not asked for": (patched("output1.json", set_values(timezone="Asia/Tokyo")), "timezone must be"),
}


@pytest.fixture(autouse=True)
def everything_is_drawn(monkeypatch):
    monkeypatch.setattr(samples, "LEAST", 1000)


@pytest.mark.parametrize("lie", ANALYZER_LIES)
def test_a_lie_of_the_analyzer_is_red(proving, faulty_day, lie):
    tell, message = ANALYZER_LIES[lie]
    given(proving, faulty_day, "energy-analyzer")
    with pytest.raises(ContractError, match=message):
        proving.run("energy-analyzer", WINDOW, tell)
    assert proving.folder.result("energy-analyzer").status == "failed"


LIES_ABOUT_STATES = {
    "suspect readings are called valid": (
        selected("SELECT * REPLACE ('valid' AS state) FROM records"),
        "state must be",
    ),
    "valid readings are called suspect": (
        selected("SELECT * REPLACE (CASE WHEN power > 2 THEN 'suspect' ELSE state END AS state) FROM records"),
        "state must be valid|must have no anomaly_reasons",
    ),
    "a state that nobody knows": (
        selected("SELECT * REPLACE ('certified' AS state) FROM records"),
        "column state must hold one of",
    ),
    "a suspect reading is an outlier": (
        selected(
            "SELECT * REPLACE ('outlier' AS anomaly_reasons, true AS anomaly_detected) FROM records "
            "WHERE state = 'suspect' UNION ALL SELECT * FROM records WHERE state <> 'suspect' "
            "ORDER BY household_id, timestamp"
        ),
        "a suspect record must have no anomaly_reasons",
    ),
    "a suspect reading is left out": (
        both(
            selected("SELECT * FROM records WHERE state <> 'suspect'"),
            patched(
                "output1.json",
                lambda d: d.update(
                    records_out=d["records_out"] - d["suspect"], records_outside_window=d["suspect"], suspect=0
                ),
            ),
        ),
        "must hold every record of energy_data.csv that no rule rejects",
    ),
    "suspect energy in the total": (
        patched("output1.json", lambda d: d.update(energy_kwh=d["energy_with_suspect_kwh"])),
        "energy_kwh must be",
    ),
    "no suspect energy": (
        patched("output1.json", lambda d: d.update(energy_with_suspect_kwh=d["energy_kwh"])),
        "energy_with_suspect_kwh must be",
    ),
    "fewer suspect readings": (patched("output1.json", lambda d: d.update(suspect=1)), "suspect must be"),
    "a quality that the input does not state": (
        selected("SELECT * REPLACE ('actual' AS quality) FROM records"),
        "quality must be one of energy_data.csv, or nothing",
    ),
    "qualities of no record": (patched("output1.json", lambda d: d.update(qualities={"A": 1920})), "qualities must be"),
}


@pytest.mark.parametrize("lie", LIES_ABOUT_STATES)
def test_a_lie_about_states_is_red(proving, faulty_day, lie):
    tell, message = LIES_ABOUT_STATES[lie]
    given(proving, faulty_day, "energy-analyzer")
    with pytest.raises(ContractError, match=message):
        proving.run("energy-analyzer", WINDOW | {"limit_kw": 4.0}, tell)


def test_honest_states_are_proven(proving, faulty_day):
    given(proving, faulty_day, "energy-analyzer")
    result = proving.run("energy-analyzer", WINDOW | {"limit_kw": 4.0})
    assert result.outcome.metrics.suspect > 5


def exporting_day(files):
    """A day of two homes; one feeds 0.4 kW into the grid and generates 1 kW, the other states neither."""
    flows = {"A": "0.4,1.0", "B": ","}
    rows = [f"{line},{flows[home]}" for home in "AB" for line in series(varied(48), home=home)]
    (files / "energy_data.csv").write_text("\n".join([f"{HEADER},export,generation", *rows]) + "\n")


LIES_ABOUT_FLOWS = {
    "more was fed in": (
        selected("SELECT * REPLACE (export + 0.001 AS export) FROM records"),
        "export and generation must be those of energy_data.csv",
    ),
    "nothing was generated": (
        selected("SELECT * REPLACE (NULL::DOUBLE AS generation) FROM records"),
        "export and generation must be those of energy_data.csv",
    ),
    "less export in all": (patched("output1.json", lambda d: d.update(export_kwh=9.0)), "export_kwh must be 9.6"),
    "net of nothing": (patched("output1.json", lambda d: d.update(net_kwh=None)), "net_kwh must be"),
    "more self-consumption": (
        patched("output1.json", lambda d: d.update(self_consumption_kwh=24.0)),
        "self_consumption_kwh must be 14.4",
    ),
    "generation of the other home": (
        patched("output1.json", lambda d: d["households"][1].update(generation_kwh=1.0)),
        r"households\[1\].generation_kwh must be None",
    ),
}


@pytest.mark.parametrize("lie", LIES_ABOUT_FLOWS)
def test_a_lie_about_what_was_fed_in_or_generated_is_red(proving, lie):
    tell, message = LIES_ABOUT_FLOWS[lie]
    exporting_day(proving.files)
    with pytest.raises(ContractError, match=message):
        proving.run("energy-analyzer", WINDOW, tell)


def test_what_was_fed_in_where_no_input_states_it_is_a_lie(proving, faulty_day):
    given(proving, faulty_day, "energy-analyzer")
    with pytest.raises(ContractError, match="export and generation must be empty, for energy_data"):
        proving.run("energy-analyzer", WINDOW, selected("SELECT * REPLACE (0.0::DOUBLE AS export) FROM records"))


def test_honest_flows_are_proven_and_reported(proving):
    exporting_day(proving.files)
    proving.run("energy-analyzer", WINDOW | {"audit": False})
    document = json.loads((proving.files / "output1.json").read_text())
    imported = document["energy_kwh"]
    assert {name: document[f"{name}_kwh"] for name in ("export", "generation", "net", "self_consumption")} == {
        "export": 9.6, "generation": 24.0, "net": round(imported - 9.6, 3), "self_consumption": 14.4,
    }  # fmt: skip
    assert [home["export_kwh"] for home in document["households"]] == [9.6, None]


def estimates_changed(change):
    return selected(f"SELECT * REPLACE ({change}) FROM records ORDER BY household_id, timestamp, line NULLS LAST")


LIES_ABOUT_ESTIMATES = {
    "estimates are called valid": (
        estimates_changed("'valid' AS state"),
        "an estimate, and nothing else, must have a method, and no line",
    ),
    "an estimate is higher": (
        estimates_changed("CASE WHEN state = 'estimated' THEN power + 0.001 ELSE power END AS power"),
        "must hold each estimate that the valid records give",
    ),
    "another method": (
        estimates_changed("CASE WHEN state = 'estimated' THEN 'like_day' END AS method"),
        "must hold each estimate that the valid records give",
    ),
    "an estimate is left out": (
        both(
            selected(
                "SELECT * FROM records WHERE state <> 'estimated' OR (household_id, timestamp) <> (SELECT "
                "min((household_id, timestamp)) FROM records WHERE state = 'estimated')"
            ),
            patched("output1.json", lambda d: d.update(estimated=d["estimated"] - 1)),
        ),
        "must hold each estimate that the valid records give",
    ),
    "an estimate where a reading was": (
        both(
            selected(
                "SELECT * FROM records UNION ALL BY NAME SELECT * REPLACE ('estimated' AS state, 'linear' AS method, "
                "NULL AS line, NULL AS efficiency, NULL AS quality, NULL AS anomaly_reasons, "
                "false AS anomaly_detected, "
                "timestamp + INTERVAL 7 MINUTE AS timestamp) FROM records WHERE line = 100 "
                "ORDER BY household_id, timestamp, line NULLS LAST"
            ),
            patched("output1.json", lambda d: d.update(estimated=d["estimated"] + 1)),
        ),
        "must hold only estimates that the valid records give",
    ),
    "estimated energy is called measured": (
        patched("output1.json", lambda d: d.update(energy_without_estimates_kwh=d["energy_kwh"])),
        "energy_without_estimates_kwh must be",
    ),
    "fewer estimates": (patched("output1.json", lambda d: d.update(estimated=1)), "estimated must be"),
    "estimates by another method": (
        patched("output1.json", lambda d: d.update(estimated_by_method={"like_day": d["estimated"]})),
        "estimated_by_method must be",
    ),
    "estimates of more days": (
        patched("output1.json", lambda d: d.update(estimated_by_like_days={"9": d["estimated"]})),
        "estimated_by_like_days must be",
    ),
    "sufficient data": (patched("output1.json", lambda d: d.update(sufficient=False)), "sufficient must be True"),
    "another limit": (
        patched("output1.json", lambda d: d["requirements"][0].update(limit=0.5)),
        r"requirements\[0\].limit must be 0.8",
    ),
}


@pytest.mark.parametrize("lie", LIES_ABOUT_ESTIMATES)
def test_a_lie_about_estimates_is_red(proving, faulty_day, lie):
    tell, message = LIES_ABOUT_ESTIMATES[lie]
    given(proving, faulty_day, "energy-analyzer")
    with pytest.raises(ContractError, match=message):
        proving.run("energy-analyzer", WINDOW | {"limit_kw": 4.0, "estimate": True, "min_coverage": 0.8}, tell)


def test_estimates_that_nobody_asked_for_are_red(proving, faulty_day):
    def unasked(files, params):
        analyzer.analyze(files, params.model_copy(update={"estimate": True}))

    given(proving, faulty_day, "energy-analyzer")
    with pytest.raises(ContractError, match="must hold no estimates, for none were asked for"):
        proving.run("energy-analyzer", WINDOW, unasked)


def test_a_fault_in_the_estimates_own_rules_is_found_by_the_plain_ones(proving, faulty_day, monkeypatch):
    from include.energy.audit import estimates

    monkeypatch.setattr(estimates, "estimate_plainly", lambda *_: {})
    given(proving, faulty_day, "energy-analyzer")
    with pytest.raises(ContractError, match=r"the estimate of H.* must be None, as the rules say"):
        proving.run("energy-analyzer", WINDOW | {"estimate": True})


def test_honest_estimates_are_proven(proving, faulty_day):
    given(proving, faulty_day, "energy-analyzer")
    result = proving.run("energy-analyzer", WINDOW | {"limit_kw": 4.0, "estimate": True, "audit": True})
    assert result.outcome.metrics.estimated > 50
    assert any("households by plain rules too" in (proof.recomputed or "") for proof in result.outcome.proofs)


def an_outlier_too_many(files, params):
    """Call a reading of H0010 an outlier, in all artifacts alike."""
    honest = analyzer.judge

    def judge(db, threshold):
        honest(db, threshold)
        db.execute(
            f"UPDATE judged SET flags = flags | {BITS['outlier']} WHERE line = "
            "(SELECT min(line) FROM judged WHERE household = 'H0010' AND flags = 0)"
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyzer, "judge", judge)
        analyzer.analyze(files, params)


@pytest.fixture
def five_are_drawn(monkeypatch, everything_is_drawn):
    """Let the draw take H0001 to H0005."""
    monkeypatch.setattr(samples, "LEAST", 5)
    monkeypatch.setattr(samples, "take", lambda population, size: list(population)[:size])


def test_a_sample_misses_a_consistent_lie_about_a_household_outside_it(proving, faulty_day, five_are_drawn):
    """What the audit is for: the sample is drawn anew each time, so such a lie is found by chance alone."""
    given(proving, faulty_day, "energy-analyzer")
    proofs = proving.run("energy-analyzer", WINDOW, an_outlier_too_many).outcome.proofs
    assert [proof.draw for proof in proofs if proof.artifact == "energy_records.parquet"] == [
        ("H0001", "H0002", "H0003", "H0004", "H0005")
    ]


def test_an_audit_finds_a_consistent_lie_about_a_household_outside_the_sample(proving, faulty_day, five_are_drawn):
    given(proving, faulty_day, "energy-analyzer")
    with pytest.raises(ContractError, match="must be none for H0010"):
        proving.run("energy-analyzer", WINDOW | {"audit": True}, an_outlier_too_many)


def twice(rows):
    return [rows[0], rows[0], *rows[2:]]


REPORT_LIES = {
    "one row twice": (rewritten("energy_report.csv", twice), "energy_report.csv: record 2 must be"),
    "a row more": (
        both(
            rewritten("energy_report.csv", lambda rows: [*rows, rows[-1]]),
            patched("output2.json", lambda d: d.update(records=d["records"] + 1)),
        ),
        "records read must equal accepted",
    ),
    "two rows exchanged": (
        rewritten("energy_report.csv", lambda rows: [rows[1], rows[0], *rows[2:]]),
        "energy_report.csv: record 1 must be",
    ),
    "another power": (
        rewritten("energy_report.csv", lambda rows: [*rows[:5], rows[5] | {"power": "7.5"}, *rows[6:]]),
        "energy_report.csv: record 6 must be",
    ),
    "an anomaly less": (
        rewritten(
            "energy_report.csv",
            lambda rows: [row | {"anomaly_detected": "false", "anomaly_reasons": ""} for row in rows],
        ),
        "energy_report.csv: record",
    ),
    "coverage overstated": (
        patched("output2.json", lambda d: d["key_figures"].update(coverage=1.0)),
        "coverage must be",
    ),
    "a finding less": (patched("output2.json", lambda d: d["findings"].pop()), "findings must be"),
    "another household leads": (
        patched("output2.json", lambda d: d["tables"][0]["rows"].reverse()),
        r"tables\[0\].rows\[0\]",
    ),
    "a finding more": (
        patched("output2.json", lambda d: d["findings"].append({"severity": "info", "message": "Certified."})),
        "findings must be",
    ),
    "a column of other values": (
        widened("energy_report.csv", "corrected_power", "1"),
        "energy_report.csv: must have no other columns .*; found corrected_power",
    ),
    "numbers that only some readers take for numbers": (
        rewritten("energy_report.csv", lambda rows: [row | {"power": "0_" + row["power"]} for row in rows]),
        "energy_report.csv: column power must hold a number",
    ),
    "times without their zone": (
        rewritten("energy_report.csv", lambda rows: [row | {"timestamp": row["timestamp"][:19]} for row in rows]),
        "energy_report.csv: column timestamp must hold a time with zone",
    ),
    "numbers as texts": (
        patched("output2.json", lambda d: d["key_figures"].update(energy_kwh=str(d["key_figures"]["energy_kwh"]))),
        "output2.json: must keep to its schema",
    ),
    "a month with more energy": (
        patched("output2.json", lambda d: d["usage"]["months"][0].update(energy_kwh=1.0)),
        r"usage.months\[0\].energy_kwh must be",
    ),
    "a month that is complete": (
        patched("output2.json", lambda d: d["usage"]["households"][0]["months"][0].update(coverage=1.0)),
        r"usage.households\[0\].months\[0\].coverage must be",
    ),
    "a lower peak": (
        patched("output2.json", lambda d: d["usage"]["peaks"][0].update(peak_kw=0.1)),
        r"usage.peaks\[0\].peak_kw must be",
    ),
    "another base load": (
        patched("output2.json", lambda d: d["usage"].update(base_load_kw=0.0)),
        "usage.base_load_kw must be",
    ),
    "a comparison that is better": (
        patched("output2.json", lambda d: d["usage"]["comparisons"][0].update(days_compared=7)),
        r"usage.comparisons\[0\].days_compared must be",
    ),
    "a comparison less": (
        patched("output2.json", lambda d: d["usage"]["comparisons"].pop()),
        "usage.comparisons must be",
    ),
    "a flatter load duration curve": (
        patched("output2.json", lambda d: d["usage"]["load_duration"]["kw"].sort()),
        "usage.load_duration.kw",
    ),
    "totals of another household": (
        queried("energy_totals.parquet", "SELECT * REPLACE (energy_kwh + 1 AS energy_kwh) FROM records"),
        "energy_totals.parquet: record 1 must be",
    ),
    "a total less": (
        queried("energy_totals.parquet", "SELECT * FROM records LIMIT 2"),
        "energy_totals.parquet: must hold .* records",
    ),
    "a plot that is not there": (
        patched("output2.json", lambda d: d["plots"].append("plot_prices.png")),
        "plots must be",
    ),
}


@pytest.mark.parametrize("lie", REPORT_LIES)
def test_a_lie_of_the_report_is_red(proving, faulty_day, quick_plots, lie):
    tell, message = REPORT_LIES[lie]
    given(proving, faulty_day, "report-generator")
    with pytest.raises(ContractError, match=message):
        proving.run("report-generator", {}, tell)


LIES_ABOUT_TOTALS_OF_FLOWS = {
    "less export": (
        patched("output2.json", lambda d: d["usage"]["days"][0]["flows"].update(export_kwh=9.0)),
        r"usage.days\[0\].flows.export_kwh must be 9.6",
    ),
    "more generation": (
        patched("output2.json", lambda d: d["usage"]["households"][0]["years"][0]["flows"].update(generation_kwh=25.0)),
        r"usage.households\[0\].years\[0\].flows.generation_kwh must be 24.0",
    ),
    "a higher self-sufficiency": (
        patched("output2.json", lambda d: d["usage"]["months"][0]["flows"].update(self_sufficiency=1.0)),
        r"usage.months\[0\].flows.self_sufficiency must be",
    ),
    "no flows": (
        patched("output2.json", lambda d: d["usage"]["months"][0].update(flows=None)),
        r"usage.months\[0\].flows must be",
    ),
    "net energy in the table": (
        queried("energy_totals.parquet", "SELECT * REPLACE (import_kwh AS net_kwh) FROM records"),
        "energy_totals.parquet: record 1 must be",
    ),
    "no credit": (
        patched("output2.json", lambda d: d["cost"]["months"][0].update(export_credit=0.0)),
        r"cost.months\[0\].export_credit must be 0.96",
    ),
}


@pytest.mark.parametrize("lie", [None, *LIES_ABOUT_TOTALS_OF_FLOWS])
def test_a_lie_about_totals_of_export_and_generation_is_red(proving, quick_plots, lie):
    exporting_day(proving.files)
    (proving.files / "source").mkdir(exist_ok=True)
    (proving.files / "source/flat.toml").write_text(
        'name = "Flat"\ncurrency = "EUR"\ntimezone = "UTC"\nvalid_from = 2020-01-01\nexport_credit_per_kwh = 0.1\n'
        '[[bands]]\nname = "always"\nprice_per_kwh = 0.5\n'
    )
    analyzer.analyze(proving.files, AnalyzerParams(**WINDOW))
    if lie is None:
        assert proving.run("report-generator", {"tariff": "flat.toml"}).status == "success"
        return
    tell, message = LIES_ABOUT_TOTALS_OF_FLOWS[lie]
    with pytest.raises(ContractError, match=message):
        proving.run("report-generator", {"tariff": "flat.toml"}, tell)


PRICED_LIES = {
    "a cheaper band": (
        patched("output2.json", lambda d: d["cost"]["bands"][0].update(cost=0.0)),
        r"cost.bands\[0\].cost must be",
    ),
    "a lower bill": (
        patched("output2.json", lambda d: d["cost"].update(total=1.0)),
        "cost.total must be",
    ),
    "no costs": (patched("output2.json", lambda d: d.update(cost=None)), "cost must be"),
    "less CO2": (
        patched("output2.json", lambda d: d["emissions"]["households"][0].update(co2_kg=0.0)),
        r"emissions.households\[0\].co2_kg must be",
    ),
    "a factor for every hour": (
        patched("output2.json", lambda d: d["emissions"].update(energy_without_factor_kwh=0.0)),
        "emissions.energy_without_factor_kwh must be",
    ),
    "records of another table": (
        queried("energy_report.parquet", "SELECT * REPLACE (power * 2 AS power) FROM records"),
        "energy_report.parquet: record 1 must be",
    ),
    "a table without a record": (
        queried("energy_report.parquet", "SELECT * FROM records LIMIT 10"),
        "energy_report.parquet: must hold .* records",
    ),
}


@pytest.mark.parametrize("lie", [None, *PRICED_LIES])
def test_a_lie_about_cost_or_co2_is_red(proving, faulty_day, quick_plots, lie):
    given(proving, faulty_day, "report-generator")
    (proving.files / "source").mkdir(exist_ok=True)
    (proving.files / "source/flat.toml").write_text(
        'name = "Flat"\ncurrency = "EUR"\ntimezone = "UTC"\nvalid_from = 2020-01-01\n'
        '[[bands]]\nname = "always"\nprice_per_kwh = 0.5\n'
    )
    (proving.files / "source/co2.csv").write_text("time,gCO2/kWh\n2026-01-05T03:00Z,300\n")
    params = {"tariff": "flat.toml", "emissions": "co2.csv"}
    if lie is None:
        assert proving.run("report-generator", params).status == "success"
        return
    tell, message = PRICED_LIES[lie]
    with pytest.raises(ContractError, match=message):
        proving.run("report-generator", params, tell)


def ten(files, params):
    """Replace the user's file by ten invented records."""
    rows = "".join(f"2026-01-05T0{hour}:00:00Z,A,0.5,230,2.2\n" for hour in range(10))
    (files / "energy_data.csv").write_text(OWN + rows)


def without_account(files, params):
    (files / "energy_source.json").unlink()


def two_tables(files, params):
    """Hide a second table in the first: commas show the user's records, semicolons others."""
    head, *lines = (files / "energy_data.csv").read_text().splitlines()
    records = [line.split(",") for line in lines]
    lies = [";".join([*record[:2], f"{float(record[2]) * 3}", *record[3:]]) for record in records]
    rows = [f"{line},;{lie};" for line, lie in zip(lines, lies, strict=True)]
    (files / "energy_data.csv").write_text("\n".join([f"{head},;{head.replace(',', ';')};", *rows]) + "\n")


def microseconds(rows):
    """Spell every other time as a number that stands for the same instant, and that no meter reader takes for one."""
    for row in rows[1::2]:
        row["timestamp"] = str(int(datetime.fromisoformat(row["timestamp"]).timestamp()) * 1_000_000)


GENERATOR_LIES = {
    "ten invented records": (ten, "energy_data.csv: "),
    "ten invented records, and no account": (both(ten, without_account), "energy_source.json: must be there"),
    "no account": (without_account, "energy_source.json: must be there"),
    "two tables in one file": (two_tables, "energy_data.csv: must have no other columns"),
    "a field more than the header names": (
        lambda files, params: (files / "energy_data.csv").write_text(
            (files / "energy_data.csv").read_text().replace("\n", ",\n").replace(",\n", "\n", 1)
        ),
        "energy_data.csv: record 1 must be .*malformed False",
    ),
    "times that cannot be read": (rewritten("energy_data.csv", microseconds), "energy_data.csv: record 2 must be"),
    "a number that only some readers take for one": (
        rewritten(
            "energy_data.csv", lambda rows: rows[0].update(power_consumption="0_0" + rows[0]["power_consumption"])
        ),
        "energy_data.csv: record 1 must be",
    ),
    "a reading in W": (
        rewritten("energy_data.csv", lambda rows: rows[0].update(power_consumption="500")),
        "energy_data.csv: record 1 must be",
    ),
    "every reading an hour later": (
        rewritten(
            "energy_data.csv",
            lambda rows: [row | {"timestamp": rows[min(n + 2, 95)]["timestamp"]} for n, row in enumerate(rows)],
        ),
        "energy_data.csv: record 1 must be",
    ),
    "another household": (
        rewritten("energy_data.csv", lambda rows: [row | {"household_id": "B"} for row in rows]),
        "energy_data.csv: record 1 must be",
    ),
    "every line is 2": (
        rewritten("energy_data.csv", lambda rows: [row | {"source_line": "2"} for row in rows]),
        "energy_data.csv: record 2 must be",
    ),
    "a record left out": (
        both(
            rewritten("energy_data.csv", lambda rows: rows[:-1]),
            patched("energy_source.json", lambda d: d.update(records_written=95)),
        ),
        "energy_data.csv: must hold 96 records",
    ),
    "a record twice": (
        rewritten("energy_data.csv", lambda rows: [*rows, rows[-1]]),
        "energy_data.csv: must hold 96 records",
    ),
    "a fault hidden": (
        rewritten("energy_data.csv", lambda rows: [row | {"source_fault": "malformed_record"} for row in rows]),
        "energy_data.csv: record 1 must be",
    ),
    "voltage is not measured": (patched("energy_source.json", set_values(measured=[])), "energy_source.json: measured"),
    "another interval": (
        patched("energy_source.json", set_values(interval_seconds=60)),
        "interval_seconds must be 1800",
    ),
    "a finding of its own": (
        patched(
            "energy_source.json", lambda d: d["findings"].append({"severity": "info", "message": "Calibrated meters."})
        ),
        "energy_source.json: findings",
    ),
    "another file name": (
        patched("energy_source.json", lambda d: d["files"][0].update(name="certified.csv")),
        r"energy_source.json: files\[0\].name",
    ),
    "generated, not measured": (patched("energy_source.json", set_values(source="generated")), "source must be files"),
}


@pytest.mark.parametrize("lie", GENERATOR_LIES)
def test_a_lie_of_the_generator_about_input_files_is_red(proving, lie):
    tell, message = GENERATOR_LIES[lie]
    (proving.files / "source").mkdir()
    stamps = [f"2026-01-0{5 + n // 48}T{n // 2 % 24:02}:{n % 2 * 30:02}:00Z" for n in range(96)]
    (proving.files / "source" / "meter.csv").write_text(
        OWN + "".join(f"{t},A,0.{n + 100},230,2.2\n" for n, t in enumerate(stamps))
    )
    with pytest.raises(ContractError, match=message):
        proving.run("energy-generator", {"files": ["meter.csv"]}, tell)


def other_seed(files, params):
    ENERGY_STEPS["energy-generator"].load()(files, params.model_copy(update={"seed": 7}))


SYNTHETIC_LIES = {
    "another seed": (other_seed, "must hold the records that seed 0 gives"),
    "another seed, not stated": (both(other_seed, patched("energy_source.json", set_values(seed=0))), "seed 0 gives"),
    "ten invented records": (ten, "seed 0 gives"),
    "one reading changed": (
        rewritten("energy_data.csv", lambda rows: rows[700].update(power_consumption="1.234")),
        "seed 0 gives",
    ),
    "one record left out": (rewritten("energy_data.csv", lambda rows: rows[:-1]), "seed 0 gives"),
    "a record more": (rewritten("energy_data.csv", lambda rows: [*rows, rows[-1]]), "must end with the last record"),
    "records before the first": (rewritten("energy_data.csv", lambda rows: [rows[5], *rows]), "seed 0 gives"),
    "fewer faults": (patched("energy_source.json", lambda d: d["injected"].update(duplicate=0)), "injected.duplicate"),
    "read from files": (patched("energy_source.json", set_values(source="files")), "source must be generated"),
}


@pytest.mark.parametrize("lie", SYNTHETIC_LIES)
def test_a_lie_of_the_generator_about_synthetic_data_is_red(proving, lie):
    tell, message = SYNTHETIC_LIES[lie]
    with pytest.raises(ContractError, match=message):
        proving.run("energy-generator", WINDOW, tell)
