"""The energy domain."""

from include.core.domain import Domain, Option, Subject
from include.core.feeds import FeedReader
from include.energy.steps import ENERGY_STEPS

ENERGY = Domain(
    name="energy",
    title="Energy",
    steps=ENERGY_STEPS,
    image="groundtruth-energy:latest",
    param_aliases={"csv": "files"},
    examples=(
        "energy --date 2026-11-20",
        "energy --files day.csv --columns timestamp=Time,household_id=Meter,energy_kwh=Value --timezone Europe/Berlin",
    ),
    options=(
        Option(
            ("--files", "--csv"),
            "Your own meter file: delimited text, NEM12, Green Button XML, workbook, JSON, also in ZIP or gzip; give "
            "it again for more files.",
            param="files",
            metavar="FILE",
            repeated=True,
        ),
        Option(
            ("--columns",),
            "What your columns hold: timestamp, household_id (or @NAME for one household, * for one a column) and "
            "one of power_kw, power_w, power_mw, energy_kwh, energy_wh, energy_mwh, register_kwh, register_wh, "
            "register_mwh. `./pipeline inspect FILE` proposes it.",
            param="columns",
            metavar="FIELD=COLUMN,…",
        ),
        Option(
            ("--timezone",),
            "Zone of stamps without one: Europe/Berlin, or a fixed offset such as +10:00.",
            param="timezone",
            metavar="ZONE",
        ),
        Option(
            ("--stamp",),
            "Which end of its interval a stamp marks. Default: as the file shows, else start.",
            param="stamp",
            metavar="start|end",
        ),
        Option(("--unit",), "Unit of the values, where the file states none.", param="unit", metavar="UNIT"),
        Option(
            ("--date-order",),
            "Order of day and month in dates such as 03/04/2026.",
            param="date_order",
            metavar="dmy|mdy",
        ),
        Option(("--decimal",), "Decimal mark, where 1.234 may also be thousands.", param="decimal", metavar=".|,"),
        Option(
            ("--where",),
            'Rows to read: "Type=Actual", or "Type=Actual|Revised"; give it again for more conditions.',
            param="where",
            metavar="COLUMN=TEXT",
            repeated=True,
        ),
        Option(
            ("--resample",),
            "Interpolate registers that are written on change to this interval: 1h, 15min.",
            param="resample",
            metavar="INTERVAL",
        ),
        Option(
            ("--register-digits",),
            "Digits of a register before the decimal mark, after which it rolls over to zero.",
            param="register_digits",
            metavar="N",
        ),
        Option(
            ("--zeros-omitted",),
            "Intervals that files leave out used nothing: read them as zero.",
            param="zeros_omitted",
        ),
        Option(
            ("--meters",),
            "Describes the connection points: devices with dates, multipliers, limits, digits of registers (TOML).",
            param="meters",
            metavar="FILE",
        ),
        Option(
            ("--format",),
            "Preset that states what the files hold: `./pipeline formats` lists them.",
            param="format",
            metavar="NAME",
        ),
        Option(("--accept-untried",), "Use a preset that no public description confirms.", param="accept_untried"),
        Option(("--as-mapped",), "Read files as stated also where they contradict it.", param="as_mapped"),
        Option(
            ("--limit-kw",),
            "What a connection can carry: a reading above it is suspect, and in no total.",
            param="limit_kw",
            metavar="KW",
        ),
        Option(("--tariff",), "Time-of-use tariff (TOML): what the readings cost.", param="tariff", metavar="FILE"),
        Option(("--emissions",), "Hourly factors (CSV: time,gCO2/kWh): the CO2.", param="emissions", metavar="FILE"),
        Option(
            ("--estimate",),
            "Estimate missing intervals: up to 2 h linear, up to 7 days by like days.",
            param="estimate",
        ),
    ),
    complete="include.energy.presets:complete_params",
    check_files="include.energy.run_files:check_files",
    check_inputs="include.energy.run_files:check_inputs",
    commands={
        "inspect": "include.energy.commands:inspect",
        "formats": "include.energy.commands:formats",
    },
    units={"kwh": "kWh", "kw": "kW"},
    overview="include.energy.overview:overview",
    charts="include.energy.charts:charts",
    subject=Subject(
        name="meter",
        help="Id of the meter, as reports name its household.",
        results="include.energy.forgetting:erase_results",
        input="include.energy.forgetting:erase_input",
    ),
    invents="include.energy.params:invented",
    feed_reader=FeedReader(examine="include.energy.feeds:examine", compare="include.energy.feeds:compare"),
)
