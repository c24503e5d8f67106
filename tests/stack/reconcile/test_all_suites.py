"""Over the recordings of all suites: everything was compared somewhere, and a comparison finds what is wrong."""

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
            "managed ended observed", "managed ended handed_over", "checks of what is left",
            "tries of what is left", "uses of attached access", "rotations asked for", "rotations recorded",
            "rotations seen done")  # fmt: skip


@pytest.fixture(scope="session")
def kept() -> list[bytes]:
    """The recordings of this run."""
    return recording.kept()


def test_everything_that_can_be_compared_was_compared_in_some_suite(kept: list[bytes]) -> None:
    counts: Counter[str] = Counter()
    for one in map(pickle.loads, kept):
        counts.update(reconcile(one.log, one.snapshot).counts)
    print("\n" + "\n".join(f"{what:<40} {n:>7}" for what, n in sorted(counts.items())))
    assert not (missing := [what for what in COMPARED if not counts[what]]), f"not compared at all: {missing}"


def test_at_least_ten_grants_were_given_back_and_read_back(kept: list[bytes]) -> None:
    ends = [body["state"] for one in map(pickle.loads, kept) for body in one.snapshot.grants.values()]
    given_back = [end for end in ends if end["name"] == "ended" and end["cause"] == "released"]
    assert sum(end["proof"]["kind"] == "observed" for end in given_back) >= 10


def test_logs_that_were_searched_for_secrets_name_grants(kept: list[bytes]) -> None:
    """Otherwise that no secret is in them would show nothing."""
    naming = {name for one in map(pickle.loads, kept) for name in one.naming}
    assert naming >= {f"fn-{name}.log" for name in ("intake", "evaluate", "issue")}, naming


@pytest.mark.parametrize("name", TAMPERINGS.keys())
def test_reconciling_finds(kept: list[bytes], name: str) -> None:
    """The control of the comparison itself: one thing is changed in what was seen, and it is found for that reason."""
    change, expected = TAMPERINGS[name]
    for one in kept:
        whole: Recording = pickle.loads(one)
        doctored = Doctored(whole.log, whole.snapshot)
        try:
            change(doctored)
        except (StopIteration, AssertionError):
            # This suite did nothing of that kind.
            continue
        report = reconcile(doctored.log, doctored.snapshot)
        assert any(expected in finding for finding in report.findings), f"{whole.suite}: {name} went unnoticed: {report}"
        return
    raise AssertionError(f"{name}: no suite did anything that could be changed so")


def test_canonical_json_is_that_of_rfc_8785() -> None:
    value = {"b": [1, True, None, "é\n\u0001\"\\"], "a": {"z": "€", "": 0}}
    assert chain.canonical(value) == '{"a":{"":0,"z":"€"},"b":[1,true,null,"é\\n\\u0001\\"\\\\"]}'
    with pytest.raises(chain.BrokenChain):
        chain.canonical({"a": 1.5})
