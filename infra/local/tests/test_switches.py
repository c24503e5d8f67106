"""The switches turn the drivers of one function off and on again, and a fresh stack has every switch on."""

import threading

import pytest

from brevet_local import places, pump, switches, tick
from brevet_local.invoke import Answer
from brevet_local.process import Trouble


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "LOCAL", tmp_path)


def test_switch_turns_off_one_function_and_leaves_the_others_on(facts):
    switches.turn("tick", False, switches.driven(facts, "tick", "reap"), 1)
    assert not switches.is_on("tick", "reap")
    assert switches.is_on("tick", "issue") and switches.is_on("pump", "reap")
    switches.turn("tick", False, switches.driven(facts, "tick"), 1)
    switches.turn("tick", True, switches.driven(facts, "tick", "reap"), 1)
    assert switches.is_on("tick", "reap") and not switches.is_on("tick", "issue")
    switches.all_on()
    assert switches.is_on("tick", "issue")


def test_standby_ticks_have_their_own_switch(facts):
    assert switches.driven(facts, "standby") == ["reap"]
    switches.turn("standby", False, ["reap"], 1)
    assert not switches.is_on("standby", "reap") and switches.is_on("pump", "reap")


def test_switch_waits_longer_than_any_function_may_take(facts):
    assert switches.longest_event_s(facts) > max(one["timeout_s"] for one in facts["functions"])


def test_switch_refuses_a_function_that_it_does_not_drive(facts):
    with pytest.raises(Trouble, match="pump does not drive `intake`; it drives issue, reap"):
        switches.driven(facts, "pump", "intake")


def test_tick_invokes_no_function_that_is_switched_off(facts, monkeypatch):
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


def test_switch_turns_off_only_once_no_event_is_under_way(facts, monkeypatch):
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
        with pytest.raises(Trouble, match="tick is off for reap, but reap still handles an event after 0.2 s"):
            switches.turn("tick", False, ["reap"], within_s=0.2)
        assert not switches.is_on("tick", "reap")
        threading.Timer(0.3, may_end.set).start()
        switches.turn("tick", False, ["reap"], 30)
        assert may_end.is_set(), "it is off while a tick is under way"
    finally:
        may_end.set()
        stopping.set()
        ticking.join(30)


def test_pump_delivers_a_ttl_removal_in_lambdas_form():
    removed = {
        "eventName": "REMOVE",
        "awsRegion": "ddblocal",
        "userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"},
    }
    made = pump.lambda_record(removed, "arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/1")
    assert made["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert made["awsRegion"] == places.REGION
