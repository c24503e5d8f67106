"""Compiles a catalogue with the `brevet` command and puts the bundle in force."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from . import aws, places
from .process import Trouble


def publish(facts: dict[str, Any], gate: bool, folder: Path = places.CATALOGUE) -> str:
    """Writes the bundle's parts, then names its digest as current; returns the digest.

    Raises `Trouble` with the compiler's message if it rejects the catalogue.
    """
    command = places.BINARIES / "brevet"
    try:
        done = subprocess.run([command, "bundle", folder], capture_output=True, text=True, check=False, timeout=120)
    except OSError as problem:
        raise Trouble(f"publish: cannot run {command}: {problem.strerror}; run `make build` first") from problem
    if done.returncode != 0:
        raise Trouble(f"publish: `brevet bundle {folder}` rejected the catalogue:\n{(done.stderr or done.stdout).strip()}")
    bundle = json.loads(done.stdout)
    dynamodb = aws.client("dynamodb", aws.endpoint("dynamodb", gate))
    table, digest = facts["table"]["name"], bundle["digest"]
    for part, body in sorted(bundle["parts"].items()):
        dynamodb.put_item(
            TableName=table, Item={"pk": {"S": f"BUNDLE#{digest}"}, "sk": {"S": part}, "body": {"S": body}}
        )
    # Last: the previous bundle stays in force until here.
    dynamodb.put_item(
        TableName=table, Item={"pk": {"S": "BUNDLE#current"}, "sk": {"S": "-"}, "digest": {"S": digest}}
    )
    return digest
