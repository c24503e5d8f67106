"""Chaos: something is broken for a while around the deadlines, and an observer outside looks who can still act.

A session and an inline policy are over at their deadline, whatever is broken. A managed policy carries no limit: it is
gone within two minutes of its deadline, and by how much clocks may differ. Nothing is stuck: everything ends with its
proof, and new access is given again. Prints how late each was. The short version has less of everything.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from observer import gate, runner, store
from observer.aws import Session
from observer.reconcile import reconcile
from observer.rest import at_rest
from observer.tokens import Forge
from observer.store import TABLE, admin
from observer.world import PIPELINE, World, instant, sleep_until

from attachments import Hold, Tasks, standing
from conftest import IS_FULL, TICK_S

TERM_S = 60
STOPPED_S, THROTTLED_S, LOST_S = (300, 120, 120) if IS_FULL else (30, 20, 40)
# How long after its deadline a managed policy may stand.
GRACE_S = 120 if IS_FULL else 2 * TICK_S + 10
# An attempt that failed is put off for up to half a minute; that is not shorter in the short version.
RETRIED_S = GRACE_S if IS_FULL else GRACE_S + 30
FUNCTIONS = "assumed-role/brevet-dev-"


def skew_s() -> int:
    """By how much two clocks may differ, as this stack is configured."""
    return int(runner.setting("reap", "BREVET_SKEW_S"))


@dataclass
class Vended:
    """A session grant, and when its credential was let through."""

    grant: str
    session: Session
    deadline: float
    allowed_at: list[float] = field(default_factory=list)


class Fleet:
    """One grant of each delivery, each used all the time."""

    def __init__(self, world: World, tasks: Tasks, inline: str, managed: str) -> None:
        self.world = world
        grant = world.approved(PIPELINE)
        self.inline, self.managed = (tasks.ask(principal, term_s=TERM_S) for principal in (inline, managed))
        # Where the clock of issue is behind, what was just approved is too early for it, and waits for a tick.
        for hold in self.holds():
            hold.await_active(within_s=TICK_S + 60)
        time.sleep(skew_s() + 0.5)
        session = world.session(PIPELINE, grant)
        item = next(one for one in store.items() if one["pk"] == f"ACT#{grant}")
        self.vended = Vended(grant, session, instant(json.loads(item["body"])["deadline"]))
        self._over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._over.wait(1):
            begun = time.time()
            if PIPELINE.use(self.vended.session).outcome == "allowed":
                self.vended.allowed_at.append(begun)

    def holds(self) -> list[Hold]:
        return [self.inline, self.managed]

    def first_deadline(self) -> float:
        return min(self.vended.deadline, self.inline.deadline(), self.managed.deadline())

    def last_deadline(self) -> float:
        return max(self.vended.deadline, self.inline.deadline(), self.managed.deadline())

    def judge(self, what: str, grace_s: float) -> None:
        """Waits for the ends, then says how late each was, and holds it to its bound."""
        within_s = grace_s + 120
        ended = self.world.await_state(PIPELINE, self.vended.grant, "Ended", within_s=within_s)
        assert ended["end"]["proof"]["kind"] == "by_construction", ended
        for hold in self.holds():
            hold.ended("deadline", within_s=within_s) if hold is self.inline else ended_managed(hold, within_s)
        self._over.set()
        late = {
            "session": max(self.vended.allowed_at) - self.vended.deadline,
            "inline": max(self.inline.allowed_at) - self.inline.deadline(),
            "managed": max(self.managed.allowed_at) - self.managed.deadline(),
        }
        told = ", ".join(f"{name} {by:+.1f} s" for name, by in late.items())
        print(f"\n{what}: last allowed, from its deadline: {told}")
        assert late["session"] < 0 and late["inline"] < 0, "AWS itself ends what carries its limit"
        assert late["managed"] <= grace_s + skew_s(), f"a managed policy may stand {grace_s} s and the skew"


def ended_managed(hold: Hold, within_s: float) -> None:
    """Its end, with its proof; that it was allowed past its deadline for a while is judged by the caller."""
    view = hold.await_state("Ended", within_s=within_s)
    hold.over = True
    assert (view["end"]["cause"], view["end"]["proof"]["kind"]) == ("deadline", "observed"), view
    hold.nothing_left()
    assert not hold.stands and hold.use().outcome == "denied"


def around(fleet: Fleet, seconds: float, trouble: Callable[[], AbstractContextManager[None]], before_s: float = 5) -> None:
    """Makes trouble from `before_s` before the first deadline on, across the last."""
    sleep_until(fleet.first_deadline() - before_s)
    with trouble():
        sleep_until(max(time.time() + seconds, fleet.last_deadline() + 2))


@contextmanager
def throttled_iam() -> Iterator[None]:
    rule = {"id": "throttled", "service": "iam", "principal": FUNCTIONS, "kind": "throttle", "times": 100_000}
    with gate.faults(rule):
        yield


@contextmanager
def tenth_answer_lost() -> Iterator[None]:
    """Of every ten calls that functions make, whatever they are, one is made and its answer gets lost."""
    rules = [
        {"id": f"lost-{n}", "principal": FUNCTIONS, "kind": "drop_after", "nth": 10 * n} for n in range(1, 400)
    ]
    gate.disarm()
    gate.arm(*rules)
    try:
        yield
        assert sum(gate.fired().values()) >= 5, "hardly an answer was lost, so hardly anything was shown"
    finally:
        gate.disarm()


@contextmanager
def slow_clock(function: str, clock: Path) -> Iterator[None]:
    """The clock of `function` is behind everybody else's by as much as clocks may differ."""
    runner.stack("kill", function)
    behind_ms = -1_000 * skew_s()
    runner.stack("start", function, "--env", f"LD_PRELOAD={clock}", "--env", f"CLOCK_AHEAD_MS={behind_ms}")
    try:
        yield
    finally:
        runner.stack("kill", function)
        runner.stack("start", function)


def test_the_schedule_stands_still(world: World, tasks: Tasks) -> None:
    fleet = Fleet(world, tasks, "kills", "fuse")
    around(fleet, STOPPED_S, lambda: runner.off("tick"))
    fleet.judge(f"no schedule for {STOPPED_S} s", GRACE_S)


def test_without_its_second_clock_a_managed_policy_outlives_a_schedule_that_stands_still(
    world: World, tasks: Tasks
) -> None:
    """The control of the test before: the observer turns red where the protection is gone."""
    hold = tasks.ask("echo", term_s=TERM_S).await_active(within_s=TICK_S + 60)
    sleep_until(hold.deadline() - 5)
    with runner.off("tick", "echo"):
        sleep_until(hold.deadline() + GRACE_S + skew_s() + 1)
        assert hold.use().outcome == "allowed", "something else than the second clock ended it"
    ended_managed(hold, within_s=GRACE_S + 120)


def test_iam_throttles_everything(world: World, tasks: Tasks) -> None:
    fleet = Fleet(world, tasks, "stalled", "shared")
    # Half of it behind the deadline: nothing can be removed while everything is refused.
    around(fleet, THROTTLED_S, throttled_iam, before_s=THROTTLED_S / 2)
    fleet.judge(f"IAM throttled for {THROTTLED_S} s", RETRIED_S)


def test_every_tenth_answer_is_lost_and_clocks_are_apart(world: World, tasks: Tasks, other_clock: Path) -> None:
    with slow_clock("issue", other_clock):
        fleet = Fleet(world, tasks, "night", "detached")
        began = [e for e in store.snapshot().evidence[fleet.inline.grant] if e["event"] == "ActivationRecorded"]
        call = next(c for c in gate.log() if c["operation"] == "PutRolePolicy" and fleet.inline.policy in json.dumps(c["wrote"]))
        behind_s = instant(call["at"]) - instant(began[-1]["at"])
        assert behind_s > skew_s() - 0.5, "the clock of issue is the true one"
        around(fleet, LOST_S, tenth_answer_lost)
    fleet.judge(f"every tenth answer lost for {LOST_S} s, issue's clock behind", RETRIED_S)


def test_the_call_log_agrees_with_the_evidence() -> None:
    report = reconcile(*at_rest())
    print(f"\n{report}")
    assert report.findings == [] and report.counts["ended observed"] >= 7, str(report)


def test_the_table_is_emptied(world: World, tasks: Tasks, catalogue: tuple[Forge, Path], other_clock: Path) -> None:
    with slow_clock("reap", other_clock):
        fleet = Fleet(world, tasks, "swept", "taken")
        began_at = time.time()
        for item in store.items():
            admin().delete_item(TableName=TABLE, Key={name: {"S": item[name]} for name in ("pk", "sk")})
        emptied_at = time.time()
        for hold in fleet.holds():
            hold.over = True
            until = emptied_at + GRACE_S + skew_s()
            while hold.use().outcome == "allowed":
                assert time.time() < until, f"{hold.principal} is still let through"
                time.sleep(0.5)
            gone_after_s = max(hold.allowed_at) - began_at
            print(f"\ntable emptied: {hold.principal} was last allowed {gone_after_s:.1f} s after that began")
            # Where its own limit came first, the sweep takes it away all the same.
            while left := standing(hold.principal):
                assert time.time() < until, f"{left} is still on {hold.principal}"
                time.sleep(0.5)
        # Its limit is in its policy: nothing in the table is needed.
        sleep_until(fleet.vended.deadline + 0.5)
        assert PIPELINE.use(fleet.vended.session).outcome == "denied"
    runner.stack("publish", str(catalogue[1]))
    grant = world.approved(PIPELINE)
    refused = world.fetch(PIPELINE, grant)
    assert (refused.status, refused.body["code"]) == (503, "table_not_confirmed"), refused
    runner.stack("confirm")
    time.sleep(skew_s() + 2)
    world.await_ready(within_s=2 * TICK_S + 60)
    again = world.approved(PIPELINE)
    assert PIPELINE.use(world.session(PIPELINE, again)).outcome == "allowed", "and it goes on"
