"""What takes a minute here begins at once, and several tests look at what was recorded of it."""

from __future__ import annotations

import pytest

from observer.world import World

from attachments import Tasks
from stillness import Course, Stillness


@pytest.fixture(scope="session")
def stillness(world: World, tasks: Tasks) -> Stillness:
    """A while in which nobody ends anything. It is over, and everything runs again, when a test gets to see it."""
    return Course(world, tasks).run()
