"""Lives of grants that take a minute: they run in the background while other tests do their work."""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer import runner, store
from observer.aws import Seen, Session
from observer.client import Answer
from observer.world import AGENT, BATCH, ONCALL, PIPELINE, VENDOR, Case, World, instant, sleep_until

# A tick, clock skew and the reading back.
REAPED_WITHIN_S = 30
# A detaching may land two calls' time late: only then does an absence count.
DETACHED_WITHIN_S = 60


@dataclass
class Life:
    """What was seen of one grant, from its first use to its end."""

    grant: str
    deadline: float
    during: Seen
    neighbour: Seen
    late: Seen | None = None
    ended: dict[str, Any] = field(default_factory=dict)
    after: Seen | None = None


@dataclass
class AttachedLife:
    """What was seen of one attachment, by credentials that its principal had before and keeps."""

    grant: str
    deadline: float
    before: Seen
    during: Seen
    neighbour: Seen
    late: Seen | None = None
    # At once after the deadline; of a managed policy whatever the reaper has got to.
    past: Seen | None = None
    ended: dict[str, Any] = field(default_factory=dict)
    after: Seen | None = None
    # What the principal may do by itself, at each step.
    own: list[Seen] = field(default_factory=list)


class Lives:
    """Starts one life of each case; answers them when they are over."""

    def __init__(self, world: World, catalogue: Path) -> None:
        self._pool = ThreadPoolExecutor(max_workers=8)
        self._running: dict[str, Future[Life]] = {}
        self._leave_unapproved(world, catalogue)
        for case in (PIPELINE, ONCALL):
            self._start(world, case)
        self._attached: dict[str, Future[AttachedLife]] = {}
        self._attach(world, "batch", BATCH, 60)
        # Two overlapping grants of one policy on one principal; the first is over while the second goes on.
        self._attach(world, "first vendor", VENDOR, 60)
        self._attach(world, "second vendor", VENDOR, 100)
        self.given_back, self.when_active = self._give_back(world)

    def _attach(self, world: World, name: str, case: Case, term_s: int) -> None:
        session = case.principal()
        before, own = case.use(session), [case.use_own(session)]
        grant = world.attached(case, term_s=term_s)
        deadline = instant(world.show(case, grant)["deadline"])
        life = AttachedLife(grant, deadline, before, case.use(session), case.use_neighbour(session), own=own)
        self._attached[name] = self._pool.submit(self._to_its_removal, world, case, session, life)

    @staticmethod
    def _to_its_removal(world: World, case: Case, session: Session, life: AttachedLife) -> AttachedLife:
        life.own.append(case.use_own(session))
        sleep_until(life.deadline - 2)
        life.late = case.use(session)
        sleep_until(life.deadline + 0.2)
        life.past = case.use(session)
        life.own.append(case.use_own(session))
        life.ended = world.await_state(case, life.grant, "Ended", within_s=DETACHED_WITHIN_S)
        life.after = case.use(session)
        life.own.append(case.use_own(session))
        return life

    def attached(self, name: str) -> AttachedLife:
        """The life of an attachment, `batch`, `first vendor` or `second vendor`, once it is over."""
        return self._attached[name].result(timeout=200)

    @staticmethod
    def _give_back(world: World) -> tuple[str, dict[str, Any]]:
        """A grant that was used and given back, and its item as it was while it was active."""
        grant = world.approved(PIPELINE)
        world.session(PIPELINE, grant)
        active = next(i for i in store.items() if i["pk"] == f"GRANT#{grant}" and i["sk"] == "META")
        assert world.release(PIPELINE, grant).status == 202
        return grant, active

    def _leave_unapproved(self, world: World, catalogue: Path) -> None:
        """Asks under a bundle in which approval must come within a minute, and lets it pass."""
        hasty = catalogue.parent / "hasty"
        shutil.copytree(catalogue, hasty)
        file = hasty / "entitlements" / "read-orders-table.yaml"
        before = file.read_text()
        file.write_text(before.replace("  within_s: 1800", "  within_s: 60"))
        assert file.read_text() != before
        runner.stack("publish", str(hasty))
        asked = world.ask(ONCALL)
        runner.stack("publish", str(catalogue))
        assert asked.status == 202, str(asked)
        self.unapproved = asked.body["id"]
        deadline = instant(asked.body["approval"]["deadline"])

        def vote() -> Answer:
            sleep_until(deadline + 0.2)
            return world.approve(asked.body)

        self._vote = self._pool.submit(vote)

    def late_vote(self) -> Answer:
        """What a vote was answered that came after the approval's deadline."""
        return self._vote.result(timeout=120)

    def _start(self, world: World, case: Case) -> None:
        # Asked for here and now, so that tests that look for new records do not see these.
        grant = world.approved(case)
        session = world.session(case, grant)
        life = Life(grant, instant(world.show(case, grant)["deadline"]), case.use(session), case.use_neighbour(session))
        self._running[case.role] = self._pool.submit(self._to_its_deadline, world, case, session, life)

    @staticmethod
    def _to_its_deadline(world: World, case: Case, session: Session, life: Life) -> Life:
        sleep_until(life.deadline - 2)
        life.late = case.use(session)
        world.await_state(case, life.grant, "Ended", within_s=REAPED_WITHIN_S)
        life.ended = world.show(case, life.grant)
        life.after = case.use(session)
        return life

    def of(self, case: Case) -> Life:
        """The life of `case`, once it is over."""
        return self._running[case.role].result(timeout=120)


def in_use(world: World, case: Case = AGENT, **changes: Any) -> tuple[str, Session]:
    """A grant that is used; its id and its session."""
    grant = world.approved(case, term_s=changes.pop("term_s", 240), **changes)
    session = world.session(case, grant)
    assert case.use(session).outcome == "allowed"
    return grant, session


def early_release(world: World, case: Case = AGENT, **changes: Any) -> tuple[str, Session]:
    """A grant that was used and is given back at once; its id and its session."""
    grant, session = in_use(world, case, **changes)
    assert world.release(case, grant).status == 202
    return grant, session


def deny_of(case: Case, grant: str) -> dict[str, str]:
    """What a fault needs to strike at the reserved deny once it holds `grant`: its role is written for others too."""
    return {"resource": case.role, "document": grant.removeprefix("grt_")}


def ended_early(world: World, case: Case, grant: str, session: Session, within_s: float = 60) -> dict[str, Any]:
    """Waits for the end of a released grant: proved by reading back, before the deadline, and denied."""
    view = world.await_state(case, grant, "Ended", within_s=within_s)
    end = view["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("released", "observed", "removal")
    seen = case.use(session)
    assert seen.outcome == "denied", f"after its end, before its deadline: {seen}"
    return view
