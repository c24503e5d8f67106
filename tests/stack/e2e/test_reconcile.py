"""Last in every suite: each chain holds, and the call log and the evidence explain each other."""

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
# An inline or session grant may have this much left when a test is done with it and cannot be given back.
LONGEST_TERM_S = 600


def in_use() -> dict[str, str]:
    """The grants that are not over, with who holds them."""
    grants = store.snapshot().grants
    return {grant: body["identity"] for grant, body in grants.items() if body["state"]["name"] in IN_USE}


@pytest.fixture(scope="module")
def seen(world: World, request: pytest.FixtureRequest) -> Recording:
    """The log and the table once nothing is under way any more: every grant that was used has ended."""
    runner.stack("tick", "on")
    # Nobody waits for deadlines that no test is about. Who cannot give a grant back (a drill's canary) lets it end.
    for grant, identity in in_use().items():
        if identity in world.forge.identities:
            world.api.release(world.token(identity), grant)
    until(lambda: not in_use(), "every grant that was used has ended", within_s=LONGEST_TERM_S, every_s=1)
    recording = Recording(suite(request.session), *at_rest(), frozenset(name for name, text in logs().items() if "grt_" in text))
    keep(recording)
    return recording


def logs() -> dict[str, str]:
    """What each function has logged."""
    return {log.name: log.read_text() for log in runner.LOGS.glob("fn-*.log")}


def suite(session: pytest.Session) -> str:
    """The name of the folder whose tests ran before this one's."""
    return session.items[0].path.parent.name


def test_every_write_is_explained_and_every_entry_has_its_call(seen: Recording) -> None:
    report = reconcile(seen.log, seen.snapshot)
    print(f"\n{report}")
    assert not report.findings, str(report)


def test_every_grant_that_was_given_back_was_read_back_as_denied(seen: Recording) -> None:
    """Also those whose vends or removals met a fault: none had to wait for its deadline, if that was a minute off or more."""
    kinds = {}
    for grant, body in seen.snapshot.grants.items():
        end = body["state"]
        if end["name"] == "ended" and end["cause"] == "released" and end["ended_by"] != "hand_over":
            since = next(entry["at"] for entry in seen.snapshot.evidence[grant] if entry["state"] == "Revoking")
            is_late = end["proof"]["kind"] == "by_construction" and end["proof"]["deadline"] < calllog.later(since, 60)
            if not is_late:
                kinds[grant] = end["proof"]["kind"]
    # How many there were, over all suites, is for `stack/reconcile`: a file that runs alone may give nothing back.
    assert set(kinds.values()) <= {"observed"}, kinds


def test_an_auditor_finds_every_chain_whole_and_an_altered_one_broken(seen: Recording) -> None:
    for grant, body in seen.snapshot.grants.items():
        answer = {"grant": grant, "head": body["evidence"], "entries": seen.snapshot.evidence[grant]}
        holds, line = runner.audited(answer)
        assert holds and f"{len(answer['entries'])} entries is whole" in line, line
        altered = copy.deepcopy(answer)
        altered["entries"][-1]["detail"]["at"] = "2026-01-01T00:00:00.000Z"
        holds, line = runner.audited(altered)
        assert not holds and "was altered" in line, line


def test_no_secret_is_in_the_table_or_in_a_log(seen: Recording) -> None:
    """Tokens and credentials: their marks occur in no item (evidence among them), function log or call log."""
    texts = logs()
    # Which of them name a grant is for `stack/reconcile`, over all suites: a file that runs alone may use few functions.
    assert len(texts) == 5 and seen.naming, (seen.naming, texts.keys())
    searched = {"table": str(store.items()), "calls": str(seen.log), **texts}
    for mark in ("eyJhbGci", "SecretAccessKey", "SessionToken", "secret_access_key", "session_token"):
        assert not [name for name, text in searched.items() if mark in text], mark
