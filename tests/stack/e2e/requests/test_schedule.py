"""A scheduled window of the catalogue: it is granted exactly once, as declared, and its end is proved."""

from __future__ import annotations

import time
from typing import Any

import pytest

from observer import runner, store
from observer.aws import Session
from observer.store import TABLE
from observer.world import World, instant

from intake import ask_record, invoke, put
from scheduled import CASE, ID, PRINCIPAL, TERM_S, Scheduled, granted


def name(session: Session) -> Any:
    """Invokes the evaluator with an event that names the schedule; returns its answer."""
    seen, answer = invoke(session, "evaluate", {"schedule": {"id": ID}})
    assert seen.outcome == "allowed", str(seen)
    return answer


def assert_fails(session: Session, schedule: dict[str, Any], reason: str) -> None:
    """Asserts that the evaluator fails on an event that names `schedule` and logs `reason`."""
    log = runner.LOGS / "fn-evaluate.log"
    before = len(log.read_text())
    seen, _ = invoke(session, "evaluate", {"schedule": schedule})
    # The local runtime answers a function's failure with a 500.
    assert (seen.outcome, seen.code) == ("other", "500"), str(seen)
    assert reason in log.read_text()[before:]


@pytest.fixture(scope="module")
def liar(world: World) -> Session:
    return Session.assumed(runner.role_arn("intake"), "brevet-dev-intake")


def test_schedule_grants_access_without_a_request(scheduled: Scheduled) -> None:
    hold, judged = scheduled.hold(), scheduled.judged()
    assert judged.before(scheduled.at("ActivationRecorded")) == {"denied"}
    assert judged.between(scheduled.at("PresenceObserved"), hold.deadline()) == {"allowed"}
    assert store.keys(f"REQUEST#{hold.grant}") == set()
    decided = store.snapshot().evidence[hold.grant][0]
    proof = decided["detail"]["proof"]
    assert (decided["event"], proof["kind"], proof["schedule"]) == ("Decided", "schedule", ID)
    assert decided["by"] == "evaluate" and decided["detail"]["task"] is None
    assert instant(proof["opens_at"]) <= instant(decided["at"]) < instant(proof["closes_at"])


def test_schedule_named_repeatedly_gets_no_second_grant(scheduled: Scheduled, liar: Session) -> None:
    """A compromised intake may invoke the evaluator with any event."""
    grant = scheduled.hold().grant
    before = granted()
    for _ in range(3):
        runner.stack("tick", "once", "evaluate")
        assert name(liar) == {"schedule": "standing", "grant": grant}
    for more in ({"term_s": 43_200}, {"identity": "release-pipeline"}, {"now": "2026-01-01T00:00:00Z"}):
        assert_fails(liar, {"id": ID, **more}, "UnexpectedEvent")
    assert_fails(liar, {"id": "no-such"}, "no schedule `no-such`")
    assert {one: body["entitlement"] for one, body in granted().items()} == {grant: before[grant]["entitlement"]}


def test_request_stored_under_a_scheduled_grants_id_changes_nothing(scheduled: Scheduled, world: World, liar: Session) -> None:
    hold = scheduled.hold()
    body = {"entitlement": f"on-{PRINCIPAL}", "parameters": {"run": "another"}, "term_s": 1_800}
    try:
        assert put(liar, f"REQUEST#{hold.grant}", "-", **ask_record(hold.grant, body)).outcome == "allowed"
        invoke(liar, "evaluate", {"evaluate": {"id": hold.grant, "proof": world.token(CASE.identity)}})
        shown = hold.show()
        assert shown["term_s"] == TERM_S and "request" not in shown, shown
    finally:
        Session.admin().client("dynamodb").delete_item(
            TableName=TABLE, Key={"pk": {"S": f"REQUEST#{hold.grant}"}, "sk": {"S": "-"}}
        )


def test_scheduled_grant_ends_at_its_deadline_and_is_not_repeated(scheduled: Scheduled, liar: Session) -> None:
    hold, judged = scheduled.hold(), scheduled.judged()
    assert judged.since(hold.deadline()) == {"denied"}
    assert hold.ended("deadline")["ended_by"] == "time_limit"
    assert hold.deadline() <= scheduled.at("ActivationRecorded") + TERM_S
    # The window is still open, but its one grant is used up.
    assert time.time() < instant(store.snapshot().evidence[hold.grant][0]["detail"]["proof"]["closes_at"])
    runner.stack("tick", "once", "evaluate")
    assert name(liar) == {"schedule": "standing", "grant": hold.grant}
    assert list(granted()) == [hold.grant]
