"""Confirms that the table may be used for issuing, with the `brevet` command, as an operator does."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from . import aws, places
from .process import Trouble


def confirm(facts: dict[str, Any], gate: bool, first: bool) -> str:
    """Writes the confirmation item for the existing table; returns the identity of the confirmed table."""
    dynamodb, table = aws.client("dynamodb", aws.endpoint("dynamodb", gate)), facts["table"]["name"]
    described = {"Table": dynamodb.describe_table(TableName=table)["Table"]}
    command = [places.BINARIES / "brevet", "confirm", "-", "--by", "operator of the local stack", *(["--first"] if first else [])]
    description = json.dumps(described, default=lambda at: at.isoformat())
    done = subprocess.run(command, input=description, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise Trouble(f"confirm: {(done.stderr or done.stdout).strip()}")
    item = json.loads(done.stdout)
    dynamodb.put_item(TableName=table, Item=item)
    return str(json.loads(item["body"]["S"])["table"])
