"""Verifies an evidence chain from its bytes alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

ZERO = "0" * 64


class BrokenChain(AssertionError):
    """A chain does not verify; the text says which entry, and why."""


def canonical(value: Any) -> str:
    """Canonical JSON (RFC 8785) of `value`, for values that evidence may hold.

    The standard library's form is canonical if the value has no floating-point numbers and all keys lie in the Basic
    Multilingual Plane. This function checks both. Source: <https://www.rfc-editor.org/rfc/rfc8785>, section 3.2.
    """
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _check(value: Any) -> None:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > 2**53):
        raise BrokenChain(f"evidence holds a number that is not a safe integer: {value}")
    if isinstance(value, dict):
        for key, inner in value.items():
            if any(ord(c) > 0xFFFF for c in key):
                raise BrokenChain(f"evidence holds a key outside the Basic Multilingual Plane: {key!r}")
            _check(inner)
    if isinstance(value, list):
        for inner in value:
            _check(inner)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def verify(grant: str, head: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """Checks sequence numbers, links, hashes, owner and head.

    Raises `BrokenChain` for the first check that fails.
    """
    before = {"seq": 0, "hash": ZERO}
    for entry in entries:
        seq = entry["seq"]
        if seq != before["seq"] + 1:
            raise BrokenChain(f"{grant}: entry {before['seq'] + 1} is missing; entry {seq} comes in its place")
        if entry["grant"] != grant:
            raise BrokenChain(f"{grant}: entry {seq} belongs to {entry['grant']}")
        if entry["prev"] != before["hash"]:
            raise BrokenChain(f"{grant}: entry {seq} does not follow from entry {before['seq']}")
        body = {key: value for key, value in entry.items() if key != "hash"}
        if digest(body) != entry["hash"]:
            raise BrokenChain(f"{grant}: entry {seq} was altered")
        before = {"seq": seq, "hash": entry["hash"]}
    if not entries:
        raise BrokenChain(f"{grant}: it has no evidence")
    if before != head:
        raise BrokenChain(f"{grant}: the chain ends at entry {before['seq']}, but the grant's head names entry {head['seq']}")
