"""Presets: what the files of one supplier or grid operator hold, stated once (`--format fluvius`).

A preset is a TOML file. Those of the package lie in `include/energy/formats/`, users' own in `formats/` below the data
folder; a preset of the package's name there replaces it. It states what `--columns` and the options beside it state,
and is checked against each file in the same way: a file that contradicts it is refused. What the user states comes
first. A preset that names no public description of its files is untried, and a run asks for `accept_untried`.

A run takes a user's own preset into its parameters as text, for its steps see nothing of the data folder; `run.json`
holds it as it was.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from include.core.errors import BadInputError
from include.core.windows import parse_zone
from include.energy.inspection.mapping import FIELDS, VALUE_FIELDS, ColumnMapping, parse_columns
from include.energy.inspection.plan import Answers
from include.energy.inspection.spelling import DateOrder, Decimal

FOLDER = Path(__file__).parent / "formats"
OWN_FOLDER = "formats"
"""Below the data folder."""
ANY = "*"
"""In `read` and `leave_out`: every text that the other one does not list."""
TEXT_READER = "delimited text"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rows(_Table):
    """Which rows count, by the text of a column; a text that neither list names is refused."""

    read: tuple[str, ...] = Field(
        min_length=1, description="Texts of the rows to read; `*`: all that are not left out."
    )
    leave_out: tuple[str, ...] = Field((), description="Texts of the rows to leave out; `*`: all that are not read.")

    @model_validator(mode="after")
    def _decided(self) -> Rows:
        if ANY in self.read and ANY in self.leave_out:
            raise ValueError("read and leave_out cannot both be *, for nothing would decide")
        return self


class Specimen(_Table):
    """A small file of the shape, with invented numbers, and the figures that it must give."""

    text: str
    suffix: str = Field(".csv", description="Of the file's name.")
    readings: int
    energy_kwh: float
    first: str = Field(description="Start of the first interval, UTC, as `2026-01-31T23:00:00Z`.")


class Preset(_Table):
    """What the files of one supplier or grid operator hold.

    A column is named as in the header, whatever its case, blanks and punctuation; ` | ` stands between names of which
    a file has one.
    """

    name: str = Field(
        pattern=f"^{_NAME.pattern}$", description="The file's name without `.toml`: lower case, digits, hyphens."
    )
    title: str
    region: str
    about: str = Field(description="Where the file is downloaded, and what it holds.")
    sources: tuple[str, ...] = Field((), description="Public descriptions or specimens; without one it is untried.")
    reader: str = Field(TEXT_READER, description="The format that reads the files.")
    columns: dict[str, str | tuple[str, ...]] = Field(
        {}, description="Columns by field, as in `--columns`; several of one field as a list."
    )
    rows: dict[str, Rows] = Field({}, description="By column: which rows count.")
    timezone: Annotated[str, AfterValidator(lambda text: (parse_zone(text), text)[1])] | None = None
    stamp: Literal["start", "end"] | None = None
    date_order: DateOrder | None = None
    decimal: Decimal | None = None
    specimen: Specimen | None = None

    @property
    def is_tried(self) -> bool:
        """Whether a public description of its files is named."""
        return bool(self.sources)

    @model_validator(mode="after")
    def _mapping_is_possible(self) -> Preset:
        if self.reader != TEXT_READER:
            stated = [key for key in ("columns", "rows", "stamp", "date_order", "decimal") if getattr(self, key)]
            if stated:
                raise ValueError(f"{', '.join(stated)}: files of {self.reader} state this themselves; leave it out")
            return self
        if not any(field in VALUE_FIELDS for field in self.columns):
            raise ValueError(f"columns: needs one of {', '.join(VALUE_FIELDS)}")
        self.mapping(())
        return self

    def mapping(self, header: tuple[str, ...]) -> ColumnMapping:
        """Return its columns as `--columns` states them, named as a file's header names them.

        A column that the header does not have keeps the first of its names, so that it is missed by that name.
        """
        unknown = [field for field in self.columns if field not in FIELDS]
        if unknown:
            raise ValueError(f"columns: {unknown[0]!r} is not a field; the fields are {', '.join(FIELDS)}")
        parts = (
            f"{field}={name if name == ANY or name.startswith('@') else find_column(name, header)}"
            for field, names in self.columns.items()
            for name in ((names,) if isinstance(names, str) else names)
        )
        return parse_columns(",".join(parts))

    def fits(self, header: tuple[str, ...]) -> bool:
        """Return whether a header has all of its columns."""
        mapping = self.mapping(header) if self.reader == TEXT_READER else None
        names = (*(mapping.names if mapping else ()), *(find_column(name, header) for name in self.rows))
        return mapping is not None and all(name in header or name.startswith("#") for name in names)


def with_preset(answers: Answers, preset: Preset, header: tuple[str, ...]) -> Answers:
    """Return what the user states, completed with what a preset states of a file with such a header."""
    own, mapping = preset.mapping(header), answers.mapping or ColumnMapping()
    taken: set[str] = set()
    changes: dict[str, Any] = {}
    for attribute in ("timezone", "stamp", "date_order", "decimal"):
        value = getattr(preset, attribute)
        if value and getattr(answers, attribute) in (None, value):
            changes[attribute] = value
            taken.add(attribute)
    if not mapping.timestamps:
        mapping = replace(mapping, timestamps=own.timestamps)
        taken.add("timestamps")
    if mapping.household_id is None and mapping.household is None:
        mapping = replace(mapping, household_id=own.household_id, household=own.household)
        taken.add("household_id")
    if mapping.field is None:
        unit = answers.unit or own.unit
        kind = "power" if not str(unit).endswith("Wh") else "register" if own.cumulative else "energy"
        field = own.field if unit == own.unit else f"{kind}_{unit}".lower()
        mapping = replace(mapping, field=field, values=own.values)
        taken |= {"values"} if unit == own.unit else set()
    others = {
        name: getattr(mapping, name) or getattr(own, name)
        for name in ("voltage", "current", "flows", "register", "roles")
    }
    mapping = replace(mapping, **others)
    rows = {find_column(name, header): rows for name, rows in preset.rows.items()}
    return replace(answers, mapping=mapping, rows=rows, by_preset=frozenset({*taken, "rows"}), **changes)


def find_column(name: str, header: tuple[str, ...]) -> str:
    """Return what a header calls a column, else the first of its names.

    >>> find_column("Van (datum) | From (date)", ("EAN", "from date"))
    'from date'
    """
    candidates = [candidate.strip() for candidate in name.split(" | ")]
    plain = {_plain(candidate) for candidate in candidates}
    return next((column for column in header if _plain(column) in plain), candidates[0])


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def parse_preset(text: str, origin: str, name: str | None = None) -> Preset:
    """Return a preset from its text.

    Args:
        text: TOML.
        origin: What messages call it, such as its path.
        name: What it must be called, where its file says so.

    Raises:
        BadInputError: It is not TOML, or breaks a rule; names file, key and rule.
    """
    try:
        preset = Preset.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(
            f"{origin}: is not TOML: {error}; ./pipeline formats fluvius shows a complete one"
        ) from None
    except ValidationError as error:
        faults = (
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))))
            for fault in error.errors()
        )
        keys = ", ".join(Preset.model_fields)
        raise BadInputError(f"{origin}: {'; '.join(faults)}; the keys of a preset are {keys}") from None
    if name is not None and preset.name != name:
        raise BadInputError(f"{origin}: name must be {name!r}, as the file is called, and is {preset.name!r}")
    return preset


def read_preset(path: Path) -> Preset:
    """Return the preset that a file holds.

    Raises:
        BadInputError: It cannot be read, or breaks a rule.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read: {error}; a preset is a TOML file in UTF-8") from None
    return parse_preset(text, str(path), path.stem)


@cache
def packaged() -> Mapping[str, Preset]:
    """Return the presets of the package, by name."""
    return {path.stem: read_preset(path) for path in sorted(FOLDER.glob("*.toml"))}


def own_folder() -> Path:
    """Return the folder of users' own presets."""
    from include.core.settings import get_settings  # its library is not in the image of the steps

    return get_settings().data_dir / OWN_FOLDER


def find_presets() -> Iterator[tuple[Preset, Path]]:
    """Yield all presets with their files, by name; a user's own one replaces the package's of its name.

    Raises:
        BadInputError: A user's own one cannot be read.
    """
    paths = {path.stem: path for folder in (FOLDER, own_folder()) for path in folder.glob("*.toml")}
    for name in sorted(paths):
        yield read_preset(paths[name]), paths[name]


def preset_of(text: str) -> Preset:
    """Return the preset that the parameter `format` stands for: a name of the package's, or a preset's text.

    Raises:
        BadInputError: There is none of that name, or the text breaks a rule.
    """
    if "\n" in text:
        return parse_preset(text, "format")
    if text in packaged():
        return packaged()[text]
    raise BadInputError(
        f"format: there is no preset named {text!r}; ./pipeline formats lists them, and your own ones lie in "
        f"{OWN_FOLDER}/ below the data folder"
    )


def complete_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's parameters with what follows from `format`: a user's own preset as text, and its zone.

    Raises:
        BadInputError: There is no such preset, it breaks a rule, or it is untried and `accept_untried` is not stated.
    """
    name = params.get("format")
    if not isinstance(name, str) or not name:
        return dict(params)
    path = own_folder() / f"{name}.toml" if _NAME.fullmatch(name) else None
    if path is not None and path.is_file():
        read_preset(path)
        name = path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    preset = preset_of(name)
    if not preset.is_tried and not params.get("accept_untried"):
        raise BadInputError(
            f"format: {preset.name} is untried: it names no public description of its files (sources); see what "
            f"./pipeline inspect --format {preset.name} FILE shows, and if it is right, add --accept-untried"
        )
    return {**params, "format": name, "timezone": params.get("timezone") or preset.timezone}
