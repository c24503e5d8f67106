"""TTL backstops: a removal by DynamoDB's TTL invokes the reaper, a deletion by a caller does not."""

from __future__ import annotations

import time

from brevet_local import aws, expiry, places, pump
from brevet_local.invoke import Answer
from enforcement import FACTS, TABLE, client
from observer.patience import until

BACKSTOP = "BACKSTOP#"


def test_only_a_ttl_removal_of_a_backstop_invokes_reap(monkeypatch):
    delivered = []

    def invoke(function, event, _timeout_s):
        delivered.extend((function["id"], record["dynamodb"]["Keys"]["pk"]["S"]) for record in event["Records"])
        return Answer("ok", None)

    monkeypatch.setattr(pump, "invoke", invoke)
    pumps = [pump.Pump(FACTS, mapping) for mapping in FACTS["streams"]]
    for one in pumps:
        one.open()

    def read_until(is_there, what):
        def is_done():
            for one in pumps:
                one.turn()
            return is_there()

        # DynamoDB Local deletes expired items every ten seconds.
        until(is_done, what, every_s=0.2)

    put_expired(f"{BACKSTOP}expired", f"{BACKSTOP}deleted", "IDEM#expired")
    client("dynamodb").delete_item(TableName=TABLE, Key=key_of(f"{BACKSTOP}deleted"))
    assert complete() == 2
    read_until(lambda: delivered and not there("IDEM#expired"), "DynamoDB removes the expired items")
    # A removal after all of these is read after all of these: it shows that nothing else was delivered.
    put_expired(f"{BACKSTOP}last")
    assert complete() == 1
    read_until(lambda: ("reap", f"{BACKSTOP}last") in delivered, "DynamoDB removes the later item")
    assert delivered == [("reap", f"{BACKSTOP}expired"), ("reap", f"{BACKSTOP}last")]


def key_of(pk):
    return {"pk": {"S": pk}, "sk": {"S": "-"}}


def put_expired(*pks):
    for pk in pks:
        client("dynamodb").put_item(TableName=TABLE, Item={**key_of(pk), "ttl": {"N": str(int(time.time()) - 5)}})


def complete():
    """Completes expired items, as the driver does in a full stack. Returns the number of items changed."""
    return expiry.complete(aws.client("dynamodb", places.url("dynamodb")), FACTS["table"])


def there(pk):
    return "Item" in client("dynamodb").get_item(TableName=TABLE, Key=key_of(pk))
