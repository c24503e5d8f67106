"""Local stacks for suites, each with its own folder and ports, and their use of CPU and memory."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .job import Jobs

PORTS = ("LOCALSTACK", "DYNAMODB", "GATE", "LAMBDA", "HTTP")
FIRST_PORT, LAST_PORT = 21_000, 21_999
NEEDS_MIB = 1_500
"""A stack's peak memory with a margin; the report prints the actual peak as `stack … MiB`."""
_SAMPLE_S = 5.0
_UP_WITHIN_S, _DOWN_WITHIN_S = 600, 120
_MISSING = "no port from {first} to {last} is free: stop the programs that listen there, and run again"


@dataclass
class Usage:
    """CPU seconds of a stack's processes, and their peak memory together, in MiB."""

    cpu_s: float = 0.0
    peak_mib: float = 0.0
    _cpu_by_process: dict[tuple[int, str], float] = field(default_factory=dict)

    def sample(self, pids: Path) -> None:
        """Samples every recorded process and its children. Linux only; elsewhere the figures stay 0."""
        groups = {record[0] for one in pids.glob("*.json") if (record := _record(one)) == _alive(record[0])}
        kib = 0.0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) not in groups:
                    continue
                # User and system time, own and of ended children, in ticks. The start time identifies a reused id.
                ticks = sum(int(fields[n]) for n in (11, 12, 13, 14))
                self._cpu_by_process[int(stat.parent.name), fields[19]] = ticks / os.sysconf("SC_CLK_TCK")
                kib += _proportional_kib(stat.parent)
            except (OSError, ValueError, IndexError):
                # The process ended meanwhile.
                continue
        self.cpu_s = sum(self._cpu_by_process.values())
        self.peak_mib = max(self.peak_mib, kib / 1024)


def _record(file: Path) -> tuple[int, str]:
    """The process id and start time in a record of the stack."""
    try:
        record = json.loads(file.read_text())
        return int(record["pid"]), str(record["born"])
    except (OSError, ValueError, KeyError):
        return -1, ""


def _alive(pid: int) -> tuple[int, str]:
    """The process id and the start time of the process that has it now, since ids are reused."""
    try:
        return pid, "ticks " + Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return pid, "gone"


def _proportional_kib(process: Path) -> float:
    """The proportional memory of a process (PSS), in KiB."""
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    return 0.0


@dataclass(frozen=True)
class Stack:
    """A running stack: the environment variables with which commands find it, and its usage so far."""

    environment: dict[str, str]
    usage: Usage


_taken: set[int] = set()
_taking = threading.Lock()


@contextmanager
def ports() -> Iterator[dict[str, str]]:
    """Yields a free loopback port for each part, as environment variables. This run's other stacks get other ports."""
    with _taking:
        free = [port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in _taken and _is_free(port)][: len(PORTS)]
        if len(free) < len(PORTS):
            raise RuntimeError(_MISSING.format(first=FIRST_PORT, last=LAST_PORT))
        _taken.update(free)
    try:
        yield {f"BREVET_PORT_{name}": str(port) for name, port in zip(PORTS, free)}
    finally:
        with _taking:
            _taken.difference_update(free)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def running(jobs: Jobs, checkout: Path, folder: Path, log: Path, without: str, is_up: bool) -> Iterator[Stack]:
    """Runs a stack for one suite and stops it afterwards in any case.

    With `is_up` false it only prepares a folder and ports: the suite starts the stack itself. Raises `RuntimeError` if
    the stack does not start, or if any of its processes is left running.
    """
    command = [sys.executable, str(checkout / "infra" / "local" / "stack.py")]
    with ports() as given:
        environment = {**given, "BREVET_LOCAL": str(folder), "BREVET_LOCAL_TICK_S": "4"}
        usage, over = Usage(), threading.Event()

        def watch() -> None:
            while not over.wait(_SAMPLE_S):
                usage.sample(folder / "pids")

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            if is_up:
                up = jobs.run([*command, "up", "--without", without], log, cwd=checkout, within_s=_UP_WITHIN_S, more=environment)
                if up.code != 0:
                    raise RuntimeError(f"the stack did not start (exit code {up.code})")
            yield Stack(environment, usage)
        finally:
            usage.sample(folder / "pids")
            over.set()
            watching.join()
            if not down(checkout, folder, log):
                raise RuntimeError(f"processes of the stack are left running: see {log}")


def down(checkout: Path, folder: Path, log: Path) -> bool:
    """Stops the stack of a folder; returns whether no process of it is left.

    It works also after an interruption, when the run's own `Jobs` starts no job any more.
    """
    command = [sys.executable, str(checkout / "infra" / "local" / "stack.py"), "down"]
    return Jobs().run(command, log, cwd=checkout, within_s=_DOWN_WITHIN_S, more={"BREVET_LOCAL": str(folder)}).code == 0
