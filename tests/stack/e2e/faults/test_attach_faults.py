"""Faults between issue and IAM, overlapping grants, drift, and principals that fail preflight, all at the same time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from observer import gate, store
from observer.aws import Session
from observer.calllog import later
from observer.world import Case, World

from attachments import NOT_THEIRS, POLICY, Hold, Tasks, standing
from faulting import ATTEMPTS, await_strike, strike, struck

# The put lands well after the first absence and before the grant's fence (two calls' time and the skew).
LANDS_AFTER_MS = 11_000
# On a slow machine a put may land before the reaper reads the absence: then another put is stalled.
MAX_STALLED = 5
PUT = "PutRolePolicy"
OTHER = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}]}


def make_reading_due(hold: Hold) -> None:
    """Makes the next reading of a live attachment due now, with the administrator's key.

    It would come within five minutes.
    """
    client, key = Session.admin().client("dynamodb"), {"pk": {"S": f"GRANT#{hold.grant}"}, "sk": {"S": "META"}}
    item = client.get_item(TableName="brevet-dev", Key=key, ConsistentRead=True)["Item"]
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    body = json.loads(item["body"]["S"])
    if body["state"]["next_check_at"] <= now:
        return
    body["state"]["next_check_at"] = now
    client.put_item(
        TableName="brevet-dev",
        Item={**item, "next_at": {"S": now}, "body": {"S": json.dumps(body)}},
        # No function writes a live grant that is not due, so the condition holds.
        ConditionExpression="#body = :read",
        ExpressionAttributeNames={"#body": "body"},
        ExpressionAttributeValues={":read": item["body"]},
    )


def stalled(tasks: Tasks) -> Hold:
    """Releases a grant while its put is delayed: the reaper reads the absence, and the put lands after that."""
    for number in range(1, MAX_STALLED + 1):
        # All other faults of this module have fired.
        gate.disarm()
        # The caller of the delayed put times out, and its retries are lost.
        strike("stalled", "stalled", "issue", "delay", PUT, ms=LANDS_AFTER_MS)
        strike("lost", "stalled", "issue", "drop_before", PUT, nth=2, times=ATTEMPTS)
        hold = tasks.ask("stalled")
        await_strike("stalled")
        hold.release()
        hold.await_revoking("first_absence")
        tried = hold.use()
        if tried.outcome == "denied" and not struck("stalled", hold):
            return hold
        print(f"stalled put {number} landed before the reaper read the principal")
        hold.over = True
    raise AssertionError(f"each of {MAX_STALLED} stalled puts landed before the reaper read the principal")


@pytest.fixture(scope="module")
def started(tasks: Tasks) -> Iterator[dict[str, Hold]]:
    """One grant for each scenario; all of them run at the same time."""
    gate.disarm()
    iam = Session.admin().client("iam")
    found = {name: tasks.ask("shared") for name in ("first", "second")}
    found |= {name: tasks.ask(name) for name in ("altered", "detached", "unbound", "denying")}

    # One put is refused; another is throttled for two whole calls, with all attempts of the SDK.
    strike("refused", "refused", "issue", "refuse", PUT)
    strike("throttled", "throttled", "issue", "throttle", PUT, times=2 * ATTEMPTS)
    found |= {name: tasks.ask(name) for name in ("refused", "throttled")}

    for name in ("first", "second", "altered", "detached"):
        found[name].await_active()
    found["first"].release()
    iam.put_role_policy(
        RoleName="brevet-dev-altered", PolicyName=found["altered"].policy, PolicyDocument=json.dumps(OTHER)
    )
    iam.detach_role_policy(RoleName="brevet-dev-detached", PolicyArn=POLICY)
    for name in ("altered", "detached"):
        make_reading_due(found[name])

    await_strike("refused")
    await_strike("throttled", 2 * ATTEMPTS)
    found["stalled"] = stalled(tasks)
    found["throttled"].await_active().release()
    yield found
    gate.disarm()


@pytest.fixture(scope="module", autouse=True)
def principals_as_they_were() -> Iterator[None]:
    yield
    iam = Session.admin().client("iam")
    iam.delete_role_policy(RoleName="brevet-dev-denying", PolicyName="standing")


@pytest.mark.parametrize(
    "name, says",
    [
        ("unbound", "does not carry the permissions boundary"),
        ("denying", "contains a Deny"),
    ],
)
def test_preflight_refuses_an_unsuitable_principal_with_a_reason(
    world: World, started: dict[str, Hold], name: str, says: str
) -> None:
    hold = started[name]
    before = {"denying": {"standing"}}.get(name, set())
    view = hold.await_state("Lapsed")
    hold.over = True
    assert "preflight" in view["reason"], view
    _, entries = world.api.evidence(world.token(hold.case.identity), hold.grant)
    refused = next(entry for entry in entries if entry["event"] == "PreflightRefused")
    assert says in json.dumps(refused), refused
    assert standing(name) == before, "preflight must not change the principal's policies"
    hold.assert_nothing_left()
    wrote = [call for call in gate.log() if call["operation"] in (PUT, "AttachRolePolicy", "DetachRolePolicy")
             and "assumed-role" in call["principal"] and f"brevet-dev-{name}" in json.dumps(call["wrote"])]  # fmt: skip
    assert not wrote, wrote


def test_attachment_request_is_denied_to_an_identity_that_does_not_hold_the_principal(world: World) -> None:
    """The policy permits the request, but only the principal's holder may make it; issue checks again."""
    before = standing(NOT_THEIRS)
    body = {"entitlement": f"on-{NOT_THEIRS}", "term_s": 60, "parameters": {"run": "run-0"}}
    answer = world.ask(Case("nightly-batch", body, NOT_THEIRS, "", ""))
    assert (answer.status, answer.problem) == (403, "denied"), str(answer)
    assert "only `acme-sync` holds" in answer.body["detail"], str(answer)
    assert standing(NOT_THEIRS) == before == set()
    # The control: the holder's request is granted.
    held = world.ask(Case("acme-sync", body, NOT_THEIRS, "", ""))
    assert held.status == 201, str(held)
    assert world.api.release(world.token("acme-sync"), held.body["id"]).status == 202


def test_a_refused_put_ends_with_a_proof(started: dict[str, Hold]) -> None:
    hold = started["refused"]
    hold.ended("activation_failed")
    assert len(struck("refused", hold)) == 1 and not hold.allowed()


def test_a_throttled_put_does_not_kill_an_approved_grant(started: dict[str, Hold]) -> None:
    hold = started["throttled"]
    hold.ended("released")
    assert len(struck("throttled", hold)) == 2 * ATTEMPTS
    # On a slow machine an attempt may make fewer calls, so that there are more attempts.
    events = hold.events()
    assert 2 <= events.count("AttemptNotDone") == events.count("ActivationRecorded") - 1, events
    assert hold.allowed()


def test_a_stalled_put_that_lands_after_a_release_is_removed_and_proved_gone(started: dict[str, Hold]) -> None:
    hold = started["stalled"]
    end = hold.ended("released")
    assert struck("lost", hold)
    (put,) = struck("stalled", hold)
    absences = [e["at"] for e in store.snapshot().evidence[hold.grant] if e["event"] == "AbsenceObserved"]
    assert absences[0] < put["landed_at"] < end["proof"]["first"]["at"], "an absence from before the put landed must not count"
    sent_on_at = later(put["at"], LANDS_AFTER_MS / 1000)
    allowed = hold.allowed()
    assert allowed and min(call["done_at"] for call in allowed) >= sent_on_at, "the task must have been allowed after the put landed"
    assert not put["answered"] and "PresenceObserved" in hold.events()


def test_the_first_of_two_managed_grants_hands_over_and_the_last_detaches(started: dict[str, Hold]) -> None:
    first, second = started["first"], started["second"]
    end = first.ended("released", "handed_over")
    assert end["proof"]["holders"] == [second.grant] and end["ended_by"] == "hand_over"
    assert end["effective"]["but_by"] == [second.grant], end
    assert second.stands and second.use().outcome == "allowed", "the second grant must keep its access"
    assert "RemovalRecorded" not in first.events()
    # Both grants have the same task, so its access from here on comes from the second.
    second.release()
    end = second.ended("released")
    assert end["ended_by"] == "removal" and "but_by" not in end["effective"]
    Tasks.no_holders_on(["shared"])


@pytest.mark.parametrize("name", ["altered", "detached"])
def test_attachment_ends_as_drift_when_somebody_else_changes_it(started: dict[str, Hold], name: str) -> None:
    hold = started[name]
    hold.ended("drift")
    assert "DriftObserved" in hold.events() and hold.allowed()
    if hold.is_managed:
        Tasks.no_holders_on([name])
