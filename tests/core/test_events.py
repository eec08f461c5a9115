"""Events in words, and as lines that a later release may extend."""

import pytest

from include.core.events import (
    EVENTS,
    KINDS,
    LONGEST_TEXT,
    Deferred,
    Escalated,
    Failed,
    Notified,
    Progress,
    Proven,
    Resumed,
    RunEnded,
    RunStarted,
    StepStarted,
    ending,
    under_way,
)

WORDS = [
    (RunStarted(pipeline="energy", steps=1), "run of energy started: 1 step"),
    (StepStarted(step="analyze"), "started"),
    (StepStarted(step="analyze", attempt=2), "started (attempt 2)"),
    (Progress(step="analyze", text="5 of 10 records"), "5 of 10 records"),
    (Deferred(step="analyze"), "deferred: waits without a worker slot"),
    (Resumed(step="analyze"), "resumed"),
    (Proven(step="prepare", seconds=0.25), "done in 0.2 s"),
    (Proven(step="analyze", seconds=95, artifacts=2, records=9), "proven in 1 min 35 s: 2 artifacts, 9 records read"),
    (Proven(step="analyze", seconds=95, reused=True), "reused: an earlier result still holds"),
    (Failed(step="analyze", cause="contract", message="no rows"), "failed: no rows"),
    (Failed(step="analyze", cause="transient", message="no answer"), "met a fault that may pass: no answer"),
    (Escalated(step="approve"), "a reviewer is asked to approve; see the required actions of the run"),
    (Notified(subject="energy failed"), "notice sent: energy failed"),
    (RunEnded(status="success", seconds=246), "run ended after 4 min 6 s: success"),
    (RunEnded(status="failed", seconds=2, message="no rows"), "run ended after 2.0 s: failed: no rows"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "words"), WORDS)
def test_an_event_is_stated_in_words_and_read_as_it_was_written(event, words):
    assert event.words == words
    assert EVENTS.validate_json(event.model_dump_json(exclude_none=True)) == event


def test_each_kind_is_known_by_its_name():
    assert {type(event) for event, _ in WORDS} == set(KINDS)
    assert len({kind.model_fields["kind"].default for kind in KINDS}) == len(KINDS)


def test_a_long_text_is_cut():
    assert len(Failed(step="analyze", cause="error", message="x" * 10_000).message) == LONGEST_TEXT


def test_what_a_later_release_adds_to_an_event_is_ignored():
    line = '{"at": "2026-01-01T00:00:00Z", "kind": "deferred", "step": "analyze", "service": "analyzer"}'
    assert EVENTS.validate_json(line).step == "analyze"


def test_a_run_has_ended_unless_it_was_cleared_and_notices_change_nothing():
    end = RunEnded(status="success", seconds=1)
    started, notice = StepStarted(step="analyze"), Notified(subject="failed")
    assert ending([]) is ending([started]) is None
    assert ending([started, end, notice]) == end
    assert ending([started, end, notice, started]) is None


def test_the_steps_under_way_are_those_that_have_begun_and_not_ended():
    one, two = StepStarted(step="one"), StepStarted(step="two")
    half, waiting = Progress(step="one", text="half"), Deferred(step="two")
    assert under_way([one, two, half, waiting]) == [(one, half), (two, waiting)]
    assert under_way([one, two, half, Proven(step="one", seconds=1)]) == [(two, two)]
    assert under_way([one, two, RunEnded(status="failed", seconds=1)]) == [], "a step that was killed has no end"
    again = StepStarted(step="one", attempt=2)
    assert under_way([one, half, again]) == [(again, again)]
    asked = Escalated(step="approve")
    assert under_way([asked]) == [(asked, asked)]
    assert under_way([half, Notified(subject="late")]) == [(half, half)]
