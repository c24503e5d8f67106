"""Switches of the running stack, as files: `tick` and `pump` may be off, for each function that they drive. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import places
from .process import Trouble

_DRIVEN_BY = {"tick": "schedules", "pump": "streams"}


def driven(facts: dict[str, Any], name: str, function: str | None = None) -> list[str]:
    """The functions that `name` drives, or just `function`. Raises `Trouble` if it does not drive that one."""
    known = [one["function"] for one in facts[_DRIVEN_BY[name]]]
    if function is None:
        return known
    if function not in known:
        raise Trouble(f"{name} does not drive `{function}`; it drives {', '.join(known)}")
    return [function]


def is_on(name: str, function: str) -> bool:
    """Whether `name` drives `function` now; it does, unless it was turned off."""
    return not _off(name, function).exists()


def turn(name: str, on: bool, functions: Iterable[str]) -> None:
    """Turns `name` on or off for `functions`; the running stack sees it within a fraction of a second."""
    places.LOCAL.mkdir(parents=True, exist_ok=True)
    for function in functions:
        if on:
            _off(name, function).unlink(missing_ok=True)
        else:
            _off(name, function).touch()


def all_on() -> None:
    """Turns everything on, whatever an earlier run left."""
    for name in _DRIVEN_BY:
        for switch in places.LOCAL.glob(f"{name}.*off"):
            switch.unlink()


def _off(name: str, function: str) -> Path:
    return places.LOCAL / f"{name}.{function}.off"
