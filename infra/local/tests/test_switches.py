"""What drives the functions can be turned off for one of them and on again, and a fresh stack has everything on."""

import threading

import pytest

from brevet_local import places, pump, switches, tick
from brevet_local.invoke import Answer
from brevet_local.process import Trouble


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "LOCAL", tmp_path)


def test_one_function_is_turned_off_and_the_other_stays_on(facts):
    switches.turn("tick", False, switches.driven(facts, "tick", "reap"), 1)
    assert not switches.is_on("tick", "reap")
    assert switches.is_on("tick", "issue") and switches.is_on("pump", "reap")
    switches.turn("tick", False, switches.driven(facts, "tick"), 1)
    switches.turn("tick", True, switches.driven(facts, "tick", "reap"), 1)
    assert switches.is_on("tick", "reap") and not switches.is_on("tick", "issue")
    switches.all_on()
    assert switches.is_on("tick", "issue")


def test_echoes_have_a_switch_of_their_own(facts):
    assert switches.driven(facts, "echo") == ["reap"]
    switches.turn("echo", False, ["reap"], 1)
    assert not switches.is_on("echo", "reap") and switches.is_on("pump", "reap")


def test_no_function_may_take_longer_than_whoever_turns_off_waits(facts):
    assert switches.longest_event_s(facts) > max(one["timeout_s"] for one in facts["functions"])


def test_a_function_that_is_not_driven_is_refused_by_name(facts):
    with pytest.raises(Trouble, match="pump does not drive `intake`; it drives issue, reap"):
        switches.driven(facts, "pump", "intake")


def test_what_is_off_is_not_invoked(facts, monkeypatch):
    ticked, stopping = [], threading.Event()

    def once(_, schedule):
        ticked.append(schedule["function"])
        stopping.set()
        return Answer("ok", None)

    monkeypatch.setattr(tick, "once", once)
    schedules = {one["function"]: one for one in facts["schedules"]}
    switches.turn("tick", False, ["reap"], 1)
    threading.Timer(0.5, stopping.set).start()
    tick.run(facts, schedules["reap"], stopping)
    assert ticked == []
    stopping.clear()
    tick.run(facts, schedules["issue"], stopping)
    assert ticked == ["issue"]


def test_once_it_is_off_nothing_is_under_way(facts, monkeypatch):
    begun, may_end, stopping = threading.Event(), threading.Event(), threading.Event()

    def once(_, __):
        begun.set()
        assert may_end.wait(30)
        return Answer("ok", None)

    monkeypatch.setattr(tick, "once", once)
    schedule = next(one for one in facts["schedules"] if one["function"] == "reap")
    ticking = threading.Thread(target=tick.run, args=(facts, schedule, stopping))
    ticking.start()
    try:
        assert begun.wait(30)
        with pytest.raises(Trouble, match="tick is off for reap, but reap is still at what it was given 0.2 s ago"):
            switches.turn("tick", False, ["reap"], within_s=0.2)
        assert not switches.is_on("tick", "reap")
        threading.Timer(0.3, may_end.set).start()
        switches.turn("tick", False, ["reap"], 30)
        assert may_end.is_set(), "it is off while a tick is under way"
    finally:
        may_end.set()
        stopping.set()
        ticking.join(30)


def test_a_removal_by_dynamodb_itself_is_handed_over_as_lambda_writes_it():
    removed = {
        "eventName": "REMOVE",
        "awsRegion": "ddblocal",
        "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
    }
    made = pump.lambda_record(removed, "arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/1")
    assert made["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert made["awsRegion"] == places.REGION
