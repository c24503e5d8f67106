"""The stream pump: delivers a table's stream, through the template's filters, to the function that it invokes.

It reads DynamoDB Local directly, as Lambda's pollers read DynamoDB without a role of ours. It keeps order within a
shard: it retries a failed batch, bisects it, and at last writes it to the dead letters. If the mapping has a batching
window, records are gathered for that long. If the mapping retries without limit, no record goes to the dead letters.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import aws, filters, places, switches, tick
from .invoke import invoke

_PAUSE_S = 0.25
_RETRY_PAUSE_S = 0.5


def dead_letters() -> Any:
    """The file of records that could not be delivered: one JSON line for each batch."""
    return places.LOCAL / "dead-letters.jsonl"


def lambda_record(record: dict[str, Any], stream_arn: str) -> dict[str, Any]:
    """A stream record in Lambda's form: plain JSON, times in seconds, binary in base 64."""
    made = json.loads(json.dumps(record, default=_plain))
    # DynamoDB Local calls every region `ddblocal`.
    made["awsRegion"] = places.REGION
    made["eventSourceARN"] = stream_arn.replace(":ddblocal:", f":{places.REGION}:")
    identity = made.pop("userIdentity", None)
    if identity:
        made["userIdentity"] = {"type": identity.get("Type"), "principalId": identity.get("PrincipalId")}
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value)} in a stream record")


class Pump:
    """One event source mapping."""

    def __init__(self, facts: dict[str, Any], mapping: dict[str, Any]):
        self._function = next(one for one in facts["functions"] if one["id"] == mapping["function"])
        self._mapping = mapping
        self._passes = filters.any_of(mapping["filters"])
        self._streams = aws.client("dynamodbstreams", places.url("dynamodb"))
        self._arn = ""
        self._iterators: dict[str, str | None] = {}
        # Lambda's batching windows are whole seconds.
        self._window_s = max(min(mapping["window_s"], 1.0), mapping["window_s"] * tick.pace(facts))
        # Records that wait for delivery, and the time at which they are due.
        self._gathered: list[dict[str, Any]] = []
        self._due_at = 0.0

    @property
    def function(self) -> str:
        """The short name of the function that it invokes."""
        return self._mapping["function"]

    @property
    def switch(self) -> str:
        """The switch that turns it off."""
        return self._mapping["switch"]

    def open(self) -> None:
        """Finds the stream and positions itself at the mapping's starting position (`LATEST` is its end)."""
        dynamodb = aws.client("dynamodb", places.url("dynamodb"))
        self._arn = dynamodb.describe_table(TableName=self._mapping["table"])["Table"]["LatestStreamArn"]
        for shard in self._shards():
            self._iterators[shard["ShardId"]] = self._iterator(shard["ShardId"], self._mapping["starting_position"])

    def turn(self) -> int:
        """Reads every shard once and delivers the records that pass the filters. Returns the number of records read."""
        for shard in self._shards():
            if shard["ShardId"] not in self._iterators:
                # The shard was created after `open`: all its records are new.
                self._iterators[shard["ShardId"]] = self._iterator(shard["ShardId"], "TRIM_HORIZON")
        n_seen = 0
        for shard_id, iterator in list(self._iterators.items()):
            if iterator is None:
                continue
            try:
                answer = self._streams.get_records(ShardIterator=iterator, Limit=1000)
            except self._streams.exceptions.TrimmedDataAccessException:
                # DynamoDB Local has no `LATEST` position in an empty shard: start from its beginning.
                self._iterators[shard_id] = self._iterator(shard_id, "TRIM_HORIZON")
                continue
            self._iterators[shard_id] = answer.get("NextShardIterator")
            records = [lambda_record(record, self._arn) for record in answer["Records"]]
            n_seen += len(records)
            passing = [record for record in records if self._passes(record)]
            if passing and not self._gathered:
                self._due_at = time.monotonic() + self._window_s
            self._gathered += passing
        size = self._mapping["batch_size"]
        while self._gathered and (time.monotonic() >= self._due_at or len(self._gathered) >= size):
            if not self._deliver(self._gathered[:size]):
                self._due_at = time.monotonic() + _RETRY_PAUSE_S
                break
            del self._gathered[:size]
        return n_seen

    def _deliver(self, batch: list[dict[str, Any]]) -> bool:
        """Delivers a batch. Returns false if it failed and its mapping retries without limit."""
        detail = ""
        is_endless = self._mapping["max_retries"] < 0
        for attempt in range(1 if is_endless else self._mapping["max_retries"] + 1):
            if attempt:
                time.sleep(_RETRY_PAUSE_S)
            answer = invoke(self._function, {"Records": batch}, self._function["timeout_s"])
            if answer.outcome == "ok":
                return True
            detail = f"{answer.outcome}: {answer.detail}"
            print(f"pump: {self._function['id']}: {len(batch)} records: {detail}", flush=True)
            if self._mapping["bisect"] and len(batch) > 1:
                half = len(batch) // 2
                self._deliver(batch[:half])
                self._deliver(batch[half:])
                return True
            if is_endless:
                return False
        with open(dead_letters(), "a", encoding="utf-8") as set_aside:
            set_aside.write(json.dumps({"function": self._function["id"], "why": detail, "Records": batch}) + "\n")
        return True

    def _shards(self) -> list[dict[str, Any]]:
        return self._streams.describe_stream(StreamArn=self._arn)["StreamDescription"]["Shards"]

    def _iterator(self, shard_id: str, position: str) -> str:
        return self._streams.get_shard_iterator(
            StreamArn=self._arn, ShardId=shard_id, ShardIteratorType=position
        )["ShardIterator"]


def run(pump: Pump, stopping: threading.Event) -> None:
    """Pumps until `stopping` is set. While switched off it reads nothing; records are delivered once it is on again."""
    while not stopping.wait(_PAUSE_S):
        try:
            while _turned(pump) and not stopping.is_set():
                pass
        except (ClientError, BotoCoreError) as problem:
            print(f"pump: {problem}", flush=True)
            stopping.wait(2)


def _turned(pump: Pump) -> int:
    """Takes one turn if the switch is on; returns the number of records read."""
    with switches.event(pump.switch, pump.function) as is_on:
        return pump.turn() if is_on else 0
