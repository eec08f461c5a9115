"""Files of a run, read before its first step: meters, tariff, factors of CO2, and the beginning of meter files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LARGEST_BYTES = 100_000_000
"""Of the meter files that are looked into before Airflow starts: larger ones, packed, would take more than seconds."""


def check_files(folder: Path, params: Mapping[str, Any]) -> None:
    """Refuse a description of meters, a tariff or a file of factors that a later step would refuse.

    Args:
        folder: Of the run's input files.
        params: Of the run; `meters`, `tariff` and `emissions` name files of the folder.

    Raises:
        BadInputError: One of them cannot be used; names file, field and rule.
    """
    if name := params.get("meters"):
        from include.energy.meters import read_meters

        read_meters(folder / name, name)
    if name := params.get("tariff"):
        from include.energy.tariffs import read_tariff

        read_tariff(folder / name, name, params.get("timezone") or "UTC")
    if name := params.get("emissions"):
        from include.energy.emissions import read_factors

        read_factors(folder / name, name)


def check_inputs(folder: Path, params: Mapping[str, Any]) -> None:
    """Refuse meter files that cannot be read as stated, as far as their beginning shows.

    Args:
        folder: Of the run's input files.
        params: Of the run; `files` names files of the folder.

    Raises:
        BadInputError: A file is of no known format, lacks a column that is stated, contradicts what is stated, or
            leaves a question open.
    """
    names = params.get("files") or ()
    if not names or sum((folder / name).stat().st_size for name in names) > LARGEST_BYTES:
        return
    from include.energy.db import connect, temporary_folder
    from include.energy.params import GeneratorParams
    from include.energy.readers.base import candidates, choose, take_samples
    from include.energy.unpack import unpack

    stated = {name: value for name, value in params.items() if name in GeneratorParams.model_fields}
    generator = GeneratorParams.model_validate(stated)
    readers = candidates(generator)
    with connect(folder) as connection, temporary_folder(folder) as scratch:
        for name in names:
            for sample in take_samples(unpack(folder / name, name, scratch)):
                choose(sample, generator, readers).read(sample, generator, connection)
