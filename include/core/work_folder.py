"""The work folder of one execution of a step: its declared inputs, room for its outputs, nothing else of the run.

A step sees it as `/data` in a container and as `files` in a function. The inputs in it are sealed files, at the
documented names: links for our own functions, links or copies for local commands, mounts in containers.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from include.core.errors import ContractError, SetupError
from include.core.files import setup_errors

VIEW = ".view-"
"""Begins the name of a folder that shows sealed files while they are checked."""


@dataclass(frozen=True)
class WorkFolder:
    """Where one execution of a step works.

    Args:
        files: The folder; what the step sees as `/data`.
        inputs: The sealed file of each input, by documented path.
        stored: The files of stores that the step reads, by path below the data folder.
        scratch: The folders that survive from attempt to attempt, by their path below `files`.
        owner: User id that the step runs as, where it is not this process's.
    """

    files: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    stored: Mapping[str, Path] = field(default_factory=dict)
    scratch: Mapping[str, Path] = field(default_factory=dict)
    owner: int | None = None

    def create(self) -> None:
        """Make the empty folder and its scratch folders, and give them to the step's user, where that is allowed.

        Raises:
            SetupError: They cannot be written.
        """
        with setup_errors(self.files, "created"):
            self.files.mkdir(parents=True)
            for folder in self.scratch.values():
                folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.files, *self.scratch.values()):
            self._give(folder)

    def link_inputs(self) -> None:
        """Show the inputs and scratch folders as links."""
        for name, target in {**self.inputs, **self.scratch}.items():
            self._place(name).symlink_to(target)

    def copy_inputs(self) -> None:
        """Show the inputs as copies, for a command that could write through a link; scratch folders are links."""
        for name, target in self.inputs.items():
            shutil.copyfile(target, self._place(name))
        for name, target in self.scratch.items():
            self._place(name).symlink_to(target)

    def mount_points(self) -> None:
        """Make an empty file for each input and an empty folder for each scratch folder, for mounts to cover."""
        for name in self.inputs:
            self._place(name).touch()
        for name in self.scratch:
            self._place(name).mkdir()
            self._give(self.files / name)

    def _place(self, name: str) -> Path:
        place = self.files / name
        for folder in reversed(place.relative_to(self.files).parents[:-1]):
            if not (self.files / folder).is_dir():
                (self.files / folder).mkdir()
                self._give(self.files / folder)
        return place

    def _give(self, folder: Path) -> None:
        if self.owner is not None:
            with suppress(PermissionError):  # behind the Docker proxy the step gets another folder
                os.chown(folder, self.owner, -1)

    def check_owner(self) -> None:
        """Check that the step may write into the folder.

        Raises:
            SetupError: It belongs to another user.
        """
        if self.owner is not None and self.files.stat().st_uid != self.owner:
            raise SetupError(
                f"{self.files}: cannot be given to user {self.owner} that containers run as; set GROUNDTRUTH_STEP_UID "
                f"to yours"
            )

    def check_nothing_else(self, declared: Collection[str]) -> None:
        """Check that a step left its declared outputs alone beside its inputs.

        Args:
            declared: Paths of the outputs.

        Raises:
            ContractError: Something else lies in the folder, or an input was replaced.
        """
        present = {path.relative_to(self.files).as_posix(): path for path in _everything(self.files)}
        for name, target in self.inputs.items():
            if name not in present or not _shows(present[name], target):
                rule = "must not be touched by a step that only reads it"
                raise ContractError(name, rule, "a changed or removed file")
        for name in sorted(present.keys() - self.inputs.keys() - set(declared)):
            if not any(f"{name}/".startswith(f"{folder}/") for folder in self.scratch):
                raise ContractError(name, "must not be written: the step did not declare it", "an undeclared file")


@contextmanager
def view(parent: Path, files: Mapping[str, Path]) -> Iterator[Path]:
    """Yield a folder that shows some sealed files at their documented names, and nothing else.

    Args:
        parent: Where the folder is made.
        files: The sealed files by documented path.
    """
    with tempfile.TemporaryDirectory(dir=parent, prefix=VIEW) as name:
        shown = WorkFolder(Path(name), files)
        shown.link_inputs()
        yield shown.files


def show(files: Path, name: str, target: Path) -> None:
    """Let a documented name of a run lead to a sealed file: a relative link, replaced atomically.

    Raises:
        SetupError: The folder cannot be written.
    """
    place = files / name
    with setup_errors(place, "written"):
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.link")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.path.relpath(target, place.parent))
        fresh.replace(place)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as this process may; no link is followed."""
    with suppress(FileNotFoundError):
        for place in [folder, *(path for path in _folders(folder))]:
            with suppress(OSError):
                place.chmod(0o700)  # a step may have left a folder that nobody may enter
    shutil.rmtree(folder, ignore_errors=True)


def _shows(path: Path, target: Path) -> bool:
    """Return whether an input is still what it was: a link, an empty file below a mount, or a copy."""
    if path.is_symlink():
        return path.readlink() == target
    size = path.lstat().st_size
    return size in (0, target.stat().st_size) and (size == 0 or filecmp.cmp(path, target, shallow=False))


def _folders(folder: Path) -> Iterator[Path]:
    for place, names, _ in os.walk(folder):
        yield from (path for path in (Path(place, name) for name in names) if not path.is_symlink())


def _everything(folder: Path) -> Iterator[Path]:
    """Yield all files and links below a folder; links are not followed, folders not yielded."""
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            if not stat.S_ISDIR(path.lstat().st_mode):
                yield path
