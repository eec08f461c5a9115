"""`python -m include.satellite STEP`: runs one step as a program, as its container does."""

from include.core.process import main
from include.satellite.steps import SATELLITE_STEPS

IN_CONTAINERS = {name: step for name, step in SATELLITE_STEPS.items() if not step.in_worker}

raise SystemExit(main("include.satellite", IN_CONTAINERS))
