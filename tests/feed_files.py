"""Daily files of a feed, in hourly kWh of two meters on Amsterdam's clock, and their sums by other means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

DECLARATION = 'expected_every = "1d"\nsettle = "0s"\n\n[options]\ntimezone = "Europe/Amsterdam"\n'


def energy(meter: str, hour: int) -> float:
    """What a meter uses in an hour (kWh): up and down, for what rises all day is a register."""
    return round(0.2 + 0.01 * (hour * 7 % 24) + (0.05 if meter == "B" else 0), 3)


def day_file(day: str, hours: Iterable[int] = range(24), revised: Mapping[tuple[str, int], float] | None = None) -> str:
    """The file of a day, some of its readings with other values."""
    of_meter = list(hours)
    values = {(meter, hour): energy(meter, hour) for meter in "AB" for hour in of_meter} | dict(revised or {})
    rows = [f"{day} {hour:02}:00,{meter},{value:.3f}" for (meter, hour), value in values.items()]
    return "\n".join(["time,meter,Import kWh", *rows]) + "\n"


def make_feed(data_dir: Path, name: str = "home", declaration: str = DECLARATION) -> Path:
    """Make a feed, and return its folder."""
    folder = data_dir / "inbox" / name
    folder.mkdir(parents=True)
    (folder / "feed.toml").write_text(declaration)
    return folder
