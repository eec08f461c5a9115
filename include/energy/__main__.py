"""`python -m include.energy STEP`: runs one step as a program, as its container does."""

import sys

from include.core.step_main import run_step_main
from include.energy.steps import ENERGY_STEPS

if len(sys.argv) != 2 or sys.argv[1] not in ENERGY_STEPS:
    raise SystemExit(f"usage: python -m include.energy {'|'.join(ENERGY_STEPS)}")
raise SystemExit(run_step_main(ENERGY_STEPS[sys.argv[1]]))
