"""Starts everything that takes long with the suite's first test; the tests check it once it is over.

Grants are issued first. Then the drill begins: until it has passed, only its canaries are issued.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import ModuleType
from typing import Any

import pytest

from observer.world import World

from attachments import Tasks

DRILL = "test_drill"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the drill's tests behind the others, which run while the drill is under way, and reconciliation last."""
    items.sort(key=lambda item: item.path.stem in (DRILL, "test_reconcile"))
    items.sort(key=lambda item: item.path.stem == "test_reconcile")


@pytest.fixture(scope="session")
def begun(request: pytest.FixtureRequest, world: World, tasks: Tasks) -> Iterator[dict[str, Future[Any]]]:
    """The result of each file's `begin`, by the file's name."""
    modules: dict[str, ModuleType] = {
        item.path.stem: item.module
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item.module, "begin")
    }
    drill = modules.pop(DRILL, None)
    with ThreadPoolExecutor() as pool:
        found: dict[str, Future[Any]] = {name: pool.submit(module.begin, world, tasks) for name, module in modules.items()}
        wait(found.values())
        if drill:
            found[DRILL] = pool.submit(drill.begin, world)
        yield found
