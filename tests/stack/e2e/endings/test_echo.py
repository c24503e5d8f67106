"""The schedule stands still: the reaper's own echoes end a managed policy, which carries no limit; without them it stays."""

from __future__ import annotations

import time

from observer import runner, store
from observer.world import World, sleep_until

from attachments import Tasks

# How long ago the last pass must have begun; and how long an echo is held back, what a pass takes, and the enforcement's lag.
AFTER_S, GRACE_S = 3, 12


def test_an_echo_ends_what_no_schedule_does_and_without_echoes_it_stays(world: World, tasks: Tasks) -> None:
    with runner.settings("reap", BREVET_ECHO_AFTER_S=str(AFTER_S)):
        hold = tasks.ask("echo", term_s=60).await_active()
        with runner.off("tick"):
            with runner.off("echo"):
                sleep_until(hold.deadline() + GRACE_S)
                # The observer turns red where the protection is gone.
                assert hold.use().outcome == "allowed" and hold.show()["state"] == "Active"
            hold.await_use("denied", within_s=GRACE_S)
            hold.await_state("Ended", within_s=60)
            assert not runner.is_on("tick", "reap")
    hold.ended("deadline")
    (passed,) = (one for one in store.snapshot().evidence[hold.grant] if one["event"] == "DeadlinePassed")
    assert passed["detail"]["with"] == {"found_by": "echo"}, "its evidence says what led to its end"


def test_while_the_schedule_stands_still_it_goes_on_being_issued(world: World) -> None:
    with runner.settings("reap", BREVET_ECHO_AFTER_S=str(AFTER_S)), runner.off("tick"):
        beats = [_beat()]
        until = time.monotonic() + 30
        while len(beats) < 4:
            assert time.monotonic() < until, f"the heart stands still: {beats}"
            time.sleep(0.5)
            beats += [beat for beat in (_beat(),) if beat != beats[-1]]
        assert world.api.health().status == 200


def _beat() -> str:
    (heart,) = (item["body"] for item in store.items() if item["pk"] == "HEART#reap")
    return heart
