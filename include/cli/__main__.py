"""`python -m include.cli`, which `./pipeline` calls."""

from include.cli.app import app

app(prog_name="./pipeline")
