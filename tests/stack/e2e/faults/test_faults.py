"""One fault at a time between the functions and AWS; each must fire, and access still ends with its proof."""

from __future__ import annotations

from typing import Any

import pytest

from observer import gate, runner, store
from observer.aws import Session
from observer.calllog import later
from observer.client import new_key
from observer.patience import until
from observer.world import AGENT, ONCALL, PIPELINE, World

from faulting import ASSUME, ATTEMPTS, PUT_DENY, READ_DENY, await_free, await_strike
from lives import deny_of, early_release, ended_early, in_use

TERM_S = 300


def answers(world: World, grant: str) -> list[str]:
    return [vend["answer"]["kind"] for vend in world.show(PIPELINE, grant)["vends"]["last"]]


def test_assume_role_is_retried_after_a_lost_answer(world: World) -> None:
    grant = world.approved(PIPELINE, term_s=TERM_S)
    with gate.faults({"id": "vend-lost-once", "kind": "drop_after", **ASSUME}):
        session = world.session(PIPELINE, grant)
    assert PIPELINE.use(session).outcome == "allowed"
    assert answers(world, grant) == ["issued"]


def test_a_vend_whose_answer_stays_lost_is_recorded_and_unknown(world: World) -> None:
    grant = world.approved(PIPELINE, term_s=TERM_S)
    with gate.faults({"id": "vend-lost", "kind": "drop_after", "times": ATTEMPTS, **ASSUME}):
        lost = world.fetch(PIPELINE, grant)
    assert (lost.status, lost.problem) == (503, "unavailable"), str(lost)
    assert answers(world, grant) == ["awaited"]
    session = world.session(PIPELINE, grant)
    assert answers(world, grant) == ["awaited", "issued"]
    assert PIPELINE.use(session).outcome == "allowed"
    # The possibly vended credentials are ended too; `test_reconcile.py` checks that end.
    assert world.release(PIPELINE, grant).status == 202


def test_a_throttled_vend_is_answered_as_failed_and_works_later(world: World) -> None:
    grant = world.approved(PIPELINE, term_s=TERM_S)
    with gate.faults({"id": "vend-throttled", "kind": "throttle", "times": ATTEMPTS, **ASSUME}):
        throttled = world.fetch(PIPELINE, grant)
    assert (throttled.status, throttled.problem) == (503, "unavailable"), str(throttled)
    assert answers(world, grant) == ["failed"]
    assert PIPELINE.use(world.session(PIPELINE, grant)).outcome == "allowed"


def test_a_refused_vend_hands_out_nothing(world: World) -> None:
    grant = world.approved(PIPELINE, term_s=TERM_S)
    with gate.faults({"id": "vend-refused", "kind": "refuse", **ASSUME}):
        refused = world.fetch(PIPELINE, grant)
    assert refused.status >= 400 and "SecretAccessKey" not in refused.body, str(refused)
    assert answers(world, grant) == ["failed"]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_lost_evaluation_is_resumed_by_the_same_key(world: World, kind: str) -> None:
    key = new_key()
    rule = {"service": "lambda", "operation": "Invoke", "principal": "brevet-dev-intake", "times": ATTEMPTS}
    with gate.faults({"id": f"evaluation-{kind}", "kind": kind, **rule}):
        first = world.ask(PIPELINE, key=key, term_s=TERM_S)
    # A lost answer is unknown, not failed: the table shows whether the evaluator decided.
    assert first.status in ((503,) if kind == "drop_before" else (201, 503)), str(first)
    again = world.ask(PIPELINE, key=key, term_s=TERM_S)
    assert again.status == 201, str(again)
    grant = again.body["id"]
    if first.status == 503:
        assert first.body["grant"] == grant
    assert len([e for e in store.snapshot().evidence[grant] if e["event"] == "Decided"]) == 1
    assert PIPELINE.use(world.session(PIPELINE, grant)).outcome == "allowed"


@pytest.mark.parametrize("function", ["evaluate", "issue"])
def test_a_transaction_conflict_is_tried_again(world: World, function: str) -> None:
    rule = {"service": "dynamodb", "operation": "TransactWriteItems", "principal": f"brevet-dev-{function}"}
    grant = world.approved(PIPELINE, term_s=TERM_S) if function == "issue" else ""
    with gate.faults({"id": f"conflict-{function}", "kind": "conflict", **rule}):
        grant = grant or world.approved(PIPELINE, term_s=TERM_S)
        session = world.session(PIPELINE, grant)
    assert PIPELINE.use(session).outcome == "allowed"
    assert len(world.show(PIPELINE, grant)["vends"]["last"]) == 1


def test_a_lost_answer_of_a_commit_counts_once(world: World) -> None:
    grant = world.approved(PIPELINE, term_s=TERM_S)
    rule = {"service": "dynamodb", "operation": "TransactWriteItems", "principal": "brevet-dev-issue"}
    with gate.faults({"id": "commit-lost", "kind": "drop_after", "pk_prefix": f"GRANT#{grant}", **rule}):
        session = world.session(PIPELINE, grant)
    assert PIPELINE.use(session).outcome == "allowed"
    events = [entry["event"] for entry in store.snapshot().evidence[grant]]
    assert events == ["Decided", "VendRecorded", "VendAnswered"]


DENY_FAULTS = [
    ("put lost after", {"kind": "drop_after", "times": ATTEMPTS, **PUT_DENY}),
    ("put lost before", {"kind": "drop_before", "times": ATTEMPTS, **PUT_DENY}),
    ("put throttled", {"kind": "throttle", "times": ATTEMPTS, **PUT_DENY}),
    ("put refused", {"kind": "refuse", **PUT_DENY}),
    ("read throttled", {"kind": "throttle", "times": ATTEMPTS, **READ_DENY}),
    ("read lost", {"kind": "drop_after", "times": ATTEMPTS, **READ_DENY}),
    ("reap conflicts", {"kind": "conflict", "service": "dynamodb", "operation": "TransactWriteItems", "principal": "brevet-dev-reap"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def released(world: World) -> dict[str, tuple[Any, str, Session]]:
    """One released grant for each fault of the early end. The fault fires, and the reaper goes on by itself.

    The faults are injected one after the other on alternating roles, so that the ends overlap and each fault hits its
    own grant.
    """
    found: dict[str, tuple[Any, str, Session]] = {}
    cases = (AGENT, ONCALL, PIPELINE)
    for number, (name, rule) in enumerate(DENY_FAULTS):
        case = cases[number % len(cases)]
        grant, session = in_use(world, case, term_s=TERM_S)
        rule = {"id": name, **rule}
        if rule["service"] == "iam":
            await_free(case.role)
        if rule["service"] == "iam" and rule["operation"] == "PutRolePolicy":
            rule |= deny_of(case, grant)
        elif rule["service"] == "iam":
            rule["resource"] = case.role
        else:
            rule["pk_prefix"] = f"GRANT#{grant}"
        with gate.faults(rule):
            assert world.release(case, grant).status == 202
            await_strike(name, rule.get("times", 1))
        found[name] = (case, grant, session)
    return found


@pytest.mark.parametrize("name", [name for name, _ in DENY_FAULTS])
def test_early_end_is_proved_in_spite_of(world: World, released: dict[str, Any], name: str) -> None:
    case, grant, session = released[name]
    ended_early(world, case, grant, session)


def test_grant_stays_revoking_while_its_deny_cannot_be_read_back(world: World) -> None:
    """No quiet end: without a reading the grant does not end, however often the reading fails."""
    await_free(AGENT.role)
    rule = {"id": "unreadable", "kind": "refuse", "times": 1000, "resource": AGENT.role, **READ_DENY}
    with gate.faults(rule):
        since = gate.last()
        grant, session = early_release(world, AGENT, term_s=TERM_S)
        # Two successful readings this far apart would have proved the end.
        apart_s = int(runner.setting("reap", "BREVET_QUIET_S")) + int(runner.setting("reap", "BREVET_SKEW_S"))

        def has_failed_for_long() -> bool:
            view = world.show(AGENT, grant)
            assert view["state"] in ("Active", "Revoking"), view["state"]
            tried = [call["at"] for call in gate.log(since, whole_within_s=0) if call["fault"]]
            return len(tried) >= 3 and later(tried[0], 3 * apart_s) < tried[-1] and "last_problem" in view.get("revoking", {})

        until(has_failed_for_long, "at least three failed readings of the deny, over a long enough time")
        assert world.show(AGENT, grant)["state"] == "Revoking"
    ended_early(world, AGENT, grant, session)
