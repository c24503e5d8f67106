"""Lets DynamoDB Local delete what has expired.

Its job builds an item's key from every attribute that the table defines, those of the indexes too, and fails on an item
that lacks one (seen with 1.25.1): in a table with sparse indexes it deletes next to nothing. So an item that has expired
is given the missing ones here, as a word that nobody looks for; deleting it, and saying so on the stream, stays the job's.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import aws, places

_PAUSE_S = 2.0
_WORD = "expired"


def complete(dynamodb: Any, table: dict[str, Any]) -> int:
    """Completes every expired item that lacks a key of an index; returns how many."""
    own = {one["AttributeName"] for one in table["create"]["KeySchema"]}
    wanted = [
        one["AttributeName"] for one in table["create"]["AttributeDefinitions"] if one["AttributeName"] not in own
    ]
    if not wanted:
        return 0
    names = {f"#a{at}": name for at, name in enumerate(wanted)}
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
                UpdateExpression="SET " + ", ".join(f"{one} = if_not_exists({one}, :word)" for one in names),
                # Unless somebody changed or removed it meanwhile.
                ConditionExpression="#ttl <= :now",
                ExpressionAttributeNames={**names, **expired[0]},
                ExpressionAttributeValues={**expired[1], ":word": {"S": _WORD}},
            )
            n_completed += 1
        except dynamodb.exceptions.ConditionalCheckFailedException:
            continue
    return n_completed


def run(facts: dict[str, Any], stopping: threading.Event) -> None:
    """Completes what expires until told to stop."""
    dynamodb = aws.client("dynamodb", places.url("dynamodb"))
    while not stopping.wait(_PAUSE_S):
        try:
            complete(dynamodb, facts["table"])
        except (ClientError, BotoCoreError) as problem:
            print(f"expiry: {problem}", flush=True)
