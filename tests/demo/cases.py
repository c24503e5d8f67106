"""The three cases, step by step. Terms are short; everything else is as it would be in an account."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from observer import targets
from observer.aws import Session
from observer.world import AGENT, APPROVER, ONCALL, PIPELINE, Case, World, instant, sleep_until

from story import Story

TICK_S = 10
# The reaper's next tick, clock skew, and the reading back.
REAPED_WITHIN_S = TICK_S + 20


def _with_term(case: Case, term_s: int) -> Case:
    return replace(case, body={**case.body, "term_s": term_s})


def _use(story: Story, what: str, expected: str, seen: Any) -> None:
    story.expect(f"use {what}", expected, seen.outcome, who="holder", told=str(seen))


def _after_the_deadline(story: Story, world: World, case: Case, session: Session, grant: str) -> None:
    deadline = instant(world.show(case, grant)["deadline"])
    sleep_until(deadline - 3)
    _use(story, "3 s before the deadline", "allowed", case.use(session))
    sleep_until(deadline + 0.2)
    _use(story, "after the deadline", "denied", case.use(session))
    state = world.show(case, grant)["state"]
    story.tell("caller", f"the grant reads {state} at the deadline + {time.time() - deadline:.1f} s")
    view = world.await_state(case, grant, "Ended", within_s=REAPED_WITHIN_S)
    _ended(story, view, "deadline", "by_construction", "time_limit")
    _use(story, "after the end", "denied", case.use(session))


def _ended(story: Story, view: dict[str, Any], cause: str, proof: str, ended_by: str) -> None:
    end = view["end"]
    seen = (end["cause"], end["proof"]["kind"], end["ended_by"])
    told = f"Ended, cause {seen[0]}, proof {seen[1]}, ended by {seen[2]}, verified {end['verified_at']}"
    story.expect("proof of ending", (cause, proof, ended_by), seen, told=told)


def pipeline(story: Story, world: World) -> None:
    """A release pipeline deploys for 75 s, and runs into its deadline."""
    case = _with_term(PIPELINE, 75)
    asked = world.ask(case)
    story.expect("ask deploy-release v1.4.2 for 75 s", (201, "Approved"), (asked.status, asked.body.get("state")), told=str(asked))
    grant = story.grant = asked.body["id"]
    session = world.session(case, grant)
    story.tell("caller", "fetch credentials: 200")
    _use(story, "the release", "allowed", case.use(session))
    _use(story, "another release", "denied", case.use_neighbour(session))
    _use(story, "another bucket", "denied", session.put_object(targets.OTHER_BUCKET, "v1.4.2/app.tar"))
    _after_the_deadline(story, world, case, session, grant)
    late = world.fetch(case, grant)
    story.expect("fetch credentials after the end", (410, "over"), (late.status, late.problem))


def agent(story: Story, world: World) -> None:
    """An agent reads one secret for one task, and gives the grant back early."""
    case = _with_term(AGENT, 90)
    asked = world.ask(case)
    story.expect("ask read-secret payments/db for 90 s", (201, "Approved"), (asked.status, asked.body.get("state")), told=str(asked))
    grant = story.grant = asked.body["id"]
    fetched = world.fetch(case, grant)
    story.expect("fetch credentials", 200, fetched.status)
    session = Session.vended(fetched.body)
    _use(story, "the secret", "allowed", case.use(session))
    _use(story, "the neighbour's secret", "denied", case.use_neighbour(session))
    deadline = instant(world.show(case, grant)["deadline"])
    released = world.release(case, grant)
    story.expect("release", 202, released.status)
    seen = world.await_use(case, session, "denied", within_s=15)
    story.expect("use after the release", "denied", seen.outcome, who="holder", told=str(seen))
    story.expect("it is denied while the deadline is ahead", True, seen.at < deadline, told=f"{deadline - seen.at:.0f} s before the deadline")
    view = world.await_state(case, grant, "Ended", within_s=45)
    _ended(story, view, "released", "observed", "removal")
    left_s = deadline - instant(view["end"]["verified_at"])
    story.expect("the end is proved while the deadline is ahead", True, left_s > 0, told=f"{left_s:.0f} s before the deadline")
    _, entries = world.api.evidence(world.token(case.identity), grant)
    answer = next(entry["detail"]["answer"] for entry in entries if entry["event"] == "VendAnswered")
    lives_on = instant(answer["expires_at"]) > deadline
    story.expect("the credential itself lives on", True, lives_on, told=f"STS lets it live until {answer['expires_at']}")
    _use(story, "after the end", "denied", case.use(session))
    sleep_until(deadline + 1)
    _use(story, "after the deadline", "denied", case.use(session))


def oncall(story: Story, world: World) -> None:
    """An on-call engineer reads a production table once somebody else has said yes."""
    case = _with_term(ONCALL, 60)
    asked = world.ask(case)
    story.expect(
        "ask read-orders-table for 60 s", (202, "ApprovalAwaited"), (asked.status, asked.body.get("state")), told=str(asked)
    )
    grant = story.grant = asked.body["id"]
    early = world.fetch(case, grant)
    story.expect("fetch credentials before approval", (409, "conflict"), (early.status, early.problem))
    own = world.approve(asked.body, by=case.identity)
    story.expect("approve one's own", (403, "forbidden"), (own.status, own.problem), who=case.identity)
    wrong = world.approve({**asked.body, "digest": "0" * 64})
    story.expect("approve another digest", (409, "conflict"), (wrong.status, wrong.problem), who=APPROVER)
    voted = world.approve(asked.body)
    story.expect("approve", (200, "Approved"), (voted.status, voted.body.get("state")), who=APPROVER, told=str(voted))
    session = world.session(case, grant)
    story.tell("caller", "fetch credentials: 200")
    _use(story, "the orders table", "allowed", case.use(session))
    _use(story, "another table", "denied", session.get_item(targets.OTHER_TABLE))
    _use(story, "a table that the role itself may read", "denied", case.use_neighbour(session))
    _use(story, "to write", "denied", session.put_item(targets.TABLE))
    _after_the_deadline(story, world, case, session, grant)


CASES = [("pipeline", pipeline, PIPELINE), ("agent", agent, AGENT), ("on-call", oncall, ONCALL)]
