"""The pump gathers records for the mapping's batching window, and retries without limit where the mapping says so."""

import pytest

from brevet_local import aws, pump
from brevet_local.invoke import Answer

SHARD = {"ShardId": "shard-1"}


class Streams:
    """One shard, and the records written to it since the last read."""

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
    """Records the events that it gets, and fails `fails` times."""

    def __init__(self):
        self.events, self.fails = [], 0

    def __call__(self, function, event, _timeout_s):
        self.events.append((function["id"], len(event["Records"])))
        self.fails -= 1
        return Answer("failed", None, "on purpose") if self.fails >= 0 else Answer("ok", None)


def standby_tick(at):
    return {"eventName": "MODIFY", "dynamodb": {"Keys": {"pk": {"S": "STANDBY#reap"}}, "SequenceNumber": str(at)}}


@pytest.fixture
def held(facts, monkeypatch):
    """The pump of standby ticks, with its clock at `held.now`."""
    streams, function = Streams(), Lambda()
    monkeypatch.setattr(aws, "client", lambda *_: streams)
    monkeypatch.setattr(pump, "invoke", function)
    monkeypatch.setenv("BREVET_LOCAL_TICK_S", "")
    (mapping,) = [one for one in facts["streams"] if one["switch"] == "standby"]
    one = pump.Pump(facts, mapping)
    one.now, one.streams, one.invoked = 100.0, streams, function
    monkeypatch.setattr(pump.time, "monotonic", lambda: one.now)
    return one


def turn(held, now, *records):
    held.now = now
    held.streams.written += records
    held.turn()
    return held.invoked.events


def test_pump_delivers_the_records_of_a_window_in_one_event(held):
    assert turn(held, 100.0, standby_tick(1)) == []
    assert turn(held, 110.0, standby_tick(2)) == []
    assert turn(held, 114.9) == []
    assert turn(held, 115.0) == [("reap", 2)]
    assert turn(held, 170.0, standby_tick(3)) == [("reap", 2)]
    assert turn(held, 200.0) == [("reap", 2), ("reap", 1)]


def test_pump_retries_a_failed_batch_until_it_succeeds(held):
    held.invoked.fails = 7
    turn(held, 100.0, standby_tick(1))
    for second in range(40, 60):
        turn(held, 100.0 + second)
    assert held.invoked.events == [("reap", 1)] * 8
    assert not pump.dead_letters().exists()


def test_pump_reads_an_empty_shard_from_its_beginning(held):
    turn(held, 100.0)
    held.streams.trims = True
    turn(held, 101.0)
    assert held.streams.at[-1] == "TRIM_HORIZON"
    assert turn(held, 102.0, standby_tick(1)) == []
    assert turn(held, 117.0) == [("reap", 1)]


def test_batching_window_scales_with_the_tick(facts, monkeypatch):
    monkeypatch.setattr(aws, "client", lambda *_: Streams())
    monkeypatch.setenv("BREVET_LOCAL_TICK_S", "2")
    (mapping,) = [one for one in facts["streams"] if one["switch"] == "standby"]
    assert pump.Pump(facts, mapping)._window_s == 1.0
    monkeypatch.setenv("BREVET_LOCAL_TICK_S", "30")
    assert pump.Pump(facts, mapping)._window_s == mapping["window_s"] / 2
