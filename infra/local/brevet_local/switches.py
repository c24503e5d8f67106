"""Switches of the running stack, as files: `tick` and `pump` may be off. Standard library only."""

from __future__ import annotations

from . import places


def is_on(name: str) -> bool:
    """Whether `name` is on; everything is, unless it was turned off."""
    return not (places.LOCAL / f"{name}.off").exists()


def turn(name: str, on: bool) -> None:
    """Turns `name` on or off; the running stack sees it within a fraction of a second."""
    places.LOCAL.mkdir(parents=True, exist_ok=True)
    switch = places.LOCAL / f"{name}.off"
    if on:
        switch.unlink(missing_ok=True)
    else:
        switch.touch()
