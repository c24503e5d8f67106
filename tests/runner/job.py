"""A run's child processes: output goes to a file, process groups end with the run, and CPU time is measured."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_GRACE_S = 30.0
"""A process group has this many seconds to end before it is killed. Planting bugs needs 20 s to stop its children."""


@dataclass(frozen=True)
class Done:
    """The result of a job: exit code (negative: ended by that signal), and wall and CPU seconds, children included."""

    code: int
    wall_s: float
    cpu_s: float
    timed_out: bool = False

    @property
    def passed(self) -> bool:
        """Whether it succeeded within its time limit."""
        return self.code == 0 and not self.timed_out


class Jobs:
    """The running jobs. Once stopped it starts no job, so that none outlives an interrupted run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self.stopped = False

    def run(self, command: list[str], log: Path, *, cwd: Path, within_s: float, more: Mapping[str, str] | None = None,
            nice: int = 0) -> Done:  # fmt: skip
        """Runs `command` to its end or its time limit.

        `more` adds to its environment; its output is appended to `log`.
        """
        if nice:
            command = ["nice", "-n", str(nice), *command]
        began = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            with self._lock:
                if self.stopped:
                    return Done(-signal.SIGINT, 0.0, 0.0)
                try:
                    child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(more or {})}, stdin=subprocess.DEVNULL,
                                             stdout=output, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
                except OSError as problem:
                    output.write(f"cannot start {command[0]}: {problem.strerror}\n".encode())
                    return Done(127, 0.0, 0.0)
                self._groups.add(child.pid)
        if nice:
            _give_way(child.pid, nice)
        timed_out = threading.Event()
        limit = threading.Timer(within_s, lambda: (timed_out.set(), end_group(child.pid)))
        limit.start()
        try:
            _, status, used = os.wait4(child.pid, 0)
        finally:
            limit.cancel()
            end_group(child.pid)
            with self._lock:
                self._groups.discard(child.pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        return Done(child.returncode, time.monotonic() - began, used.ru_utime + used.ru_stime, timed_out.is_set())

    def stop(self) -> None:
        """Ends every running job with its children, and starts no more."""
        with self._lock:
            self.stopped = True
            groups = list(self._groups)
        for group in groups:
            end_group(group)


def end_group(group: int) -> None:
    """Terminates a process group, and kills it if it still runs after `_GRACE_S`."""
    if not _signal(group, signal.SIGTERM):
        return
    until = time.monotonic() + _GRACE_S
    while time.monotonic() < until:
        time.sleep(0.05)
        # Signal 0 only checks whether the group exists.
        if not _signal(group, 0):
            return
    _signal(group, signal.SIGKILL)


def _give_way(session: int, nice: int) -> None:
    """Lowers the priority of a whole session. With Linux's autogroups, `nice` itself works only within a session."""
    try:
        Path(f"/proc/{session}/autogroup").write_text(str(nice))
    except OSError:
        # Not Linux, or a kernel without autogroups: `nice` alone is enough.
        pass


def _signal(group: int, number: int) -> bool:
    """Signals a group; returns whether it exists. A group of uncollected zombies counts as gone."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
