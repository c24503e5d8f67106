"""After everything: each chain holds, and the call log and the evidence explain each other."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest

from observer import chain, gate, runner, store
from observer.reconcile import Report, reconcile
from observer.world import World

Log, Snapshot = list[dict[str, Any]], store.Snapshot


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
    runner.stack("tick", "off")
    time.sleep(3)
    found = store.snapshot(), gate.log()
    runner.stack("tick", "on")
    return found[1], found[0]


def test_every_write_is_explained_and_every_entry_has_its_call(seen: tuple[Log, Snapshot]) -> None:
    report = reconcile(*seen)
    print(f"\n{report}")
    assert not report.findings, str(report)
    compared = ("chains", "grant writes", "vends", "vends answered", "deny writes", "removals recorded",
                "ended observed", "ended by_construction", "uses of vended credentials")  # fmt: skip
    assert all(report.counts[what] for what in compared), f"something was not compared at all: {report}"


def test_every_grant_that_was_given_back_was_read_back_as_denied(seen: tuple[Log, Snapshot]) -> None:
    """Also those whose vends or removals met a fault: none of them had to wait for its deadline."""
    ended = [body["state"] for body in seen[1].grants.values() if body["state"]["name"] == "ended"]
    given_back = [state["proof"]["kind"] for state in ended if state["cause"] == "released"]
    assert len(given_back) >= 10 and set(given_back) == {"observed"}, given_back


def test_no_secret_is_in_the_table_or_in_a_log(seen: tuple[Log, Snapshot]) -> None:
    """Tokens and credentials: their marks occur in no item (evidence among them), function log or call log."""
    logs = {log.name: log.read_text() for log in runner.LOGS.glob("fn-*.log")}
    assert len(logs) == 4 and all("grt_" in text for name, text in logs.items() if "reap" not in name), logs.keys()
    places = {"table": str(store.items()), "calls": str(seen[0]), **logs}
    for mark in ("eyJhbGci", "SecretAccessKey", "SessionToken", "secret_access_key", "session_token"):
        assert not [place for place, text in places.items() if mark in text], mark


def _vend(log: Log) -> dict[str, Any]:
    return next(c for c in log if c["operation"] == "AssumeRole" and "brevet-dev-issue/" in c["principal"] and c["answered"])


def _deny(log: Log) -> dict[str, Any]:
    return next(c for c in log if c["operation"] == "PutRolePolicy" and "brevet-dev-reap/" in c["principal"])


def _drop(log: Log, call: dict[str, Any]) -> None:
    log.remove(call)


def _ended(snapshot: Snapshot, kind: str) -> dict[str, Any]:
    states = (body["state"] for body in snapshot.grants.values() if body["state"]["name"] == "ended")
    return next(state for state in states if state["proof"]["kind"] == kind)


def _unrecorded_vend(log: Log, _: Snapshot) -> None:
    log.append({**copy.deepcopy(_vend(log)), "n": 10**6, "wrote": {**_vend(log)["wrote"], "session_policy_sha256": "f" * 64}})


def _foreign_write(log: Log, _: Snapshot) -> None:
    log.append({**copy.deepcopy(_deny(log)), "operation": "AttachRolePolicy"})


def _other_deny(log: Log, _: Snapshot) -> None:
    _deny(log)["wrote"]["document_sha256"] = "f" * 64


def _silent_grant_write(log: Log, _: Snapshot) -> None:
    call = next(c for c in log if c["operation"] == "TransactWriteItems" and "brevet-dev-reap/" in c["principal"])
    call["wrote"]["items"] = [item for item in call["wrote"]["items"] if not item["sk"].startswith("EVD#")]


def _use_after_the_end(log: Log, _: Snapshot) -> None:
    use = next(c for c in log if c["decision"] == "allowed" and c["access_key_id"] == _vend(log)["wrote"]["access_key_id"])
    log.append({**use, "n": 10**6, "at": "2099-01-01T00:00:00.000Z"})


def _forged_proof(_: Log, snapshot: Snapshot) -> None:
    _ended(snapshot, "observed")["proof"]["second"]["request_id"] = "nobody-made-this-call"


def _forged_deadline_proof(_: Log, snapshot: Snapshot) -> None:
    _ended(snapshot, "by_construction")["proof"]["request_id"] = "nobody-made-this-call"


def _altered_entry(_: Log, snapshot: Snapshot) -> None:
    next(iter(snapshot.evidence.values()))[0]["detail"]["identity"] = "somebody-else"


def _cut_chain(_: Log, snapshot: Snapshot) -> None:
    next(chain for chain in snapshot.evidence.values() if len(chain) > 2).pop()


def _altered_grant(_: Log, snapshot: Snapshot) -> None:
    next(iter(snapshot.grants.values()))["term"] += 1


TAMPERINGS: dict[str, Callable[[Log, Snapshot], None]] = {
    "a vend that was not recorded": _unrecorded_vend,
    "a vend that never was": lambda log, _: _drop(log, _vend(log)),
    "a deny with another document": _other_deny,
    "a write of another kind": _foreign_write,
    "a grant written without evidence": _silent_grant_write,
    "a use after the end": _use_after_the_end,
    "a proof of a reading that never was": _forged_proof,
    "a proof of a date that was never read": _forged_deadline_proof,
    "an entry that was altered": _altered_entry,
    "a chain that was cut": _cut_chain,
    "a grant that was altered": _altered_grant,
}


@pytest.mark.parametrize("name", TAMPERINGS.keys())
def test_reconciling_finds(seen: tuple[Log, Snapshot], name: str) -> None:
    """The control of the comparison itself: one thing is changed in what was seen, and it is found."""
    log, snapshot = copy.deepcopy(seen[0]), copy.deepcopy(seen[1])
    TAMPERINGS[name](log, snapshot)
    report: Report = reconcile(log, snapshot)
    assert report.findings, f"{name} went unnoticed"


def test_canonical_json_is_that_of_rfc_8785() -> None:
    value = {"b": [1, True, None, "é\n\u0001\"\\"], "a": {"z": "€", "": 0}}
    assert chain.canonical(value) == '{"a":{"":0,"z":"€"},"b":[1,true,null,"é\\n\\u0001\\"\\\\"]}'
    with pytest.raises(chain.BrokenChain):
        chain.canonical({"a": 1.5})
