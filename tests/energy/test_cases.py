"""Meter files as utilities, grid operators and home systems export them, with figures that were computed beside them.

A case is a folder with input files, the commands that a user would try (`command.txt`) and the right figures
(`expected.json`). What a user tries is right or refused, and never wrong; `ANSWERS` holds what gives the right figures.
"""

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from include.core.errors import BadInputError
from include.energy.analyzer import analyze
from include.energy.generator import generate
from include.energy.params import AnalyzerParams, GeneratorParams

NO_HOME = {"high_usage_kw": None}
ANSWERS = {
    "F01_greenbutton_csv": ("peco.csv", {"timezone": "America/New_York"}),
    "F03_ameren": ("ameren.csv", {"timezone": "America/Chicago", "columns": "energy_kwh=#6"}),
    "F04_range_stamps": ("united.csv", {"timezone": "America/Denver"}),
    "F05_nem12": ("nem12.csv", {"timezone": "+10:00"}),
    "F06_cnmc_hour_numbers": ("cch.csv", {"timezone": "Europe/Madrid"}),
    "F07_2400_year_first": ("d.csv", {"timezone": "Europe/Madrid"}),
    "F08_2400_dotted_pnd": ("pnd.csv", {"timezone": "Europe/Prague"}),
    "F09_pnd_repeated_header": ("pnd2.csv", {"timezone": "Europe/Prague"}),
    "F10_eredes": ("eredes.xlsx", {"timezone": "Europe/Lisbon"}),
    "F11_end_stamps_fallback": ("oct.csv", {"timezone": "Europe/Lisbon"}),
    "F12_end_stamps_spring": ("mar.csv", {"timezone": "Europe/Lisbon"}),
    "F13_enedis_watts": ("enedis.csv", {}),
    "F14_fluvius": ("fluvius.csv", {"timezone": "Europe/Brussels"}),
    "F15_eloverblik": ("eloverblik.csv", {"timezone": "Europe/Copenhagen"}),
    "F16_octopus_zero_omitted": ("octopus.csv", {}),
    "F17_octopus_complete": ("octopus.csv", {}),
    "F18_lcl_null": ("lcl.csv", {"timezone": "UTC"}),
    "F19_netznoe": ("noe.csv", {"timezone": "Europe/Vienna"}),
    "F20_edc_trailing": ("edc.csv", {"timezone": "Europe/Prague", "unit": "kWh"}),
    "F22_bdg2_wide": (
        "electricity.csv",
        {"timezone": "UTC", "columns": "household_id=@A,energy_kwh=Hog_office_A", "limit_kw": 200} | NO_HOME,
    ),
    "F23_ercot": (
        "ercot.csv", {"timezone": "America/Chicago", "columns": "household_id=@COAST,power_mw=COAST"} | NO_HOME,
    ),
    "F25_entsoe_tsv_long": ("load.tsv", NO_HOME),
    "F26_aemo_5min": ("aemo.csv", {"timezone": "+10:00", "unit": "MW"} | NO_HOME),
    "F27_interval_changes_mw": ("aemo.csv", {"timezone": "+10:00", "unit": "MW"} | NO_HOME),
    "F28_interval_changes_kwh": ("sce.csv", {"timezone": "America/Los_Angeles"}),
    "F29_cumulative_registers": ("hw.csv", {"timezone": "Europe/Amsterdam"}),
    "F30_two_tariff_columns": ("dsmr.csv", {"unit": "kWh"}),
    "F31_home_assistant_history": (
        "history.csv", {"columns": "household_id=entity_id,register_kwh=state", "resample": "1h"},
    ),
    "F32_shelly_wh": ("em.csv", {}),
    "F35_smard_thousands_mwh": ("smard.csv", {"timezone": "Europe/Berlin"} | NO_HOME),
    "F36_thousands_dot_silent": ("werk.csv", {"timezone": "UTC", "decimal": ","} | NO_HOME),
    "F37_uci_unnamed": ("LD.txt", {"timezone": "UTC", "columns": "household_id=@MT_001,power_kw=MT_001"}),
    "F38_pecan_street": ("pecan.csv", {"columns": "household_id=dataid,power_kw=grid", "allow_export": True}),
    "F39_caiso_rows_to_choose": ("caiso.csv", {"where": ("MARKET_RUN_ID=ACTUAL",)} | NO_HOME),
    "F40_unix_no_header": ("channel_1.dat", {"unit": "W"}),
    "F41_overlap_revised": ("jan.csv feb.csv", {"columns": "household_id=@A"}),
    "F42_scattered_gaps": ("gaps.csv", {}),
    "F43_decimal_comma_quoted": ("c.csv", {"timezone": "UTC"}),
    "F45_fixed_clock_hint": ("b.csv", {"timezone": "-05:00", "limit_kw": 100} | NO_HOME),
    "F46_interleaved_fallback": ("pse.csv", {"timezone": "Europe/Warsaw"} | NO_HOME),
    "F47_containers": ("espi.xml", {"unit": "Wh"}),
    "F48_footer": ("foot.csv", {}),
    "F49_spike": ("spike.csv", {"limit_kw": 50}),
    "F52_ha_energy_download": ("energy.csv", {}),
    "F54_dead_tail": ("e.csv", {"timezone": "UTC", "unit": "kWh"}),
    "F57_end_stamps_naive": ("z.csv", {"timezone": "Europe/Zurich"}),
    "F58_daily_totals": ("daily.csv", {"timezone": "Europe/Berlin", "decimal": ","}),
}  # fmt: skip
REFUSED = {"F31_home_assistant_history": "Readings of a register that is written on change need --resample 1h"}


@pytest.fixture(scope="session")
def cases():
    """The folder of the cases, or a skip that says how to get it."""
    default = Path(__file__).parents[3] / "shared" / "cases" / "energy"
    folder = Path(os.environ.get("CASES_DIR", default))
    if not folder.is_dir():
        pytest.skip(f"no cases in {folder}: set CASES_DIR to a folder with a folder for each case")
    return folder


def figures(files, case, names, params):
    """Return the figures of `output1.json` that `expected.json` may state."""
    shutil.rmtree(files)
    (files / "source").mkdir(parents=True)
    for name in names:
        shutil.copyfile(case / name, files / "source" / name)
    generator, analyzer = (
        {key: value for key, value in params.items() if key in model.model_fields}
        for model in (GeneratorParams, AnalyzerParams)
    )
    generate(files, GeneratorParams(files=tuple(names), **generator))
    analyze(files, AnalyzerParams(**analyzer))
    output = json.loads((files / "output1.json").read_text())
    shown = {key: output[key] for key in ("energy_kwh", "peak_kw", "peak_at", "expected", "missing")}
    return shown | {"accepted": output["records_out"], "households": len(output["households"])}


def require_right(case, measured):
    right = json.loads((case / "expected.json").read_text())["right"]
    if "energy_without_spike" in right:
        right = {"energy_kwh": right["energy_without_spike"], "peak_kw": right["peak_without_spike"]}
    stated = {key: right[key] for key in measured if key in right}
    for key in ("energy_kwh", "peak_kw"):
        if key in stated:
            stated[key] = pytest.approx(stated[key], rel=2e-6, abs=6e-4)
    assert {key: measured[key] for key in stated} == stated


def commands(case):
    """Yield the files and parameters of each command of a case."""
    for line in (case / "command.txt").read_text().splitlines():
        if line.startswith("./pipeline"):
            words, names, params = iter(shlex.split(line)[3:]), [], {}
            for word in words:
                if word in {"--csv", "--files"}:
                    names.append(next(words))
                elif word == "--set":
                    key, _, value = next(words).partition("=")
                    params[key] = json.loads(value)
                elif word != "--json":
                    params[word.removeprefix("--").replace("-", "_")] = next(words)
            yield names, params


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_user_tries_is_right_or_refused(cases, files, name):
    tried = list(commands(cases / name))
    assert tried
    for names, params in tried:
        try:
            measured = figures(files, cases / name, names, params)
        except BadInputError:
            continue
        require_right(cases / name, measured)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_gives_the_right_figures(cases, files, name):
    names, params = ANSWERS[name]
    require_right(cases / name, figures(files, cases / name, names.split(), params))


def test_each_meter_as_a_household(cases, files):
    case = cases / "F22_bdg2_wide"
    params = {"timezone": "UTC", "columns": "household_id=*,energy_kwh=*", "limit_kw": 2000} | NO_HOME
    right = json.loads((case / "expected.json").read_text())["right"]["both_kwh"]
    assert figures(files, case, ["electricity.csv"], params)["energy_kwh"] == pytest.approx(right)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("field", ["register_kwh", "energy_kwh"])
def test_what_has_to_be_changed_first_is_refused(cases, files, name, field):
    params = {"columns": f"household_id=entity_id,{field}=state", "as_mapped": field == "energy_kwh"}
    with pytest.raises(BadInputError, match=REFUSED[name]):
        figures(files, cases / name, ["history.csv"], params)


def test_every_case_is_tested(cases):
    assert {path.name for path in cases.iterdir() if path.is_dir()} == {*ANSWERS}


def test_what_fluvius_calls_injection_is_the_export(cases, files):
    """Energy and export as the case states them, from rows of four registers."""
    shutil.copy(cases / "F14_fluvius/fluvius.csv", files / "source/fluvius.csv")
    columns = "register=Register,import=Afname Dag|Afname Nacht,export=Injectie Dag|Injectie Nacht"
    generate(files, GeneratorParams(files=("fluvius.csv",), columns=columns, timezone="Europe/Brussels"))
    analyze(files, AnalyzerParams(timezone="Europe/Brussels"))
    document = json.loads((files / "output1.json").read_text())
    assert (document["energy_kwh"], document["export_kwh"]) == (pytest.approx(47.448), pytest.approx(4.0))
