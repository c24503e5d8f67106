"""The schedule is off: standby ticks end a managed attachment, which has no time limit; without them it stays."""

from __future__ import annotations

from observer import store
from observer.world import instant

from stillness import Stillness


def test_standby_tick_ends_a_managed_attachment_when_the_schedule_is_off(stillness: Stillness) -> None:
    hold, tries = stillness.holds["standby"], stillness.held("standby")
    # The control: without standby ticks the observer sees the access allowed.
    assert tries.between(hold.deadline(), stillness.standby_at) == {"allowed"}
    assert stillness.stood["standby"] and stillness.states["standby"] == "Active"
    assert "tick" not in stillness.on_meanwhile
    end = hold.ended("deadline")
    assert stillness.standby_at < instant(end["verified_at"]) < stillness.stream_at
    assert tries.since(instant(end["verified_at"])) == {"denied"}
    (passed,) = (one for one in store.snapshot().evidence[hold.grant] if one["event"] == "DeadlinePassed")
    assert passed["detail"]["with"] == {"found_by": "standby_tick"}, "evidence must name the standby tick"


def test_standby_tick_keeps_issuing_open_when_the_schedule_is_off(stillness: Stillness) -> None:
    assert "tick" not in stillness.on_meanwhile
    assert len(set(stillness.heartbeats)) >= 4
    assert (stillness.health, stillness.issued) == (200, 200)
