"""The call log and table of one suite's stack, kept in a file for the comparison over all suites.

The file is a pickle that this run wrote itself, in the folder `BREVET_RECORDINGS`.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

from .calllog import Call
from .store import Snapshot

VARIABLE = "BREVET_RECORDINGS"


@dataclass(frozen=True)
class Recording:
    """The call log and the table of one stack at rest."""

    suite: str
    log: list[Call]
    snapshot: Snapshot
    naming: frozenset[str] = frozenset()
    """The logs that name a grant. A search for secrets in a log without grants would show nothing."""


def keep(recording: Recording) -> None:
    """Writes a recording, if `BREVET_RECORDINGS` is set."""
    if folder := os.environ.get(VARIABLE):
        (Path(folder) / f"{recording.suite}.pickle").write_bytes(pickle.dumps(recording))


def kept() -> list[bytes]:
    """Every recording of this run, pickled: unpickling a copy for each test is many times faster than `deepcopy`.

    Raises `RuntimeError` if there are no recordings.
    """
    folder = os.environ.get(VARIABLE)
    found = [file.read_bytes() for file in sorted(Path(folder).glob("*.pickle"))] if folder else []
    if not found:
        raise RuntimeError(f"{VARIABLE}={folder!r} holds no recording; run `make test`, whose e2e suites write them first")
    return found
