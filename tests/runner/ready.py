"""Before a run: is the machine able, and what stands in the way? Each trouble is one line that says how to go on."""

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
"""For compiled code, tools and logs: from nothing, and where compiled code is there already."""
KEPT_MIB = 2_000
"""Memory that compilers and tests need beside the stacks."""


class Unready(Exception):
    """What stands in the way, in one line for the person at the terminal."""


def free_mib() -> int | None:
    """Memory that can be had without swapping; `None` where the system does not say so."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    except OSError:
        pass
    return None


def stacks(free: int | None, asked: str) -> tuple[int, str]:
    """How many stacks may run at once, with a line that says why if they are fewer than usual.

    Raises `Unready` if `asked` is no such number, or if there is not even memory for one.
    """
    if asked and not (asked.isascii() and len(asked) == 1 and asked.isdigit() and 1 <= int(asked) <= 8):
        raise Unready(f"{STACKS}={asked!r} must be a number of stacks, 1 to 8; leave it unset for up to {MAX_STACKS}")
    wanted = int(asked) if asked else MAX_STACKS
    if free is None:
        return wanted, ""
    fit = (free - KEPT_MIB) // NEEDS_MIB
    if fit < 1:
        raise Unready(f"memory: {free} MiB are free, and one stack beside the compiler needs {KEPT_MIB + NEEDS_MIB} MiB: "
                      "end something, or run `make check`, which needs no stack")  # fmt: skip
    if asked or fit >= wanted:
        return wanted, ""
    return fit, f"memory: {free} MiB are free, so {fit} stacks run at once instead of {wanted}; {STACKS}=N overrides"


def disk(cache: Path, is_built: bool) -> None:
    """Raises `Unready` if compiled code and tools would not fit."""
    folder = next(one for one in (cache, *cache.parents) if one.exists())
    free = shutil.disk_usage(folder).free // 1024**2
    if free < NEEDS_DISK_MIB[is_built]:
        raise Unready(f"disk: {free} MiB are free at {folder}, and {NEEDS_DISK_MIB[is_built]} MiB are needed: make room, or set "
                      "BREVET_CACHE to a folder on another disk")  # fmt: skip


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps a second run out of this one's folder. Raises `Unready` that names the one that is under way."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Unready(f"the suites are being run already (process {lock.read().strip() or '?'}): wait for that run, or stop it") from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def tools(missing: list[object]) -> None:
    """Raises `Unready` with a line for each thing that is not installed."""
    if missing:
        raise Unready("\n".join(map(str, missing)))


if sys.version_info < (3, 10):
    raise SystemExit("the suites need Python 3.10 or newer to start them")
