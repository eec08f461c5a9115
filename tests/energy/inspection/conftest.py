import pytest

from include.energy.inspection.layout import find_table
from include.energy.inspection.mapping import parse_columns
from include.energy.inspection.plan import Answers
from include.energy.inspection.understanding import understand


@pytest.fixture
def understood(tmp_path):
    """Return a function that understands a file of a header and rows, under answers."""

    def understood(header, *rows, columns=None, **answers):
        (tmp_path / "m.csv").write_text("\n".join([header, *rows]) + "\n")
        mapping = parse_columns(columns) if columns else None
        layout = find_table(tmp_path / "m.csv", "m.csv")
        return understand(layout, Answers(mapping=mapping, **{"timezone": "UTC"} | answers), lambda *_: None)

    return understood


@pytest.fixture
def statements(understood):
    """Return a function that returns what is understood, by topic."""

    def statements(*lines, **answers):
        return {statement.topic: statement for statement in understood(*lines, **answers).statements}

    return statements
