"""One stack for a folder of tests, with tokens that only this run can sign.

Each folder is a suite with its own stack, so that folders run in parallel. Within a folder files and tests may run in
any order, and each restores what it changed. `test_reconcile.py` comes last in every suite: it compares the call log
with the evidence of the whole suite.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from observer import runner, targets  # noqa: E402
from observer.tokens import Forge  # noqa: E402
from observer.world import World  # noqa: E402

import attachments  # noqa: E402
from lives import Lives  # noqa: E402

TICK_S = "4"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts reconciliation last, whatever the order of files on the command line."""
    items.sort(key=lambda item: item.path.name == "test_reconcile.py")


@pytest.fixture(scope="session")
def stack() -> Iterator[None]:
    """The running stack: the one that is up, or else a new one for this run."""
    if runner.is_up():
        yield
        return
    runner.stack("up", env={"BREVET_LOCAL_TICK_S": os.environ.get("BREVET_LOCAL_TICK_S", TICK_S)})
    yield
    runner.stack("down")


@pytest.fixture(scope="session")
def forge() -> Forge:
    """This run's issuers."""
    return Forge()


@pytest.fixture(scope="session")
def catalogue(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attachments.extend(forge.write_catalogue(tmp_path_factory.mktemp("bundle") / "catalogue"))


@pytest.fixture(scope="session")
def world(stack: None, forge: Forge, catalogue: Path) -> World:
    """The stack ready for tests: bundle published, targets created, and a good pass of the reaper made."""
    runner.stack("publish", str(catalogue))
    targets.create()
    attachments.build()
    made = World(forge)
    made.await_ready()
    return made


@pytest.fixture(scope="session")
def lives(world: World, catalogue: Path) -> Lives:
    """Grants that run to their ends in the background of the other tests."""
    return Lives(world, catalogue)


@pytest.fixture(scope="session")
def tasks(world: World) -> Iterator[attachments.Tasks]:
    """The tasks of the attachment principals, each repeating its granted call."""
    made = attachments.Tasks(world)
    yield made
    made.stop()


@pytest.fixture
def no_reaper(world: World) -> Iterator[None]:
    """Turns off the tick, the stream and the standby tick, so that no event reaches the reaper."""
    with runner.off(*runner.DRIVERS):
        yield
