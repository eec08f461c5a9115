"""A question to a reviewer comes with the code of its evidence, which changes with the evidence."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from include.core.approvals import CODE_LENGTH, Question, question_of
from include.core.artifacts import sha256
from include.core.contracts import Approval
from include.core.errors import ContractError
from include.core.run_folder import Run, write_json
from tests.core.small_pipeline import ANALYZE, MEASURE
from tests.evidence import text_evidence

HERE = "tests.core.test_approvals"
ASKS = replace(
    ANALYZE,
    approval=Approval("require_approval", f"{HERE}:ask", f"{HERE}:evidence", f"{HERE}:record"),
)


def ask(files, params):
    """The question of the tests: nothing where there is no file."""
    return f"Double {params.factor:g}?" if (files / "in.csv").exists() else None


def evidence(files):
    """It rests on one file."""
    return sha256(files / "in.csv")


@pytest.fixture
def run(folder):
    write_json(
        folder.path / "run.json",
        Run(
            pipeline="p", dag_id="p", run_id="r", runtime="local", created_at=datetime(2026, 1, 1, tzinfo=UTC),
            params={"factor": 3.0, "of_another_step": 1}, steps=[],
        ),
    )  # fmt: skip
    folder.files.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_question_is_made_from_the_runs_artifacts_and_the_steps_parameters(run):
    assert question_of(ASKS, run) is None
    (run.files / "in.csv").write_text("1")
    asked = question_of(ASKS, run)
    assert asked == Question("Double 3?", sha256(run.files / "in.csv"))
    assert len(asked.code) == CODE_LENGTH
    assert asked.evidence.startswith(asked.code)


def test_the_code_changes_with_the_evidence_though_the_text_stays(run):
    (run.files / "in.csv").write_text("1")
    before = question_of(ASKS, run)
    (run.files / "in.csv").write_text("2")
    after = question_of(ASKS, run)
    assert before.text == after.text
    assert after.is_meant_by(after.code)
    assert not after.is_meant_by(before.code)


@pytest.mark.parametrize("code", ["", " ", "0" * CODE_LENGTH, "12", "None"])
def test_a_code_that_is_not_the_questions_means_another_one(code):
    assert not Question("?", text_evidence("?")).is_meant_by(code)


def test_a_code_may_be_copied_with_spaces_and_in_capitals():
    question = Question("?", text_evidence("?"))
    assert question.is_meant_by(f"  {question.code.upper()}\n")


def test_a_step_without_an_approval_and_a_run_without_a_plan_ask_nothing(run):
    with pytest.raises(ContractError, match="must declare an approval"):
        question_of(MEASURE, run)
    (run.path / "run.json").unlink()
    with pytest.raises(ContractError, match=r"run\.json: must be written before a reviewer is asked"):
        question_of(ASKS, run)
