"""The five cases, step by step. Terms are short; everything else is as in a real account."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError
from observer import runner, targets, tries
from observer.aws import Session, standing
from observer.patience import PATIENCE_S, until
from observer.tries import Judged, Tries
from observer.world import AGENT, APPROVER, BATCH, ONCALL, PIPELINE, VENDOR, Case, World, instant, sleep_until

from story import Story, clock

TICK_S = 10
# The product's promise: how long after its deadline a managed policy may stand, and by how much clocks may differ.
GRACE_S = 120


def _with_term(case: Case, term_s: int) -> Case:
    return replace(case, body={**case.body, "term_s": term_s})


def _use(story: Story, what: str, expected: str, seen: Any) -> None:
    story.expect(f"use {what}", expected, seen.outcome, who="holder", detail=str(seen))


def _across_the_deadline(story: Story, case: Case, session: Session, deadline: float) -> Judged:
    """Repeats the granted call until it is denied after the deadline; returns the gate's decisions."""
    begun = time.time()
    with Tries(lambda: case.use(session), around=deadline):
        sleep_until(deadline)
        until(lambda: "denied" in _tried(case, session).since(deadline), f"{story.name}: the granted call is denied after the deadline")
    uses = _tried(case, session)
    last = max(done_at for _, done_at, _ in uses.calls if done_at < deadline)
    detail = f"always allowed, last {deadline - last:.1f} s before the deadline"
    story.expect("uses until the deadline", {"allowed"}, uses.between(begun, deadline), who="holder", detail=detail)
    return uses


def _tried(case: Case, session: Session) -> Judged:
    return tries.uses(tries.calls(), case, session.access_key)


def _denied_at_once(story: Story, uses: Judged, deadline: float) -> None:
    """Checks that no call from the deadline on was allowed: AWS alone denies it."""
    first = min(at for at, _, _ in uses.calls if at >= deadline)
    detail = f"always denied, first {first - deadline:.1f} s after the deadline"
    story.expect("uses from the deadline on", {"denied"}, uses.since(deadline), who="holder", detail=detail)


def _after_the_deadline(story: Story, world: World, case: Case, session: Session, grant: str) -> None:
    deadline = instant(world.show(case, grant)["deadline"])
    _denied_at_once(story, _across_the_deadline(story, case, session, deadline), deadline)
    state = world.show(case, grant)["state"]
    story.add("caller", f"the grant reads {state} at the deadline + {time.time() - deadline:.1f} s")
    view = world.await_state(case, grant, "Ended")
    _ended(story, view, "deadline", "by_construction", "time_limit")
    _use(story, "after the end", "denied", case.use(session))


def _ended(story: Story, view: dict[str, Any], cause: str, proof: str, ended_by: str) -> None:
    end = view["end"]
    seen = (end["cause"], end["proof"]["kind"], end["ended_by"])
    detail = f"Ended, cause {seen[0]}, proof {seen[1]}, ended by {seen[2]}, verified {end['verified_at']}"
    story.expect("proof of ending", (cause, proof, ended_by), seen, detail=detail)


def pipeline(story: Story, world: World) -> None:
    """A release pipeline deploys for 75 s and reaches its deadline."""
    case = _with_term(PIPELINE, 75)
    asked = world.ask(case)
    story.expect("ask deploy-release v1.4.2 for 75 s", (201, "Approved"), (asked.status, asked.body.get("state")), detail=str(asked))
    grant = story.grant = asked.body["id"]
    session = world.session(case, grant)
    story.add("caller", "fetch credentials: 200")
    _use(story, "the release", "allowed", case.use(session))
    _use(story, "another release", "denied", case.use_neighbour(session))
    _use(story, "another bucket", "denied", session.put_object(targets.OTHER_BUCKET, "v1.4.2/app.tar"))
    _after_the_deadline(story, world, case, session, grant)
    late = world.fetch(case, grant)
    story.expect("fetch credentials after the end", (410, "over"), (late.status, late.problem))


def agent(story: Story, world: World) -> None:
    """An agent reads one secret for one task and releases the grant early."""
    case = _with_term(AGENT, 120)
    asked = world.ask(case)
    story.expect("ask read-secret payments/db for 120 s", (201, "Approved"), (asked.status, asked.body.get("state")), detail=str(asked))
    grant = story.grant = asked.body["id"]
    fetched = world.fetch(case, grant)
    story.expect("fetch credentials", 200, fetched.status)
    session = Session.vended(fetched.body)
    _use(story, "the secret", "allowed", case.use(session))
    _use(story, "the neighbour's secret", "denied", case.use_neighbour(session))
    deadline = instant(world.show(case, grant)["deadline"])
    released = world.release(case, grant)
    story.expect("release", 202, released.status)
    seen = world.await_use(case, session, "denied")
    story.expect("use after the release", "denied", seen.outcome, who="holder", detail=str(seen))
    story.expect("the denial comes before the deadline", True, seen.at < deadline, detail=f"{deadline - seen.at:.0f} s before the deadline")
    view = world.await_state(case, grant, "Ended")
    _ended(story, view, "released", "observed", "removal")
    left_s = deadline - instant(view["end"]["verified_at"])
    story.expect("the end is proved before the deadline", True, left_s > 0, detail=f"{left_s:.0f} s before the deadline")
    _, entries = world.api.evidence(world.token(case.identity), grant)
    answer = next(entry["detail"]["answer"] for entry in entries if entry["event"] == "VendAnswered")
    lives_on = instant(answer["expires_at"]) > deadline
    story.expect("the credential itself is still valid", True, lives_on, detail=f"STS set its expiry to {answer['expires_at']}")
    _use(story, "after the end", "denied", case.use(session))
    sleep_until(deadline + 1)
    _use(story, "after the deadline", "denied", case.use(session))


def oncall(story: Story, world: World) -> None:
    """An on-call engineer reads a production table after somebody else's approval."""
    case = _with_term(ONCALL, 60)
    asked = world.ask(case)
    story.expect(
        "ask read-orders-table for 60 s", (202, "ApprovalAwaited"), (asked.status, asked.body.get("state")), detail=str(asked)
    )
    grant = story.grant = asked.body["id"]
    early = world.fetch(case, grant)
    story.expect("fetch credentials before approval", (409, "conflict"), (early.status, early.problem))
    own = world.approve(asked.body, by=case.identity)
    story.expect("approve one's own request", (403, "forbidden"), (own.status, own.problem), who=case.identity)
    wrong = world.approve({**asked.body, "digest": "0" * 64})
    story.expect("approve another digest", (409, "conflict"), (wrong.status, wrong.problem), who=APPROVER)
    voted = world.approve(asked.body)
    story.expect("approve", (200, "Approved"), (voted.status, voted.body.get("state")), who=APPROVER, detail=str(voted))
    session = world.session(case, grant)
    story.add("caller", "fetch credentials: 200")
    _use(story, "the orders table", "allowed", case.use(session))
    _use(story, "another table", "denied", session.get_item(targets.OTHER_TABLE))
    _use(story, "a table that the role itself may read", "denied", case.use_neighbour(session))
    _use(story, "to write", "denied", session.put_item(targets.TABLE))
    _after_the_deadline(story, world, case, session, grant)


def _base_rights(story: Story, case: Case, session: Session, when: str) -> None:
    _use(story, f"the principal's own right, {when}", "allowed", case.use_own(session))


def _attached(story: Story, world: World, case: Case, what: str) -> tuple[str, float]:
    """Requests an attachment and waits until it is Active; returns its grant and its deadline."""
    asked = world.ask(case)
    story.expect(f"ask {what}", 201, asked.status, detail=str(asked))
    grant = story.grant = asked.body["id"]
    seen = [asked.body["state"]]
    end = time.monotonic() + PATIENCE_S
    while seen[-1] != "Active" and time.monotonic() < end:
        state = world.show(case, grant)["state"]
        seen += [state] if state != seen[-1] else []
        time.sleep(0.05)
    is_active = set(seen) <= {"Approved", "Activating", "Active"} and seen[-1] == "Active"
    story.expect("the grant becomes Active by itself", True, is_active, detail=" → ".join(seen))
    fetched = world.fetch(case, grant)
    story.expect("fetch credentials of an attachment", (409, "conflict"), (fetched.status, fetched.problem))
    return grant, instant(world.show(case, grant)["deadline"])


def _gone(story: Story, case: Case, view: dict[str, Any], before: dict[str, Any]) -> None:
    """Checks that the attached policy is gone without residual access, and the role's own policies are unchanged."""
    story.expect("effective-permission check", {"outcome": "not_allowed"}, view["end"].get("effective"))
    now = standing(runner.role_arn(case.role))
    names = sorted(now["inline"]) + [arn.split("/")[-1] for arn in now["attached"]]
    story.expect("the role has the same policies as before", True, now == before, who="administrator", detail=", ".join(names))


def third_party(story: Story, world: World) -> None:
    """A vendor's role, on its own credentials throughout, may read partners' exports for 60 s."""
    case, role = _with_term(VENDOR, 60), runner.role_arn(VENDOR.role)
    try:
        targets.vendor().assume(role, "sync")
        seen = "allowed"
    except ClientError as error:
        seen = error.response["Error"]["Code"]
    story.expect("assume the vendor's role without its external id", "AccessDenied", seen, who="vendor")
    session, before = case.principal(), standing(role)
    story.access_key_id = session.access_key
    story.add("vendor", f"assume it with its external id: key {session.access_key}, used throughout")
    _use(story, "a partner's export, before", "denied", case.use(session))
    _base_rights(story, case, session, "before")
    grant, deadline = _attached(story, world, case, "third-party-sync for 60 s")
    _use(story, "a partner's export", "allowed", case.use(session))
    _use(story, "the list of partners' exports", "allowed", session.list_objects(targets.EXPORTS, "partner/"))
    _use(story, "internal exports", "denied", case.use_neighbour(session))
    _use(story, "to list internal exports", "denied", session.list_objects(targets.EXPORTS, "internal/"))
    _use(story, "to write an export", "denied", session.put_object(targets.EXPORTS, "partner/orders.csv"))
    # A managed policy carries no time limit: the reaper removes it, within the promised bound.
    uses = _across_the_deadline(story, case, session, deadline)
    bound_s = GRACE_S + int(runner.setting("reap", "BREVET_SKEW_S"))
    late_s = max(at for at, _, decision in uses.calls if decision == "allowed") - deadline
    detail = f"last allowed {late_s:+.1f} s from the deadline, until the reaper removed it; the bound is {bound_s} s"
    story.expect("the access ends soon after the deadline", True, late_s <= bound_s, detail=detail)
    view = world.await_state(case, grant, "Ended")
    _ended(story, view, "deadline", "observed", "removal")
    story.add("caller", f"the end was proved {instant(view['end']['verified_at']) - deadline:.1f} s after the deadline")
    _use(story, "a partner's export, after the end", "denied", case.use(session))
    _base_rights(story, case, session, "after the end")
    _gone(story, case, view, before)


def legacy_batch(story: Story, world: World) -> None:
    """A batch role that cannot take new credentials may write one run's output for 60 s."""
    case, role = _with_term(BATCH, 60), runner.role_arn(BATCH.role)
    session, before = case.principal(), standing(role)
    story.access_key_id = session.access_key
    story.add("batch", f"runs on its role's own credentials: key {session.access_key}, used throughout")
    _use(story, "to write the run's output, before", "denied", case.use(session))
    _base_rights(story, case, session, "before")
    grant, deadline = _attached(story, world, case, "legacy-batch 2026-11-22 for 60 s")
    put = standing(role)["inline"].pop(f"brevet-dev-{grant.removeprefix('grt_')}")
    limits = {instant(one["Condition"]["DateLessThan"]["aws:CurrentTime"][0]) for one in put["Statement"]}
    detail = f"{len(put['Statement'])} of them, until {clock(deadline)}"
    story.expect("each statement on the role ends at the deadline", {deadline}, limits, who="administrator", detail=detail)
    _use(story, "to write the run's output", "allowed", case.use(session))
    _use(story, "to write another run's output", "denied", case.use_neighbour(session))
    _base_rights(story, case, session, "meanwhile")
    _denied_at_once(story, _across_the_deadline(story, case, session, deadline), deadline)
    _base_rights(story, case, session, "after the deadline")
    view = world.await_state(case, grant, "Ended")
    _ended(story, view, "deadline", "observed", "time_limit")
    _use(story, "to write the run's output, after the end", "denied", case.use(session))
    _base_rights(story, case, session, "after the end")
    _gone(story, case, view, before)


CASES = [
    ("pipeline", pipeline, PIPELINE),
    ("agent", agent, AGENT),
    ("on-call", oncall, ONCALL),
    ("third-party", third_party, VENDOR),
    ("legacy batch", legacy_batch, BATCH),
]
