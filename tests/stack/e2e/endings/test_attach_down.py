"""Nobody is there to end anything: AWS ends an inline attachment at its deadline, and DynamoDB itself calls the reaper.

Both functions of attachments are dead and nothing ticks. Beside each protection runs its control, without it.
"""

from __future__ import annotations

from observer import store
from observer.world import instant

from attachments import Hold
from stillness import Stillness


def active_at(hold: Hold) -> float:
    """When its policy was seen to stand."""
    chain = store.snapshot().evidence[hold.grant]
    return instant(next(entry["at"] for entry in chain if entry["event"] == "PresenceObserved"))


def test_an_inline_attachment_stops_at_its_deadline_by_itself_and_without_its_time_limit_it_does_not(stillness: Stillness) -> None:
    guarded, naked = stillness.holds["down"], stillness.holds["naked"]
    tries = stillness.held("down")
    assert tries.between(active_at(guarded), guarded.deadline()) == {"allowed"}
    assert tries.between(guarded.deadline(), stillness.back_at) == {"denied"}
    # The observer turns red where the protection is gone.
    assert stillness.held("naked").between(active_at(naked), stillness.back_at) == {"allowed"}
    assert stillness.held("naked").between(naked.deadline(), stillness.back_at) == {"allowed"}
    # Nobody but AWS did it: both policies stood, and both grants read Active.
    assert stillness.stood["down"] and stillness.stood["naked"]
    assert (stillness.states["down"], stillness.states["naked"]) == ("Active", "Active")


def test_dynamodb_deletes_a_ttl_backstop_which_calls_the_reaper_and_without_the_stream_nothing_ends(stillness: Stillness) -> None:
    hold, tries = stillness.holds["backstop"], stillness.held("backstop")
    (removed,) = stillness.removals
    identity = {name.lower(): value for name, value in removed["userIdentity"].items()}
    assert identity == {"type": "Service", "principalid": "dynamodb.amazonaws.com"}, removed
    # The control: the deletion alone ends nothing, and no pass finds the grant whose sweep is blind.
    assert stillness.backstop_gone_at < stillness.stream_at
    assert stillness.passes_between(stillness.backstop_gone_at, stillness.stream_at) >= 2
    assert tries.between(active_at(hold), stillness.stream_at) == {"allowed"}
    assert tries.between(hold.deadline(), stillness.stream_at) == {"allowed"}
    # The test: the stream is read again, and the schedule still stands still.
    assert "tick" not in stillness.on_meanwhile
    # It is on the list again: whatever comes next finds it.
    hold.ended("deadline")
    (passed,) = (one for one in store.snapshot().evidence[hold.grant] if one["event"] == "DeadlinePassed")
    assert passed["detail"]["with"] == {"found_by": "fuse"}, "its evidence says what led to its end"
    assert instant(passed["at"]) >= stillness.stream_at


def test_inline_attachments_past_their_deadlines_are_cleaned_up_once_the_reaper_is_back(stillness: Stillness) -> None:
    for name in ("down", "naked"):
        # What the control's task did past its deadline is what the control showed.
        assert stillness.holds[name].ended("deadline", is_late=name == "naked")["ended_by"] == "time_limit"
