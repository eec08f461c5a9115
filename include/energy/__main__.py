"""`python -m include.energy STEP`: runs one step as a program, as its container does."""

from include.core.process import main
from include.energy.steps import ENERGY_STEPS

raise SystemExit(main("include.energy", ENERGY_STEPS))
