"""What takes a minute begins with the suite's first test, and is looked at when it is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.world import World

from lives import Lives
from scheduled import Scheduled


@pytest.fixture(scope="session")
def scheduled(world: World, catalogue: Path) -> Scheduled:
    """A window that the catalogue declares, from the suite's first bundle on."""
    return Scheduled(world, catalogue)


@pytest.fixture(autouse=True)
def begun(scheduled: Scheduled, lives: Lives) -> None:
    """Grants run to their ends while the other tests of this folder do their work. `lives` publishes the schedule.

    All of them are there before the first test, so that tests that look for new records do not see these.
    """
    scheduled.hold()
