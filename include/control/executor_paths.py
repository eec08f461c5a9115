"""The exchange folder of the ContainerExecutor dialect: a folder that both sides see, perhaps under two names.

`rpc Execute(input_file: string = 1, output_file: string = 2) returns (success: bool = 1, message: string = 2)` passes
paths alone, so each attempt has a folder of its own there: its inputs at their paths, `parameters.json`, its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from include.core.errors import BadInputError

EXECUTOR = "ContainerExecutor"
PARAMETERS = "parameters.json"
"""What the step takes, beside its inputs; services that know no parameters ignore it."""
DEFAULT_SECONDS = 30
"""Deadline of a container that states no `timeout_seconds`."""


@dataclass(frozen=True)
class ExchangeFolder:
    """A shared folder.

    Args:
        folder: As this process sees it.
        seen: As the other side names it in paths.
    """

    folder: Path
    seen: str

    @classmethod
    def of(cls, text: str) -> ExchangeFolder:
        """Return the exchange that `FOLDER` or `FOLDER=NAME ON THE OTHER SIDE` describes.

        >>> ExchangeFolder.of("/srv/exchange=/data").seen
        '/data'

        Raises:
            BadInputError: The folder's name on the other side is not absolute.
        """
        folder, _, seen = text.partition("=")
        place = Path(folder).resolve()
        seen = seen or str(place)
        if not seen.startswith("/"):
            raise BadInputError(f"{text}: must be FOLDER, or FOLDER=/absolute/path/on/the/other/side")
        return cls(place, seen.rstrip("/") or "/")

    def outside(self, place: Path) -> str:
        """Return a place of this side as the other names it."""
        return str(PurePosixPath(self.seen) / place.relative_to(self.folder).as_posix())

    def inside(self, path: str) -> Path:
        """Return the place that the other side names.

        Raises:
            BadInputError: It lies outside the exchange folder.
        """
        stated = PurePosixPath(path)
        if ".." in stated.parts or not stated.is_relative_to(self.seen) or not path.isprintable():
            raise BadInputError(f"{path!r}: must be a path below {self.seen}, the exchange folder, without '..'")
        return self.folder / stated.relative_to(self.seen)


def base_of(place: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return, for each documented name that a place ends with, the folder that the name is relative to.

    >>> base_of(Path("/data/7/out/a.csv"), ["a.csv", "out/a.csv", "b.csv"])
    {'a.csv': PosixPath('/data/7/out'), 'out/a.csv': PosixPath('/data/7')}
    """
    parts = {name: PurePosixPath(name).parts for name in names}
    return {
        name: Path(*place.parts[: -len(ending)])
        for name, ending in parts.items()
        if place.parts[-len(ending) :] == ending
    }


def method_path(package: str) -> str:
    """Return the path of the dialect's method.

    >>> method_path(""), method_path("energy.v2")
    ('/ContainerExecutor/Execute', '/energy.v2.ContainerExecutor/Execute')
    """
    return f"/{package + '.' if package else ''}{EXECUTOR}/Execute"
