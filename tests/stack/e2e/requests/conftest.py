"""Starts the grants that take a minute with the suite's first test, and checks them once they are over."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.world import World

from lives import Lives
from scheduled import Scheduled


@pytest.fixture(scope="session")
def scheduled(world: World, catalogue: Path) -> Scheduled:
    """A scheduled window in the catalogue, from the suite's first bundle on."""
    return Scheduled(world, catalogue)


@pytest.fixture(autouse=True)
def begun(scheduled: Scheduled, lives: Lives) -> None:
    """Starts the background grants of this folder; `lives` publishes the schedule.

    All of them exist before the first test, so that tests that check for new records do not see them.
    """
    scheduled.hold()
