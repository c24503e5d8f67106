"""The schedule stands still: the reaper's standby ticks end a managed policy, which carries no limit; without them it stays."""

from __future__ import annotations

from observer import store
from observer.world import instant

from stillness import Stillness


def test_standby_ticks_end_what_no_schedule_does_and_without_them_it_stays(stillness: Stillness) -> None:
    hold, tries = stillness.holds["standby"], stillness.held("standby")
    # The observer turns red where the protection is gone.
    assert tries.between(hold.deadline(), stillness.standby_at) == {"allowed"}
    assert stillness.stood["standby"] and stillness.states["standby"] == "Active"
    assert "tick" not in stillness.on_meanwhile
    end = hold.ended("deadline")
    assert stillness.standby_at < instant(end["verified_at"]) < stillness.stream_at
    assert tries.since(instant(end["verified_at"])) == {"denied"}
    (passed,) = (one for one in store.snapshot().evidence[hold.grant] if one["event"] == "DeadlinePassed")
    assert passed["detail"]["with"] == {"found_by": "echo"}, "its evidence says what led to its end"


def test_issuing_goes_on_by_standby_ticks_while_the_schedule_stands_still(stillness: Stillness) -> None:
    assert "tick" not in stillness.on_meanwhile
    assert len(set(stillness.heartbeats)) >= 4
    assert (stillness.health, stillness.issued) == (200, 200)
