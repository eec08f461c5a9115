"""What the door says when it lets a request not through."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - a verdict, no fault of ours
    """A request that breaks a rule: 403.

    Args:
        rule: Name of the rule, for whoever filters the log.
        sentence: What was wrong, for a person.
    """

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(sentence)
        self.rule = rule
