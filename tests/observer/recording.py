"""What one suite's stack saw, kept in a file, so that what is compared over all suites is compared once they are over.

The file is a pickle that this run wrote itself, in a folder named by `BREVET_RECORDINGS`.
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
    """The logs in which a grant is named, so that searching them for secrets shows something."""


def keep(recording: Recording) -> None:
    """Writes a recording, if this run wants any."""
    if folder := os.environ.get(VARIABLE):
        (Path(folder) / f"{recording.suite}.pickle").write_bytes(pickle.dumps(recording))


def kept() -> list[bytes]:
    """Every recording of this run, to be had again and again: copying one piece by piece takes many times as long.

    Raises `RuntimeError` that says how to get them, if there are none.
    """
    folder = os.environ.get(VARIABLE)
    found = [file.read_bytes() for file in sorted(Path(folder).glob("*.pickle"))] if folder else []
    if not found:
        raise RuntimeError(f"no recording of a suite in {VARIABLE}={folder!r}: `make test` runs the suites that keep them first")
    return found
