"""After everything: each chain holds, and the call log and the evidence explain each other."""

from __future__ import annotations

import copy
import pickle
import time

import pytest

from observer import chain, runner, store
from observer.calllog import later
from observer.reconcile import reconcile
from observer.rest import at_rest
from observer.world import World

from doctored import TAMPERINGS, Doctored, Log

Snapshot = store.Snapshot


@pytest.fixture(scope="module")
def seen(world: World) -> tuple[Log, Snapshot]:
    """The log and the table once nothing is under way any more: every grant that was used has ended."""
    runner.stack("tick", "on")
    until = time.monotonic() + 330
    while True:
        open_ones = [
            grant
            for grant, body in store.snapshot().grants.items()
            if body["state"]["name"] in ("active", "revoking", "activating")
        ]
        if not open_ones:
            break
        assert time.monotonic() < until, f"still open: {open_ones}"
        time.sleep(1)
    return at_rest()


def test_every_write_is_explained_and_every_entry_has_its_call(seen: tuple[Log, Snapshot]) -> None:
    report = reconcile(*seen)
    print(f"\n{report}")
    assert not report.findings, str(report)
    compared = ("chains", "grant writes", "vends", "vends answered", "deny writes", "deny writes recorded",
                "ended observed", "ended by_construction", "uses of vended credentials",
                "activations recorded", "puts on principals", "removals recorded", "removals from principals",
                "PresenceObserved compared", "AbsenceObserved compared", "HandedOver compared", "inline ended observed",
                "managed ended observed", "managed ended handed_over", "checks of what is left",
                "tries of what is left", "uses of attached access", "rotations asked for", "rotations recorded",
                "rotations seen done")  # fmt: skip
    assert all(report.counts[what] for what in compared), f"something was not compared at all: {report}"


def test_every_grant_that_was_given_back_was_read_back_as_denied(seen: tuple[Log, Snapshot]) -> None:
    """Also those whose vends or removals met a fault: none had to wait for its deadline, if that was a minute off or more."""
    in_time = {}
    for grant, body in seen[1].grants.items():
        end = body["state"]
        if end["name"] == "ended" and end["cause"] == "released" and end["ended_by"] != "hand_over":
            since = next(entry["at"] for entry in seen[1].evidence[grant] if entry["state"] == "Revoking")
            is_late = end["proof"]["kind"] == "by_construction" and end["proof"]["deadline"] < later(since, 60)
            if not is_late:
                in_time[grant] = end["proof"]["kind"]
    assert len(in_time) >= 10 and set(in_time.values()) == {"observed"}, in_time


def test_an_auditor_finds_every_chain_whole_and_an_altered_one_broken(seen: tuple[Log, Snapshot]) -> None:
    snapshot = seen[1]
    for grant, body in snapshot.grants.items():
        answer = {"grant": grant, "head": body["evidence"], "entries": snapshot.evidence[grant]}
        holds, line = runner.audited(answer)
        assert holds and f"{len(answer['entries'])} entries is whole" in line, line
        altered = copy.deepcopy(answer)
        altered["entries"][-1]["detail"]["at"] = "2026-01-01T00:00:00.000Z"
        holds, line = runner.audited(altered)
        assert not holds and "was altered" in line, line


def test_no_secret_is_in_the_table_or_in_a_log(seen: tuple[Log, Snapshot]) -> None:
    """Tokens and credentials: their marks occur in no item (evidence among them), function log or call log."""
    logs = {log.name: log.read_text() for log in runner.LOGS.glob("fn-*.log")}
    told = {name for name, text in logs.items() if "grt_" in text}
    assert len(logs) == 5 and told >= {f"fn-{name}.log" for name in ("intake", "evaluate", "issue")}, (told, logs.keys())
    places = {"table": str(store.items()), "calls": str(seen[0]), **logs}
    for mark in ("eyJhbGci", "SecretAccessKey", "SessionToken", "secret_access_key", "session_token"):
        assert not [place for place, text in places.items() if mark in text], mark


@pytest.fixture(scope="module")
def kept(seen: tuple[Log, Snapshot]) -> bytes:
    """What was seen, to be had again and again: copying it piece by piece takes many times as long."""
    return pickle.dumps(seen)


@pytest.mark.parametrize("name", TAMPERINGS.keys())
def test_reconciling_finds(kept: bytes, name: str) -> None:
    """The control of the comparison itself: one thing is changed in what was seen, and it is found for that reason."""
    doctored = Doctored(*pickle.loads(kept))
    change, expected = TAMPERINGS[name]
    change(doctored)
    report = reconcile(doctored.log, doctored.snapshot)
    assert any(expected in finding for finding in report.findings), f"{name} went unnoticed: {report}"


def test_canonical_json_is_that_of_rfc_8785() -> None:
    value = {"b": [1, True, None, "é\n\u0001\"\\"], "a": {"z": "€", "": 0}}
    assert chain.canonical(value) == '{"a":{"":0,"z":"€"},"b":[1,true,null,"é\\n\\u0001\\"\\\\"]}'
    with pytest.raises(chain.BrokenChain):
        chain.canonical({"a": 1.5})
