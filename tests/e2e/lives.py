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
from observer.world import AGENT, ONCALL, PIPELINE, Case, World, instant, sleep_until

# A tick, clock skew and the reading back.
REAPED_WITHIN_S = 30


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


class Lives:
    """Starts one life of each case; answers them when they are over."""

    def __init__(self, world: World, catalogue: Path) -> None:
        self._pool = ThreadPoolExecutor(max_workers=8)
        self._running: dict[str, Future[Life]] = {}
        self._leave_unapproved(world, catalogue)
        for case in (PIPELINE, ONCALL):
            self._start(world, case)
        self.given_back, self.when_active = self._give_back(world)

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


def early_release(world: World, case: Case = AGENT, **changes: Any) -> tuple[str, Session]:
    """A grant that was used and is given back at once; its id and its session."""
    grant = world.approved(case, term_s=changes.pop("term_s", 240), **changes)
    session = world.session(case, grant)
    assert case.use(session).outcome == "allowed"
    assert world.release(case, grant).status == 202
    return grant, session


def ended_early(world: World, case: Case, grant: str, session: Session, within_s: float = 60) -> dict[str, Any]:
    """Waits for the end of a released grant: proved by reading back, before the deadline, and denied."""
    view = world.await_state(case, grant, "Ended", within_s=within_s)
    end = view["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("released", "observed", "removal")
    seen = case.use(session)
    assert seen.outcome == "denied", f"after its end, before its deadline: {seen}"
    return view
