"""`python -m include.cli`, which `./pipeline` calls."""

import sys

from include.cli.app import USAGE, app, fail
from include.core.errors import GroundtruthError

try:
    app(prog_name="./pipeline")
except GroundtruthError as error:  # an impossible setting, which every command meets
    sys.exit(fail(error, USAGE).exit_code)
