"""One stack for the suite. Its tick is one minute in the full version and five seconds in the short one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / "stack" / "e2e")]

from observer import runner, targets  # noqa: E402
from observer.tokens import Forge  # noqa: E402
from observer.world import World  # noqa: E402

import attachments  # noqa: E402

IS_FULL = os.environ.get("BREVET_CHAOS") == "full"
TICK_S = 60 if IS_FULL else 5


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Forge, Path]:
    """This run's issuers, and a catalogue with principals for its attachments."""
    forge = Forge()
    return forge, attachments.extend(forge.write_catalogue(tmp_path_factory.mktemp("bundle") / "catalogue"))


@pytest.fixture(scope="session")
def world(catalogue: tuple[Forge, Path]) -> Iterator[World]:
    """The running stack, with the catalogue, the targets and the principals in place."""
    forge, folder = catalogue
    assert not runner.is_up(), "a stack with another tick is up; run `make down` first"
    # The standby tick starts a pass when the tick is late by a quarter of its period.
    standby = {} if IS_FULL else {"BREVET_PARAM_StandbyAfterSeconds": str(TICK_S * 5 // 4)}
    runner.stack("up", env={"BREVET_LOCAL_TICK_S": str(TICK_S), **standby})
    try:
        runner.stack("publish", str(folder))
        targets.create()
        attachments.build()
        made = World(forge)
        made.await_ready()
        yield made
    finally:
        runner.stack("down")


@pytest.fixture(scope="session")
def tasks(world: World) -> Iterator[attachments.Tasks]:
    """The tasks that run as the attachment principals, each repeating its granted call."""
    made = attachments.Tasks(world)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def other_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that changes a process's clock."""
    made = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made
