"""TTL backstops: an expired one that DynamoDB itself removes reaches the reaper, one that somebody deletes does not."""

from __future__ import annotations

import time

from brevet_local import aws, expiry, places, pump
from brevet_local.invoke import Answer
from enforcement import FACTS, TABLE, client
from observer.patience import until

BACKSTOP = "FUSE#"  # words: allow (the table's key, as the product writes it)


def test_ttl_backstop_that_dynamodb_removes_wakes_reap_and_no_other_removal_does(monkeypatch):
    delivered = []

    def invoke(function, event, _timeout_s):
        delivered.extend((function["id"], record["dynamodb"]["Keys"]["pk"]["S"]) for record in event["Records"])
        return Answer("ok", None)

    monkeypatch.setattr(pump, "invoke", invoke)
    pumps = [pump.Pump(FACTS, mapping) for mapping in FACTS["streams"]]
    for one in pumps:
        one.open()

    def read_until(is_there, what):
        def look():
            for one in pumps:
                one.turn()
            return is_there()

        # DynamoDB Local looks for what has expired every ten seconds.
        until(look, what, every_s=0.2)

    put_expired(f"{BACKSTOP}expired", f"{BACKSTOP}deleted", "IDEM#expired")
    client("dynamodb").delete_item(TableName=TABLE, Key=key_of(f"{BACKSTOP}deleted"))
    assert complete() == 2
    read_until(lambda: delivered and not there("IDEM#expired"), "DynamoDB removes what has expired")
    # What is removed after all of them is read after all of them: nothing else was delivered.
    put_expired(f"{BACKSTOP}last")
    assert complete() == 1
    read_until(lambda: ("reap", f"{BACKSTOP}last") in delivered, "DynamoDB removes what expired later")
    assert delivered == [("reap", f"{BACKSTOP}expired"), ("reap", f"{BACKSTOP}last")]


def key_of(pk):
    return {"pk": {"S": pk}, "sk": {"S": "-"}}


def put_expired(*pks):
    for pk in pks:
        client("dynamodb").put_item(TableName=TABLE, Item={**key_of(pk), "ttl": {"N": str(int(time.time()) - 5)}})


def complete():
    """Does for expired items what the driver does where one runs; how many there were."""
    return expiry.complete(aws.client("dynamodb", places.url("dynamodb")), FACTS["table"])


def there(pk):
    return "Item" in client("dynamodb").get_item(TableName=TABLE, Key=key_of(pk))
