"""Files that explain a run, read before its first step: meters, tariff, factors of CO2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
