"""Issue and reap are down: AWS ends an inline attachment at its deadline; a TTL removal then invokes the reaper.

Neither function runs, and no driver invokes them. Beside each protection runs a control without it.
"""

from __future__ import annotations

from observer import store
from observer.world import instant

from attachments import Hold
from stillness import Stillness


def active_at(hold: Hold) -> float:
    """The time of its first observed presence."""
    chain = store.snapshot().evidence[hold.grant]
    return instant(next(entry["at"] for entry in chain if entry["event"] == "PresenceObserved"))


def test_inline_attachment_ends_at_its_deadline_by_its_time_limit_alone(stillness: Stillness) -> None:
    guarded, naked = stillness.holds["down"], stillness.holds["naked"]
    tries = stillness.held("down")
    assert tries.between(active_at(guarded), guarded.deadline()) == {"allowed"}
    assert tries.between(guarded.deadline(), stillness.back_at) == {"denied"}
    # The control: without the time limit the observer sees the access allowed.
    assert stillness.held("naked").between(active_at(naked), stillness.back_at) == {"allowed"}
    assert stillness.held("naked").between(naked.deadline(), stillness.back_at) == {"allowed"}
    # Only AWS ended it: both policies were still attached, and both grants were Active.
    assert stillness.stood["down"] and stillness.stood["naked"]
    assert (stillness.states["down"], stillness.states["naked"]) == ("Active", "Active")


def test_ttl_backstop_removed_by_dynamodb_invokes_the_reaper_through_the_stream(stillness: Stillness) -> None:
    hold, tries = stillness.holds["backstop"], stillness.held("backstop")
    (removed,) = stillness.removals
    identity = {name.lower(): value for name, value in removed["userIdentity"].items()}
    assert identity == {"type": "Service", "principalid": "dynamodb.amazonaws.com"}, removed
    # The control: the TTL removal alone ends nothing, and passes without a working sweep do not find the grant.
    assert stillness.backstop_gone_at < stillness.stream_at
    assert stillness.passes_between(stillness.backstop_gone_at, stillness.stream_at) >= 2
    assert tries.between(active_at(hold), stillness.stream_at) == {"allowed"}
    assert tries.between(hold.deadline(), stillness.stream_at) == {"allowed"}
    # The test: the stream is read again while the schedule is still off.
    assert "tick" not in stillness.on_meanwhile
    # The backstop puts the grant back on the to-do list, where the next pass finds it.
    hold.ended("deadline")
    (passed,) = (one for one in store.snapshot().evidence[hold.grant] if one["event"] == "DeadlinePassed")
    assert passed["detail"]["with"] == {"found_by": "backstop"}, "evidence must name the backstop"
    assert instant(passed["at"]) >= stillness.stream_at


def test_inline_attachments_past_their_deadlines_are_removed_once_the_reaper_is_back(stillness: Stillness) -> None:
    for name in ("down", "naked"):
        # The control's task was allowed past its deadline, as intended.
        assert stillness.holds[name].ended("deadline", is_late=name == "naked")["ended_by"] == "time_limit"
