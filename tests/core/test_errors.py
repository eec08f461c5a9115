"""Errors in words, and the exit codes by which they leave a container."""

import pytest
from pydantic import BaseModel, Field, ValidationError

from include.core.errors import (
    BY_EXIT_CODE,
    BadInputError,
    ContractError,
    SetupError,
    TransientError,
    explain,
    sentences,
)


class Params(BaseModel):
    households: int = Field(ge=1)
    seed: int = 0


def fault(**values):
    with pytest.raises(ValidationError) as caught:
        Params(**values)
    return caught.value


def test_a_broken_contract_names_artifact_rule_and_value():
    error = ContractError("a.csv", "must have rows", 0, hint="Look at the log.")
    assert str(error) == "a.csv: must have rows; found 0"
    assert (error.artifact, error.rule, error.value, error.hint) == ("a.csv", "must have rows", 0, "Look at the log.")
    assert str(ContractError("a.csv", "must exist")) == "a.csv: must exist"


def test_each_fault_of_a_validation_error_is_a_sentence_with_the_value():
    faults = sentences(fault(households=0, seed="x"))
    assert faults[0] == "households: Input should be greater than or equal to 1 (got 0)"
    assert faults[1].startswith("seed: Input should be a valid integer")
    assert explain(fault(households=0, seed="x")) == "; ".join(faults)


def test_an_exit_code_stands_for_one_class_of_errors():
    assert BY_EXIT_CODE[65] is BadInputError
    assert BY_EXIT_CODE[75] is TransientError
    assert all(error.exit_code == code for code, error in BY_EXIT_CODE.items())


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (BadInputError("\x1b[2Jall green\udcff"), "\\x1b[2Jall green\\udcff"),
        (SetupError("http://ada:secret@host: no answer"), "http://***@host: no answer"),
        (
            ContractError("a\nb.csv", "must exist", "a link to \x1b]0;x"),
            "a\\nb.csv: must exist; found a link to \\x1b]0;x",
        ),
    ],
)
def test_what_a_message_quotes_from_outside_is_made_harmless(error, shown):
    """Each message goes into logs, records, reports and terminals; a lone surrogate could not even be written."""
    assert str(error) == shown
    str(error).encode()
