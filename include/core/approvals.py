"""What a reviewer is asked, and the code of the evidence that an answer is about.

Airflow keeps the question of a cleared task as it was first asked. An answer therefore carries a code of the evidence
that was shown, and counts only while the run's evidence has this code.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.core.contracts import Step, imported
from include.core.errors import ContractError
from include.core.run_folder import RunFolder

CODE_LENGTH = 12
"""Hexadecimal digits that a reviewer copies: 48 bits."""


@dataclass(frozen=True)
class Question:
    """A question to a reviewer.

    Args:
        text: What is shown (Markdown).
        evidence: SHA-256 of what it rests on.
    """

    text: str
    evidence: str

    @property
    def code(self) -> str:
        """The evidence code, which the reviewer reads and the answer carries."""
        return self.evidence[:CODE_LENGTH]

    def is_meant_by(self, code: str) -> bool:
        """Whether an answer with this evidence code is about this question.

        >>> Question("Promote?", "0123456789abcdef").is_meant_by(" 0123456789AB ")
        True
        """
        return code.strip().lower() == self.code


def question_of(step: Step, folder: RunFolder) -> Question | None:
    """Return what a step asks, from the artifacts that the run has now; None where there is nothing to approve.

    Args:
        step: A step whose contract declares an approval.
        folder: The run.

    Raises:
        ContractError: The contract declares no approval, or the evidence is missing or contradicts itself.
        GroundtruthError: As the question's function raises.
    """
    approval, run = step.approval, folder.run()
    if approval is None:
        raise ContractError(step.id, "must declare an approval to ask a reviewer", "none")
    if run is None:
        raise ContractError("run.json", "must be written before a reviewer is asked", "no such file")
    values = {name: value for name, value in run.params.items() if name in step.params.model_fields}
    text = imported(approval.question)(folder.files, step.params.model_validate(values))
    return None if text is None else Question(text, imported(approval.evidence)(folder.files))
