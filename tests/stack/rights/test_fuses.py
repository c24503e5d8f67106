"""The second clock: an expired fuse that DynamoDB itself removes reaches the reaper, one that somebody deletes does not."""

from __future__ import annotations

import time

from brevet_local import aws, expiry, places, pump
from brevet_local.invoke import Answer
from enforcement import FACTS, TABLE, client


def test_a_fuse_that_dynamodb_removes_wakes_reap_and_no_other_removal_does(monkeypatch):
    delivered = []

    def invoke(function, event, _timeout_s):
        delivered.extend((function["id"], record["dynamodb"]["Keys"]["pk"]["S"]) for record in event["Records"])
        return Answer("ok", None)

    monkeypatch.setattr(pump, "invoke", invoke)
    pumps = [pump.Pump(FACTS, mapping) for mapping in FACTS["streams"]]
    for one in pumps:
        one.open()
    dynamodb, expired = client("dynamodb"), {"N": str(int(time.time()) - 5)}
    for pk in ("FUSE#expired", "FUSE#deleted", "IDEM#expired"):
        dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": pk}, "sk": {"S": "-"}, "ttl": expired})
    dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": "FUSE#deleted"}, "sk": {"S": "-"}})
    # DynamoDB Local looks for what has expired every ten seconds.
    until = time.monotonic() + 30
    emulator = aws.client("dynamodb", places.url("dynamodb"))
    assert expiry.complete(emulator, FACTS["table"]) == 2
    while time.monotonic() < until and (not delivered or _there("IDEM#expired")):
        for one in pumps:
            one.turn()
        time.sleep(0.2)
    for one in pumps:
        one.turn()
    assert delivered == [("reap", "FUSE#expired")]


def _there(pk):
    return "Item" in client("dynamodb").get_item(TableName=TABLE, Key={"pk": {"S": pk}, "sk": {"S": "-"}})
