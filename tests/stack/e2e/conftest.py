"""One stack for the whole suite, with tokens that only this run can sign.

Files run in the order of `ORDER`: what needs the reaper off comes after what needs it on, and the call log is
reconciled with the evidence at the end, over everything that the suite did.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from observer import runner, targets  # noqa: E402
from observer.tokens import Forge  # noqa: E402
from observer.world import World  # noqa: E402

import attachments  # noqa: E402
from doomed import Doomed  # noqa: E402
from lives import Lives  # noqa: E402

ORDER = [
    "test_bad_asks.py",
    # Early: DynamoDB Local's own deletions walk the whole table slowly, so it must be small.
    "test_attach_down.py",
    "test_bad_tokens.py",
    "test_not_yours.py",
    "test_idempotency.py",
    "test_explain.py",
    "test_lying_intake.py",
    "test_approvals.py",
    "test_steps.py",
    "test_schedule.py",
    "test_delegation.py",
    "test_renewal.py",
    "test_lives.py",
    "test_without_reaper.py",
    "test_faults.py",
    "test_attach_faults.py",
    "test_attach_kills.py",
    "test_sweep.py",
    "test_echo.py",
    "test_kill_switch.py",
    "test_overdue.py",
    # Late: until each drill has passed nothing is issued.
    "test_drill.py",
    # Nobody on call has anything ordinary until its use was reviewed.
    "test_break_glass.py",
    "test_rotation.py",
    "test_kills.py",
    "test_reconcile.py",
]
BEFORE_LIVES = ("test_bad_asks.py", "test_attach_down.py")
TICK_S = "2"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files in order; one that is not in the list is an error, not a test that runs anywhere."""
    if unknown := {item.path.name for item in items} - set(ORDER):
        raise pytest.UsageError(f"conftest.py has no place for {sorted(unknown)}")
    items.sort(key=lambda item: ORDER.index(item.path.name))


@pytest.fixture(scope="session")
def stack() -> Iterator[None]:
    """The running stack: the one that is up, or one for this run alone."""
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
    """The catalogue of this run."""
    return attachments.extend(forge.write_catalogue(tmp_path_factory.mktemp("bundle") / "catalogue"))


@pytest.fixture(scope="session")
def world(stack: None, forge: Forge, catalogue: Path) -> World:
    """Everything in place: bundle published, targets there, the heart beating."""
    runner.stack("publish", str(catalogue))
    targets.create()
    attachments.build()
    made = World(forge)
    made.await_ready()
    return made


@pytest.fixture(scope="session")
def lives(world: World, catalogue: Path) -> Lives:
    """Grants that run to their ends behind the other tests."""
    return Lives(world, catalogue)


@pytest.fixture(scope="session")
def tasks(world: World) -> Iterator[attachments.Tasks]:
    """The tasks that attachments are for, each trying its call all the time."""
    made = attachments.Tasks(world)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def doomed(tasks: attachments.Tasks) -> Doomed:
    """Grants that run to their deadlines before there is nobody left to end them."""
    return Doomed(tasks)


@pytest.fixture(autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    """What goes on behind the tests: the doomed first, then lives, which need somebody to end them."""
    early = request.path.name in BEFORE_LIVES
    request.getfixturevalue("doomed" if early else "lives")


@pytest.fixture
def no_reaper(world: World) -> Iterator[None]:
    """Neither ticks nor stream records nor its own echoes reach the reaper."""
    with runner.off(*runner.DRIVERS):
        yield
