"""Runs last in every suite: each chain verifies, and the call log and the evidence explain each other."""

from __future__ import annotations

import copy

import pytest

from observer import calllog, runner, store
from observer.patience import until
from observer.reconcile import reconcile
from observer.recording import Recording, keep
from observer.rest import at_rest
from observer.world import World

IN_USE = ("active", "revoking", "activating")
# A grant that cannot be released may have this much of its term left when its test is over.
LONGEST_TERM_S = 600


def in_use() -> dict[str, str]:
    """The grants in use, with their holders."""
    grants = store.snapshot().grants
    return {grant: body["identity"] for grant, body in grants.items() if body["state"]["name"] in IN_USE}


@pytest.fixture(scope="module")
def seen(world: World, request: pytest.FixtureRequest) -> Recording:
    """The call log and the table once every used grant has ended and nothing is under way."""
    runner.stack("tick", "on")
    # Releases every grant, so that no unneeded deadline is waited for. A drill's canary cannot release: its grant
    # expires.
    for grant, identity in in_use().items():
        if identity in world.forge.identities:
            world.api.release(world.token(identity), grant)
    until(lambda: not in_use(), "every grant that was used has ended", within_s=LONGEST_TERM_S, every_s=1)
    recording = Recording(suite(request.session), *at_rest(), frozenset(name for name, text in logs().items() if "grt_" in text))
    keep(recording)
    return recording


def logs() -> dict[str, str]:
    """Each function's log."""
    return {log.name: log.read_text() for log in runner.LOGS.glob("fn-*.log")}


def suite(session: pytest.Session) -> str:
    """The name of the folder whose tests ran before this one's."""
    return session.items[0].path.parent.name


def test_call_log_and_evidence_explain_each_other(seen: Recording) -> None:
    report = reconcile(seen.log, seen.snapshot)
    print(f"\n{report}")
    assert not report.findings, str(report)


def test_released_grants_end_with_an_observed_proof(seen: Recording) -> None:
    """Faults on vends and removals included: no released grant waited for a deadline that was a minute or more away."""
    kinds = {}
    for grant, body in seen.snapshot.grants.items():
        end = body["state"]
        if end["name"] == "ended" and end["cause"] == "released" and end["ended_by"] != "hand_over":
            since = next(entry["at"] for entry in seen.snapshot.evidence[grant] if entry["state"] == "Revoking")
            is_late = end["proof"]["kind"] == "by_construction" and end["proof"]["deadline"] < calllog.later(since, 60)
            if not is_late:
                kinds[grant] = end["proof"]["kind"]
    # `stack/reconcile` checks their number over all suites: a file that runs alone may release nothing.
    assert set(kinds.values()) <= {"observed"}, kinds


def test_audit_command_accepts_every_chain_and_rejects_an_altered_one(seen: Recording) -> None:
    for grant, body in seen.snapshot.grants.items():
        answer = {"grant": grant, "head": body["evidence"], "entries": seen.snapshot.evidence[grant]}
        holds, line = runner.audited(answer)
        assert holds and f"{len(answer['entries'])} entries is whole" in line, line
        altered = copy.deepcopy(answer)
        altered["entries"][-1]["detail"]["at"] = "2026-01-01T00:00:00.000Z"
        holds, line = runner.audited(altered)
        assert not holds and "was altered" in line, line


def test_table_and_logs_contain_no_secret(seen: Recording) -> None:
    """No item (evidence included), function log or call log contains a mark of a token or credentials."""
    texts = logs()
    # `stack/reconcile` checks over all suites which logs name grants: a file that runs alone may use few functions.
    assert len(texts) == 5 and seen.naming, (seen.naming, texts.keys())
    searched = {"table": str(store.items()), "calls": str(seen.log), **texts}
    for mark in ("eyJhbGci", "SecretAccessKey", "SessionToken", "secret_access_key", "session_token"):
        assert not [name for name, text in searched.items() if mark in text], mark
