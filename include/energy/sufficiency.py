"""The decision whether data are sufficient: coverage, the longest gap, and the share that was estimated.

Users set the limits; a run that exceeds one that they set fails. Without them, defaults decide what the report says.
"""

from __future__ import annotations

from collections.abc import Sequence

from include.core.errors import BadInputError
from include.core.windows import parse_zone
from include.energy.params import AnalyzerParams
from include.energy.schemas import Analysis, Gap, Requirement, RequirementName

DEFAULTS: dict[RequirementName, float] = {"min_coverage": 0.95, "max_gap_hours": 168.0, "max_estimated": 0.1}
"""Coverage below which the report warns; the longest gap that is estimated; a share of estimates."""


def require(
    params: AnalyzerParams, expected: int, received: int, estimated: int, gaps: Sequence[Gap]
) -> list[Requirement]:
    """Return each limit with what the data have.

    Args:
        params: The limits that users set.
        expected: Intervals of all households.
        received: Of these, how many have a valid record.
        estimated: Of these, how many have an estimate.
        gaps: The longest one first.
    """
    hours = (gaps[0].end - gaps[0].start).total_seconds() / 3600 if gaps else 0.0
    shares = {"min_coverage": received / expected, "max_gap_hours": hours, "max_estimated": estimated / expected}
    requirements = []
    for name, default in DEFAULTS.items():
        stated, value = getattr(params, name), shares[name]
        limit = default if stated is None else stated
        met = value >= limit if name == "min_coverage" else value <= limit
        requirements.append(
            Requirement(name=name, value=round(value, 6), limit=limit, stated=stated is not None, met=met)
        )
    return requirements


def in_words(requirement: Requirement) -> str:
    """Return a requirement as a clause.

    >>> in_words(Requirement(name="max_gap_hours", value=30.5, limit=168, stated=False, met=True))
    'the longest gap is 30.5 h, at most 168 h'
    """
    what, form, bound = {
        "min_coverage": ("coverage is", _percent, "at least"),
        "max_gap_hours": ("the longest gap is", "{:,.4g} h".format, "at most"),
        "max_estimated": ("the estimated share is", _percent, "at most"),
    }[requirement.name]
    return f"{what} {form(requirement.value)}, {bound} {form(requirement.limit)}"


def _percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def require_sufficient(analysis: Analysis) -> None:
    """Refuse data that exceed a limit that users set.

    Raises:
        BadInputError: They do; names each such limit.
    """
    broken = [requirement for requirement in analysis.requirements if requirement.stated and not requirement.met]
    if broken:
        reasons = "; ".join(f"{in_words(requirement)} ({requirement.name})" for requirement in broken)
        zone, longest = parse_zone(analysis.timezone), ""
        for gap in analysis.longest_gaps[:1]:
            longest = f"; the longest gap: {gap.household_id}, from {gap.start.astimezone(zone):%Y-%m-%d %H:%M} {zone}"
        raise BadInputError(
            f"the data are not sufficient: {reasons} is asked for{longest}; "
            "provide the missing readings, or change the limits"
        )
