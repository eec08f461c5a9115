"""What is being understood of a file: statements and questions so far, and what the user states."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from include.core.errors import BadInputError
from include.energy.inspection.columns import profile
from include.energy.inspection.layout import Layout
from include.energy.inspection.mapping import EVERY, ColumnMapping
from include.energy.inspection.plan import Answers, Choice, Question, Statement

Search = Callable[[int, str, Sequence[Choice]], str | None]
"""From a column, a regular expression and which rows count to a cell of the complete file that matches it, else None.

An expression that begins with `!` is to be matched by none of what is found.
"""
UNNAMED = ("", "Unnamed: 0")
"""How users and pandas name a first column without a name."""


class Draft:
    """Statements and questions about a file, in the order of a reader's questions.

    Args:
        layout: Where its table stands, with a sample of its rows.
        answers: What the user states.
        search: Looks for a text in the complete file, where the sample does not decide.
    """

    def __init__(self, layout: Layout, answers: Answers, search: Search) -> None:
        self.layout, self.answers, self._search = layout, answers, search
        self.choices: tuple[Choice, ...] = ()
        self.mapping = answers.mapping or ColumnMapping()
        self.file = layout.file
        self.columns = profile(layout)
        self.statements: list[Statement] = []
        self.questions: list[Question] = []
        self.flows: dict[str, tuple[int, ...]] = {}
        self.directions: tuple[int, dict[str, tuple[str, ...]]] | None = None

    def state(self, topic: str, value: str, evidence: str = "", *, assumed: bool = False) -> None:
        """Note something that holds."""
        self.statements.append(Statement(topic, value, evidence, assumed))

    def ask(self, topic: str, text: str, *options: str) -> None:
        """Note a question, with the options that answer it."""
        self.questions.append(Question(topic, text, options))

    def search(self, position: int, pattern: str) -> str | None:
        """Return a cell of the rows that count, in the complete file, that matches an expression (see `Search`)."""
        return self._search(position, pattern, self.choices)

    def select(self, choices: Sequence[Choice]) -> None:
        """Leave only the rows that count in the sample, if it has any: what other rows hold decides nothing."""
        self.choices = (*self.choices, *choices)

        def counts(row: Sequence[str]) -> bool:
            return all((row[p] in texts) is is_read for p, texts, is_read in choices if p < len(row))

        rows, more = (tuple(filter(counts, part)) for part in (self.layout.rows, self.layout.more))
        if choices and rows:
            self.layout = replace(self.layout, rows=rows, more=more)
            self.columns = profile(self.layout)

    def stated_by(self, attribute: str) -> str:
        """Return who states an attribute of the answers."""
        if attribute in self.answers.by_preset and self.answers.preset:
            return f"the format {self.answers.preset.name} states it"
        return "stated by the user"

    def option(self, attribute: str, text: str) -> str:
        """Return what states an attribute: an option, or the preset."""
        if attribute in self.answers.by_preset and self.answers.preset:
            return f"the format {self.answers.preset.name}"
        return text

    def refuse(self, reason: str) -> BadInputError:
        """Return the error that names the file and the reason."""
        return BadInputError(f"{self.file.name}: {reason}")

    def contradict(self, reason: str, remedy: str) -> None:
        """Refuse what the user states and the file contradicts, unless the user insists."""
        if not self.answers.as_mapped:
            raise self.refuse(f"{reason}; {remedy}, or insist with --as-mapped")
        self.state("as mapped", "the user insists", reason)

    def name(self, position: int) -> str:
        """Return how the mapping names a column: by its name, or as `#3` where that is not unique or not there."""
        name = self.file.name_of(position)
        return f"#{position + 1}" if name == EVERY or name.startswith("@") else name

    def names(self, positions: Sequence[int]) -> list[str]:
        """Return how the mapping names columns."""
        return [self.name(position) for position in positions]

    def role(self, name: str) -> str:
        """Return the field that a mapped column stands for."""
        flow = next((field for field, names in self.mapping.flows.items() if name in names), None)
        return "timestamp" if name in self.mapping.timestamps else flow or self.mapping.field or "household_id"

    def require_columns(self) -> None:
        """Refuse a mapping with columns that the file does not have; names all of them."""
        columns = self.file.columns
        missing = [name for name in self.mapping.names if not re.fullmatch(r"#\d+", name) and name not in columns]
        if columns[0] == "#1":
            missing = [name for name in missing if name not in UNNAMED]
        if not missing:
            return
        close = {name: difflib.get_close_matches(name, columns, 1, 0.6) for name in missing}
        meant = [f"{match[0]!r} instead of {name!r}" for name, match in close.items() if match]
        raise self.refuse(
            f"has no column {' and no column '.join(map(repr, missing))}; its columns are "
            f"{', '.join(map(repr, columns[:30]))}"
            + ("" if self.layout.has_header else "; it has no header: name columns by their place")
            + (f"; did you mean {' and '.join(meant)}?" if meant else "")
        )

    def position(self, name: str, role: str) -> int:
        """Return the position of a column that the user names; columns of one name must hold the same."""
        columns = self.file.columns
        if match := re.fullmatch(r"#(\d+)", name):
            position = int(match[1]) - 1
            if 0 <= position < len(columns):
                return position
            raise self.refuse(f"has no column {name}; it has {len(columns)}")
        if name in UNNAMED and columns[0] == "#1":
            return 0
        positions = [position for position, column in enumerate(columns) if column == name]
        if not positions:
            raise self.refuse(f"has no column {name!r}; its columns are {', '.join(map(repr, columns[:30]))}")
        first = self.columns[positions[0]].texts
        if any(self.columns[position].texts != first for position in positions[1:]):
            shown = "; ".join(f"{role}=#{p + 1} holds {', '.join(self.columns[p].distinct[:3])}" for p in positions)
            raise self.refuse(f"names {name!r} {len(positions)} times, and they differ; name one by its place: {shown}")
        return positions[0]

    def optional(self, name: str | None) -> int | None:
        """Return the position of a column that need not be mapped."""
        return None if name is None else self.position(name, "voltage")
