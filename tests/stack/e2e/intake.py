"""Calls with the rights of intake's own role, and the records that a request leaves in the table."""

from __future__ import annotations

import json
from typing import Any

from botocore.response import StreamingBody

from observer import store
from observer.aws import Seen, Session
from observer.store import TABLE

KEPT = ("REQUEST#", "IDEM#", "DECISION#", "GRANT#", "ACT#", "BLOCK#")


def records() -> set[tuple[str, str]]:
    """The keys that a request could create, without evidence, to which grants in the background add entries."""
    return {key for key in store.keys(*KEPT) if not key[1].startswith("EVD#")}


def put(session: Session, pk: str, sk: str, **more: Any) -> Seen:
    client = session.client("dynamodb")
    item = {"pk": {"S": pk}, "sk": {"S": sk}, **more}
    return session.probe(f"PutItem {pk}", lambda: client.put_item(TableName=TABLE, Item=item))


def forget(admin: Session, pk: str, sk: str) -> None:
    admin.client("dynamodb").delete_item(TableName=TABLE, Key={"pk": {"S": pk}, "sk": {"S": sk}})


def invoke(session: Session, function: str, event: Any) -> tuple[Seen, Any]:
    answered: dict[str, Any] = {}

    def call() -> None:
        body: StreamingBody = session.client("lambda").invoke(
            FunctionName=f"brevet-dev-{function}", Payload=json.dumps(event)
        )["Payload"]
        answered["json"] = json.loads(body.read() or b"null")

    return session.probe(f"Invoke {function}", call), answered.get("json")


def ask_record(grant: str, body: dict[str, Any]) -> dict[str, Any]:
    """A request item as intake stores it: a copy of a stored one for another grant and body."""
    stored = next(item for item in store.items() if item["pk"].startswith("REQUEST#grt_"))
    request = json.loads(stored["body"])
    request |= {"id": grant, "ask": {**request["ask"], **body}, "decide_by": "2099-01-01T00:00:00.000Z"}
    return {"v": {"N": "1"}, "body": {"S": json.dumps(request)}}
