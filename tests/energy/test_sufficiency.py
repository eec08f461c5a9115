"""The decision whether data are sufficient."""

import pytest

from include.core.errors import BadInputError
from include.energy.params import AnalyzerParams
from include.energy.schemas import Requirement
from include.energy.sufficiency import in_words, require, require_sufficient
from tests.energy.analysis import DAY, analyzed, series, varied

GAPPED = series([*varied(20), *[None] * 4, *varied(24)])
"""44 of 48 half-hours, and a gap of two hours."""


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"min_coverage": 0.95}, r"coverage is 91.67 %, at least 95 % \(min_coverage\) is asked for"),
        ({"max_gap_hours": 1.5}, r"the longest gap is 2 h, at most 1.5 h \(max_gap_hours\) is asked for"),
        (
            {"max_estimated": 0.05, "estimate": True},
            r"the estimated share is 8.333 %, at most 5 % \(max_estimated\) is asked for",
        ),
    ],
)
def test_a_limit_that_users_set_fails_the_run_and_names_what_the_data_have(files, limits, reason):
    with pytest.raises(BadInputError, match=reason) as error:
        analyzed(files, GAPPED, **limits, **DAY)
    assert "the longest gap: A, from 2026-01-05 10:00 UTC" in str(error.value)
    assert not (files / "output1.json").exists()


@pytest.mark.parametrize(
    "limits",
    [
        {"min_coverage": 0.91},
        {"max_gap_hours": 2},
        {"max_estimated": 0.0},
        {"max_estimated": 0.1, "estimate": True},
    ],
)
def test_a_limit_that_is_kept_lets_the_run_pass(files, limits):
    document = analyzed(files, GAPPED, **limits, **DAY).document
    (name,) = limits.keys() - {"estimate"}
    assert [r.met for r in document.requirements if r.name == name and r.stated] == [True]


def test_without_limits_the_defaults_decide_and_nothing_fails(files):
    document = analyzed(files, GAPPED, **DAY).document
    assert document.sufficient is False
    assert [(r.name, r.limit, r.stated, r.met) for r in document.requirements] == [
        ("min_coverage", 0.95, False, False),
        ("max_gap_hours", 168.0, False, True),
        ("max_estimated", 0.1, False, True),
    ]
    require_sufficient(document)


def test_data_without_a_gap_meet_every_limit():
    requirements = require(AnalyzerParams(min_coverage=1, max_gap_hours=0, max_estimated=0), 48, 48, 0, [])
    assert all(requirement.met for requirement in requirements)


def test_shares_are_percentages_in_words():
    requirement = Requirement(name="min_coverage", value=0.916667, limit=0.95, stated=True, met=False)
    assert in_words(requirement) == "coverage is 91.67 %, at least 95 %"
