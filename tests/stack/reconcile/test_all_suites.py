"""Over the recordings of all suites: every kind of comparison was made, and reconciliation finds each tampering."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from observer import chain, recording
from observer.reconcile import reconcile
from observer.recording import Recording

from doctored import TAMPERINGS, Doctored

COMPARED = ("chains", "grant writes", "vends", "vends answered", "deny writes", "deny writes recorded",
            "ended observed", "ended by_construction", "uses of vended credentials",
            "activations recorded", "puts on principals", "removals recorded", "removals from principals",
            "PresenceObserved compared", "AbsenceObserved compared", "HandedOver compared", "inline ended observed",
            "managed ended observed", "managed ended handed_over", "effective-permission checks",
            "effective-permission simulations", "uses of attached access", "rotation calls", "rotations recorded",
            "rotations observed")  # fmt: skip


@pytest.fixture(scope="session")
def kept() -> list[bytes]:
    return recording.kept()


def test_suites_together_make_every_kind_of_comparison(kept: list[bytes]) -> None:
    counts: Counter[str] = Counter()
    for one in map(pickle.loads, kept):
        counts.update(reconcile(one.log, one.snapshot).counts)
    print("\n" + "\n".join(f"{kind:<40} {n:>7}" for kind, n in sorted(counts.items())))
    assert not (missing := [kind for kind in COMPARED if not counts[kind]]), f"no suite compared: {missing}"


def test_suites_read_back_at_least_ten_released_grants(kept: list[bytes]) -> None:
    ends = [body["state"] for one in map(pickle.loads, kept) for body in one.snapshot.grants.values()]
    given_back = [end for end in ends if end["name"] == "ended" and end["cause"] == "released"]
    assert sum(end["proof"]["kind"] == "observed" for end in given_back) >= 10


def test_logs_searched_for_secrets_name_grants(kept: list[bytes]) -> None:
    """Otherwise a search without hits would show nothing."""
    naming = {name for one in map(pickle.loads, kept) for name in one.naming}
    assert naming >= {f"fn-{name}.log" for name in ("intake", "evaluate", "issue")}, naming


@pytest.mark.parametrize("name", TAMPERINGS.keys())
def test_reconciliation_finds(kept: list[bytes], name: str) -> None:
    """The control of reconciliation itself: one thing is changed in a recording, and it is found for that reason."""
    change, expected = TAMPERINGS[name]
    for one in kept:
        whole: Recording = pickle.loads(one)
        doctored = Doctored(whole.log, whole.snapshot)
        try:
            change(doctored)
        except (StopIteration, AssertionError):
            # This suite's recording has nothing of that kind to change.
            continue
        report = reconcile(doctored.log, doctored.snapshot)
        assert any(expected in finding for finding in report.findings), f"{whole.suite}: {name} went unnoticed: {report}"
        return
    raise AssertionError(f"{name}: no suite's recording could be changed like that")


def test_canonical_json_follows_rfc_8785() -> None:
    value = {"b": [1, True, None, "é\n\u0001\"\\"], "a": {"z": "€", "": 0}}
    assert chain.canonical(value) == '{"a":{"":0,"z":"€"},"b":[1,true,null,"é\\n\\u0001\\"\\\\"]}'
    with pytest.raises(chain.BrokenChain):
        chain.canonical({"a": 1.5})
