"""Whole lives of grants, which take a minute and run in the background of other tests.

Each holder repeats its calls from the beginning to the proof of ending. Tests assert on the gate's decisions.
"""

from __future__ import annotations

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from observer import runner, store, tries
from observer.aws import Session
from observer.client import Answer
from observer.patience import PATIENCE_S
from observer.tries import Judged, Tries
from observer.world import AGENT, BATCH, ONCALL, PIPELINE, VENDOR, Case, World, instant, sleep_until

# The second of two overlapping grants lasts this much longer, so that the first has ended when the second is due.
OUTLIVES_S = 90
MAX_ATTEMPTS = 3
# The longest term that every case allows, for grants whose deadline no test waits for.
LONG_S = 300


@dataclass
class Life:
    """The gate's decisions on the calls of one grant's holder, from before its first use until after its end."""

    case: Case
    session: Session
    grant: str = ""
    # The access was present from `active_at` on, and must be gone from `deadline` on.
    active_at: float = 0.0
    deadline: float = 0.0
    ended: dict[str, Any] = field(default_factory=dict)
    # The granted call, the call on the neighbour, and the own call of an attachment's principal.
    granted: Judged = Judged([])
    neighbour: Judged = Judged([])
    own: Judged = Judged([])

    @property
    def ended_at(self) -> float:
        """The time at which its end was verified."""
        return instant(self.ended["end"]["verified_at"])

    def use_all(self) -> None:
        """Makes each of its calls once."""
        self.case.use(self.session)
        self.case.use_neighbour(self.session)
        if self.case.own:
            self.case.use_own(self.session)

    def judge(self) -> None:
        """Reads the gate's decisions from the call log."""
        log, key, case = tries.calls(), self.session.access_key, self.case
        self.granted, self.neighbour = (tries.judged(log, key, *case.asks(one)) for one in (case.uses, case.neighbour))
        if case.own:
            self.own = tries.judged(log, key, *case.asks(case.own))


class Lives:
    """Starts one life of each case, and returns each once it is over."""

    def __init__(self, world: World, catalogue: Path) -> None:
        self._world = world
        self._pool = ThreadPoolExecutor(max_workers=10)
        self._leave_unapproved(catalogue)
        # All requests are made before the first test, so that tests that check for new records do not see them.
        asked = {
            "batch": self._pool.submit(self._attached, BATCH, 60),
            "pipeline": self._pool.submit(self._vended, PIPELINE, 60),
            "oncall": self._pool.submit(self._vended, ONCALL, 60),
            "vendors": self._pool.submit(self._overlapping, 60),
            "given back": self._pool.submit(self._give_back),
        }
        self.given_back, self.when_active = asked["given back"].result()
        self._single = {
            name: self._pool.submit(self._to_its_end, *asked[name].result()) for name in ("batch", "pipeline", "oncall")
        }
        self._vendors = self._pool.submit(self._to_their_ends, *asked["vendors"].result())

    def of(self, case: Case) -> Life:
        """The life of the one grant of `case`, once it is over."""
        return self._single[{PIPELINE.role: "pipeline", ONCALL.role: "oncall", BATCH.role: "batch"}[case.role]].result()

    def overlapping(self) -> tuple[Life, Life]:
        """The lives of two grants of one policy on one principal; the first ended while the second went on."""
        return self._vendors.result()

    def late_vote(self) -> Answer:
        """The answer to a vote after the approval's deadline."""
        return self._vote.result()

    def _vended(self, case: Case, term_s: int) -> tuple[Life, Tries]:
        grant = self._world.approved(case, term_s=term_s)
        life = Life(case, self._world.session(case, grant), grant)
        trying = Tries(life.use_all)
        life.deadline = trying.around = instant(self._world.show(case, grant)["deadline"])
        return life, trying

    def _attached(self, case: Case, term_s: int) -> tuple[Life, Tries]:
        life = Life(case, case.principal())
        # The control: before the grant, the granted call is denied.
        life.use_all()
        trying = Tries(life.use_all)
        life.grant = self._world.attached(case, term_s=term_s)
        life.deadline = trying.around = instant(self._world.show(case, life.grant)["deadline"])
        chain = store.snapshot().evidence[life.grant]
        life.active_at = instant(next(one["detail"]["at"] for one in chain if one["event"] == "PresenceObserved"))
        return life, trying

    def _to_its_end(self, life: Life, trying: Tries) -> Life:
        try:
            sleep_until(life.deadline)
            life.ended = self._world.await_state(life.case, life.grant, "Ended")
            life.use_all()
        finally:
            trying.stop()
        life.judge()
        return life

    def _overlapping(self, term_s: int) -> tuple[int, tuple[Life, Tries], tuple[Life, Tries]]:
        # In sequence, so that the policy is attached already when the second grant begins.
        return term_s, self._attached(VENDOR, term_s), self._attached(VENDOR, term_s + OUTLIVES_S)

    def _to_their_ends(self, term_s: int, *both: tuple[Life, Tries]) -> tuple[Life, Life]:
        for times in range(MAX_ATTEMPTS):
            with ThreadPoolExecutor(2) as pool:
                first, second = pool.map(lambda one: self._to_its_end(*one), both)
            if first.ended_at < second.deadline - 1 or times == MAX_ATTEMPTS - 1:
                break
            # The machine was too slow for the first to end while the second went on: retry with longer terms.
            term_s, *both = self._overlapping(term_s * 2)
        return first, second

    def _give_back(self) -> tuple[str, dict[str, Any]]:
        """Uses and releases a grant; returns its id and its item as it was while Active."""
        grant = self._world.approved(PIPELINE, term_s=600)
        self._world.session(PIPELINE, grant)
        active = next(i for i in store.items() if i["pk"] == f"GRANT#{grant}" and i["sk"] == "META")
        assert self._world.release(PIPELINE, grant).status == 202
        return grant, active

    def _leave_unapproved(self, catalogue: Path) -> None:
        """Makes a request under a bundle with an approval deadline of one minute, and lets that pass."""
        hasty = catalogue.parent / "hasty"
        shutil.copytree(catalogue, hasty)
        file = hasty / "entitlements" / "read-orders-table.yaml"
        before = file.read_text()
        file.write_text(before.replace("  within_s: 1800", "  within_s: 60"))
        assert file.read_text() != before
        try:
            runner.stack("publish", str(hasty))
            asked = self._world.ask(ONCALL)
        finally:
            runner.stack("publish", str(catalogue))
        assert asked.status == 202, str(asked)
        self.unapproved = asked.body["id"]
        deadline = instant(asked.body["approval"]["deadline"])

        def vote() -> Answer:
            sleep_until(deadline + 0.2)
            return self._world.approve(asked.body)

        self._vote: Future[Answer] = self._pool.submit(vote)


def in_use(world: World, case: Case = AGENT, **changes: Any) -> tuple[str, Session]:
    """Gets a grant and uses it; returns its id and its session."""
    grant = world.approved(case, term_s=changes.pop("term_s", LONG_S), **changes)
    session = world.session(case, grant)
    assert case.use(session).outcome == "allowed"
    return grant, session


def early_release(world: World, case: Case = AGENT, **changes: Any) -> tuple[str, Session]:
    """Gets a grant, uses it and releases it at once; returns its id and its session."""
    grant, session = in_use(world, case, **changes)
    assert world.release(case, grant).status == 202
    return grant, session


def deny_of(case: Case, grant: str) -> dict[str, str]:
    """The conditions of a fault that hits the reserved deny only when it names `grant`: other grants share the role."""
    return {"resource": case.role, "document": grant.removeprefix("grt_")}


def deadline_of(grant: str) -> float:
    """The deadline of a session grant, from the record of its first vend."""
    chain = store.snapshot().evidence[grant]
    return instant(next(entry["detail"]["deadline"] for entry in chain if entry["event"] == "VendRecorded"))


def ended_early(world: World, case: Case, grant: str, session: Session, within_s: float = PATIENCE_S) -> dict[str, Any]:
    """Waits for the end of a released grant.

    Checks its proof by reading, its time before the deadline, and the denial.
    """
    view = world.await_state(case, grant, "Ended", within_s=within_s)
    end = view["end"]
    assert (end["cause"], end["proof"]["kind"], end["ended_by"]) == ("released", "observed", "removal")
    assert instant(end["verified_at"]) < deadline_of(grant)
    seen = case.use(session)
    assert seen.outcome == "denied", f"after the grant's end: {seen}"
    return view
