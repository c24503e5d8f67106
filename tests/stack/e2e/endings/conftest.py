"""The outage takes a minute and begins at once; several tests check its record."""

from __future__ import annotations

import pytest

from observer.world import World

from attachments import Tasks
from stillness import Outage, Stillness


@pytest.fixture(scope="session")
def stillness(world: World, tasks: Tasks) -> Stillness:
    """The record of an outage of issue, reap and every driver. Everything runs again when a test gets it."""
    return Outage(world, tasks).run()
