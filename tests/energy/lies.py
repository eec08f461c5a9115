"""Runs energy steps under their contracts over given inputs, and makes them lie."""

import csv
import json
import shutil
import tempfile
from pathlib import Path

import duckdb

from include.core.artifacts import sha256
from include.core.run_folder import FileRecord, RunFolder
from include.core.runner import Attempt, run_step
from include.energy.analyzer import analyze
from include.energy.steps import ENERGY_STEPS
from tests.core.small_pipeline import plan

HONEST = {}
"""What an honest step writes, by the step, its parameters and its inputs: most tests change something else in it."""


class Proving:
    """Runs one step under its contract over given inputs, with an `execute` that may lie."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path / "run")
        self.files = self.folder.files
        self.files.mkdir(parents=True)

    def run(self, step_id, params, lie=lambda files, params: None):
        """Run a step over what lies in `files`, then tell a lie; returns the accepted result."""
        step = ENERGY_STEPS[step_id]
        inputs = [path for path in self.files.rglob("*") if path.is_file()]
        sources = [
            FileRecord(path=path.relative_to(self.files).as_posix(), sha256=sha256(path), bytes=path.stat().st_size)
            for path in inputs
        ]
        plan(self.folder, step, sources=sources, **params)

        def execute(params, work):
            work.link_inputs()
            key = (step.id, params.model_dump_json(), *sorted((source.path, source.sha256) for source in sources))
            if key not in HONEST:
                step.load()(work.files, params)
                written = [name for name in step.outputs if (work.files / name).is_file()]
                HONEST[key] = {name: (work.files / name).read_bytes() for name in written}
            for name, content in HONEST[key].items():
                (work.files / name).write_bytes(content)
            lie(work.files, params)

        return run_step(step, self.folder, Attempt(), execute)


def forged(change):
    """A lie: the analysis of other records, told with artifacts that agree among themselves."""

    def lie(files, params):
        with tempfile.TemporaryDirectory() as name:
            folder = shutil.copytree(files, Path(name) / "files")
            head, *records = (folder / "energy_data.csv").read_text().splitlines()
            altered = [head, *change([record.split(",") for record in records])]
            (folder / "energy_data.csv").write_text("\n".join(altered) + "\n")
            analyze(folder, params)
            for artifact in ENERGY_STEPS["energy-analyzer"].writes:
                shutil.copyfile(artifact.at(folder), artifact.at(files))

    return lie


def each(change):
    """Change the fields of every record that is complete."""

    def apply(records):
        return [",".join(change(*record) if len(record) == 5 else record) for record in records]

    return forged(apply)


def patched(name, change):
    """A lie in a JSON document."""

    def lie(files, params):
        path = files / name
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return lie


def selected(query):
    """A lie in `energy_records.parquet`: what a query makes of its `records`."""
    return queried("energy_records.parquet", query)


def queried(name, query):
    """A lie in a Parquet file: what a query makes of its `records`."""

    def lie(files, params):
        path, other = files / name, files / "other.parquet"
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute(f"CREATE TABLE records AS SELECT * FROM '{path}'")
            db.execute(f"COPY ({query}) TO '{other}' (FORMAT parquet)")
        other.replace(path)

    return lie


def rewritten(name, change):
    """A lie in a CSV file: what a function makes of its rows (dicts)."""

    def lie(files, params):
        path = files / name
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames, list(reader)
        rows = change(rows) or rows
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    return lie


def both(*lies):
    """Several lies, one after the other."""

    def lie(files, params):
        for part in lies:
            part(files, params)

    return lie
