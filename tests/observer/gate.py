"""The gate's own routes: its call log, and the faults that it injects."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any, Iterator

import requests

from .aws import gate_url


def _ask(method: str, path: str, **more: Any) -> Any:
    answer = requests.request(method, f"{gate_url()}/_gate/{path}", timeout=30, **more)
    if answer.status_code != 200:
        raise RuntimeError(f"{method} /_gate/{path}: {answer.status_code} {answer.text[:300]}")
    return answer.json()


def log(since: int = 0, *, whole_within_s: float = 15) -> list[dict[str, Any]]:
    """Every call with a number above `since`, once no call is under way or `whole_within_s` has passed."""
    until = time.monotonic() + whole_within_s
    while True:
        extract = _ask("GET", f"log?since={since}")
        if extract["n_in_flight"] == 0 or time.monotonic() > until:
            return extract["entries"]
        time.sleep(0.2)


def last() -> int:
    """The number of the last finished call."""
    entries = _ask("GET", "log?since=0")["entries"]
    return entries[-1]["n"] if entries else 0


def fired() -> dict[str, int]:
    """The number of times that each armed rule has fired."""
    return {rule["id"]: rule["n_fired"] for rule in _ask("GET", "faults")["rules"]}


def arm(*rules: dict[str, Any]) -> None:
    """Adds `rules` to the armed ones."""
    _ask("POST", "faults", json={"rules": list(rules)})


def disarm() -> None:
    """Removes every rule."""
    _ask("DELETE", "faults")


def issuer(at: str | None) -> None:
    """Sets the signer of web identity tokens, as `host:port`; `None` removes it."""
    _ask("POST", "issuer", json={"at": at})


@contextmanager
def faults(*rules: dict[str, Any]) -> Iterator[None]:
    """Arms `rules` (each with an `id` and a `kind`) in the block; each must have fired by its end."""
    disarm()
    arm(*rules)
    try:
        yield
        seen = fired()
    finally:
        disarm()
    missed = [rule["id"] for rule in rules if not seen.get(rule["id"])]
    assert not missed, f"these faults never fired, so the test shows nothing: {missed}"
