"""Checks before a run whether the machine can do it. Each problem is one line that says what to do."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .stacks import NEEDS_MIB

MAX_STACKS = 4
STACKS = "BREVET_TEST_STACKS"
NEEDS_DISK_MIB = {False: 12_000, True: 1_500}
"""Disk space for compiled code, tools and logs: for a first build, and once code has been compiled."""
KEPT_MIB = 2_000
"""Memory that compilers and tests need beside the stacks."""


class Unready(Exception):
    """A problem that prevents the run, in one line for the person at the terminal."""


def free_mib() -> int | None:
    """The memory available without swapping; `None` if the system does not report it."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return None


def stacks(free: int | None, asked: str) -> tuple[int, str]:
    """The number of stacks that may run in parallel, and the reason if it is fewer than usual.

    Raises `Unready` if `asked` is not such a number, or if memory is too short for one stack.
    """
    if asked and not (asked.isascii() and len(asked) == 1 and asked.isdigit() and 1 <= int(asked) <= 8):
        raise Unready(f"{STACKS}={asked!r} must be a number of stacks, 1 to 8; leave it unset for up to {MAX_STACKS}")
    requested = int(asked) if asked else MAX_STACKS
    if free is None:
        return requested, ""
    fit = (free - KEPT_MIB) // NEEDS_MIB
    if fit < 1:
        raise Unready(f"memory: {free} MiB are free, and one stack beside the compiler needs {KEPT_MIB + NEEDS_MIB} MiB: "
                      "close other programs, or run `make check`, which needs no stack")  # fmt: skip
    if asked or fit >= requested:
        return requested, ""
    return fit, f"memory: {free} MiB are free, so {fit} stacks run at once instead of {requested}; {STACKS}=N overrides"


def disk(cache: Path, is_built: bool) -> None:
    """Raises `Unready` if the disk has too little space for compiled code and tools."""
    folder = next(one for one in (cache, *cache.parents) if one.exists())
    free = shutil.disk_usage(folder).free // 1024**2
    if free < NEEDS_DISK_MIB[is_built]:
        raise Unready(f"disk: {free} MiB are free at {folder}, and {NEEDS_DISK_MIB[is_built]} MiB are needed: free some space, or set "
                      "BREVET_CACHE to a folder on another disk")  # fmt: skip


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Locks a run's folder against a second run. Raises `Unready` that names the process of a run under way."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Unready(f"another run of the suites is under way (process {lock.read().strip() or '?'}): wait for it, or stop it") from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def tools(missing: list[object]) -> None:
    """Raises `Unready` with a line for each missing program."""
    if missing:
        raise Unready("\n".join(map(str, missing)))


if sys.version_info < (3, 10):
    raise SystemExit("the runner of the suites needs Python 3.10 or newer")
