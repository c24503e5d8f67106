"""Reads the table with the administrator's key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from .aws import Session

TABLE = "brevet-dev"

_READ = TypeDeserializer()


@cache
def admin() -> Any:
    """A client for the table, with the administrator's key."""
    return Session.admin().client("dynamodb")


def items(table: str = TABLE) -> list[dict[str, Any]]:
    """Every item of the table, with plain Python values."""
    client = admin()
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = client.scan(TableName=table, ConsistentRead=True, **more)
        found += [{name: _READ.deserialize(value) for name, value in item.items()} for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return found
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def keys(*prefixes: str, table: str = TABLE) -> set[tuple[str, str]]:
    """The keys of items whose partition key starts with one of `prefixes`."""
    return {(item["pk"], item["sk"]) for item in items(table) if item["pk"].startswith(prefixes)}


@dataclass
class Snapshot:
    """Grants (in the order of their requests), their evidence, sweep findings and drill records at one time."""

    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    evidence: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    drills: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def snapshot(table: str = TABLE) -> Snapshot:
    """Reads every grant (the body of its item) with its chain in order."""
    found = Snapshot()
    for item in items(table):
        kind, _, grant = item["pk"].partition("#")
        if kind == "FINDING":
            found.findings.append(json.loads(item["body"]))
        if kind == "DRILL":
            found.drills.setdefault(grant, []).append(json.loads(item["body"]))
        if kind != "GRANT" or not grant.startswith("grt_"):
            continue
        if item["sk"] == "META":
            found.grants[grant] = json.loads(item["body"])
        elif item["sk"].startswith("EVD#"):
            found.evidence.setdefault(grant, []).append(json.loads(item["body"]))
    # A ULID begins with its time; a scan returns items in no particular order.
    found.grants = dict(sorted(found.grants.items()))
    for chain in found.evidence.values():
        chain.sort(key=lambda entry: entry["seq"])
    for records in found.drills.values():
        records.sort(key=lambda record: record["seq"])
    found.findings.sort(key=lambda finding: finding["seq"])
    return found
