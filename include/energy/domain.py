"""The energy domain."""

from include.core.domain import Domain, Option
from include.energy.steps import ENERGY_STEPS

ENERGY = Domain(
    name="energy",
    title="Energy",
    steps=ENERGY_STEPS,
    image="groundtruth-energy:latest",
    param_aliases={"csv": "files"},
    options=(
        Option(
            ("--files", "--csv"),
            "Your own meter file (CSV, also gzip); give it again for more files.",
            param="files",
            metavar="FILE",
            repeated=True,
        ),
        Option(
            ("--columns",),
            "What your columns hold: timestamp, household_id (or @NAME for one household) and one of power_kw, "
            "power_mw, energy_kwh; voltage and current if measured.",
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
            "Which end of its interval a stamp marks. Default: start.",
            param="stamp",
            metavar="start|end",
        ),
    ),
    units={"kwh": "kWh", "kw": "kW"},
    overview="include.energy.overview:overview",
    charts="include.energy.charts:charts",
)
