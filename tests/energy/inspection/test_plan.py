"""What is understood, as values: nothing is stated unless the user states it."""

from include.energy.inspection.plan import STAMPS_MARK, Answers, Statement


def test_nothing_is_answered_by_default():
    assert Answers() == Answers(None, None, None, None, None, None, (), False, False, False)


def test_a_statement_is_shown_unless_it_is_assumed():
    assert not Statement(STAMPS_MARK, "the start of the interval").assumed
