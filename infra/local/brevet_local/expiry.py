"""Lets DynamoDB Local delete expired items.

Its TTL job builds an item's key from every attribute that the table defines, those of the indexes too. It fails on an
item that lacks one (seen with 1.25.1): in a table with sparse indexes it deletes next to nothing. So this module adds
the missing attributes to expired items, with a value that no query uses. The job still deletes the item and writes the
stream record.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import aws, places

_PAUSE_S = 2.0
_PLACEHOLDER = "expired"


def complete(dynamodb: Any, table: dict[str, Any]) -> int:
    """Adds the missing index keys to every expired item that lacks one. Returns the number of items changed."""
    own = {one["AttributeName"] for one in table["create"]["KeySchema"]}
    index_keys = [
        one["AttributeName"] for one in table["create"]["AttributeDefinitions"] if one["AttributeName"] not in own
    ]
    if not index_keys:
        return 0
    names = {f"#a{at}": name for at, name in enumerate(index_keys)}
    expired = {"#ttl": table["ttl_attribute"]}, {":now": {"N": str(int(time.time()))}}
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table["name"],
        FilterExpression="#ttl <= :now AND (" + " OR ".join(f"attribute_not_exists({one})" for one in names) + ")",
        ExpressionAttributeNames={**names, **expired[0]},
        ExpressionAttributeValues=expired[1],
    )
    n_completed = 0
    for item in (item for page in pages for item in page["Items"]):
        try:
            dynamodb.update_item(
                TableName=table["name"],
                Key={name: item[name] for name in own},
                UpdateExpression="SET " + ", ".join(f"{one} = if_not_exists({one}, :placeholder)" for one in names),
                # Skips an item that was changed or removed meanwhile.
                ConditionExpression="#ttl <= :now",
                ExpressionAttributeNames={**names, **expired[0]},
                ExpressionAttributeValues={**expired[1], ":placeholder": {"S": _PLACEHOLDER}},
            )
            n_completed += 1
        except dynamodb.exceptions.ConditionalCheckFailedException:
            continue
    return n_completed


def run(facts: dict[str, Any], stopping: threading.Event) -> None:
    """Completes expired items until `stopping` is set."""
    dynamodb = aws.client("dynamodb", places.url("dynamodb"))
    while not stopping.wait(_PAUSE_S):
        try:
            complete(dynamodb, facts["table"])
        except (ClientError, BotoCoreError) as problem:
            print(f"expiry: {problem}", flush=True)
