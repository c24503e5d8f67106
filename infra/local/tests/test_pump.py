"""The pump holds records back for as long as their mapping says, and gives up none that is to be tried without end."""

import pytest

from brevet_local import aws, pump
from brevet_local.invoke import Answer

SHARD = {"ShardId": "shard-1"}


class Streams:
    """One shard, and what was written to it since it was last read."""

    class exceptions:  # noqa: N801
        TrimmedDataAccessException = type("TrimmedDataAccessException", (Exception,), {})

    def __init__(self):
        self.written, self.at, self.trims = [], [], False

    def describe_stream(self, **_):
        return {"StreamDescription": {"Shards": [SHARD]}}

    def get_shard_iterator(self, ShardIteratorType, **_):  # noqa: N803
        self.at.append(ShardIteratorType)
        return {"ShardIterator": "next"}

    def get_records(self, **_):
        if self.trims:
            self.trims = False
            raise self.exceptions.TrimmedDataAccessException
        records, self.written = self.written, []
        return {"Records": records, "NextShardIterator": "next"}


class Lambda:
    """Notes what it is given, and fails as often as it is told to."""

    def __init__(self):
        self.given, self.fails = [], 0

    def __call__(self, function, event, _timeout_s):
        self.given.append((function["id"], len(event["Records"])))
        self.fails -= 1
        return Answer("failed", None, "told to") if self.fails >= 0 else Answer("ok", None)


def echo(at):
    return {"eventName": "MODIFY", "dynamodb": {"Keys": {"pk": {"S": "ECHO#reap"}}, "SequenceNumber": str(at)}}


@pytest.fixture
def held(facts, monkeypatch):
    """The mapping of echoes, whose clock stands at `held.now`."""
    streams, function = Streams(), Lambda()
    monkeypatch.setattr(aws, "client", lambda *_: streams)
    monkeypatch.setattr(pump, "invoke", function)
    monkeypatch.setenv("BREVET_LOCAL_TICK_S", "")
    (mapping,) = [one for one in facts["streams"] if one["switch"] == "echo"]
    one = pump.Pump(facts, mapping)
    one.now, one.streams, one.function_given = 100.0, streams, function
    monkeypatch.setattr(pump.time, "monotonic", lambda: one.now)
    return one


def turn(held, now, *records):
    held.now = now
    held.streams.written += records
    held.turn()
    return held.function_given.given


def test_records_are_gathered_for_the_window_and_come_in_one_event(held):
    assert turn(held, 100.0, echo(1)) == []
    assert turn(held, 110.0, echo(2)) == []
    assert turn(held, 114.9) == []
    assert turn(held, 115.0) == [("reap", 2)]
    assert turn(held, 170.0, echo(3)) == [("reap", 2)]
    assert turn(held, 200.0) == [("reap", 2), ("reap", 1)]


def test_what_fails_comes_again_until_it_goes_well(held):
    held.function_given.fails = 7
    turn(held, 100.0, echo(1))
    for second in range(40, 60):
        turn(held, 100.0 + second)
    assert held.function_given.given == [("reap", 1)] * 8
    assert not pump.dead_letters().exists()


def test_a_shard_that_gives_no_end_to_stand_at_is_read_from_its_begin(held):
    turn(held, 100.0)
    held.streams.trims = True
    turn(held, 101.0)
    assert held.streams.at[-1] == "TRIM_HORIZON"
    assert turn(held, 102.0, echo(1)) == []
    assert turn(held, 117.0) == [("reap", 1)]


def test_windows_go_with_the_tick(facts, monkeypatch):
    monkeypatch.setattr(aws, "client", lambda *_: Streams())
    monkeypatch.setenv("BREVET_LOCAL_TICK_S", "2")
    (mapping,) = [one for one in facts["streams"] if one["switch"] == "echo"]
    assert pump.Pump(facts, mapping)._window_s == 1.0
    monkeypatch.setenv("BREVET_LOCAL_TICK_S", "30")
    assert pump.Pump(facts, mapping)._window_s == mapping["window_s"] / 2
