"""Starts, finds and ends the stack's processes, by records in `.local/pids/`. Standard library only.

Each process leads its own session, so that ending it ends its children too. A record holds the process's start
time as well as its id, so that a reused id is never signalled.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import places

_PATIENCE_S = 10.0
"""Seconds that a process has to end by itself before it is killed."""


class Trouble(Exception):
    """An error for the person at the terminal; its text is the whole message."""


@dataclass(frozen=True)
class Process:
    """One started process: its name in the stack, its id (also its session's), and its start time."""

    name: str
    pid: int
    born: str
    started_at: float

    @property
    def alive(self) -> bool:
        """Whether this process still runs, rather than another one with the same id."""
        return bool(self.born) and birth(self.pid) == self.born

    @property
    def record(self) -> Path:
        """The path of the record."""
        return places.PIDS / f"{self.name}.json"


def birth(pid: int) -> str:
    """The start time of a process, which identifies it beside its id; empty if it does not run or is a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            return ""
        return "" if fields[0] in ("Z", "X") else f"ticks {fields[19]}"
    seen = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, since = seen.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else since.strip()


def recorded() -> list[Process]:
    """Every recorded process, alive or not, sorted by name."""
    found = []
    for record in sorted(places.PIDS.glob("*.json")):
        try:
            found.append(Process(**json.loads(record.read_text())))
        except (ValueError, TypeError, OSError):
            record.unlink(missing_ok=True)
    return found


def alive(name: str) -> Process | None:
    """The running process of that name."""
    return next((process for process in recorded() if process.name == name and process.alive), None)


def start(
    name: str, command: list[str | Path], environment: dict[str, str], cwd: Path | None = None, log: str | None = None
) -> Process:
    """Starts a process in its own session; output goes to `.local/log/<log or name>.log`, appended."""
    places.PIDS.mkdir(parents=True, exist_ok=True)
    places.LOGS.mkdir(parents=True, exist_ok=True)
    with open(log_file(log or name), "ab") as output:
        try:
            child = subprocess.Popen(
                [str(part) for part in command],
                env=environment,
                cwd=cwd or places.LOCAL,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as problem:
            raise Trouble(f"{name}: cannot start {command[0]}: {problem.strerror}") from problem
    process = Process(name, child.pid, birth(child.pid), time.time())
    # Written to another file and renamed, since `recorded` deletes a record that it cannot read.
    half = process.record.with_suffix(".half")
    half.write_text(json.dumps(asdict(process)))
    half.replace(process.record)
    return process


def log_file(name: str) -> Path:
    """The log file of a part."""
    return places.LOGS / f"{name}.log"


def tail(name: str, n_lines: int = 15) -> str:
    """The last lines of a part's log."""
    try:
        return "\n".join(log_file(name).read_text(errors="replace").splitlines()[-n_lines:])
    except OSError:
        return "(no log)"


def _group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(birth(member) for member in _members(pid))


def _members(group: int) -> list[int]:
    """The ids of a process group, also if its leader has ended."""
    if Path("/proc/self/stat").exists():
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except (OSError, UnicodeDecodeError):
                    continue
                if int(fields[2]) == group:
                    found.append(int(entry.name))
        return found
    seen = subprocess.run(["ps", "-A", "-o", "pid=,pgid="], capture_output=True, text=True, check=False)
    pairs = (line.split() for line in seen.stdout.splitlines())
    return [int(pid) for pid, pgid in pairs if int(pgid) == group]


def _signal(process: Process, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def kill(process: Process) -> None:
    """Ends a process at once, as a crash would."""
    if process.alive:
        _signal(process, signal.SIGKILL)
        _await_end([process], _PATIENCE_S)
    process.record.unlink(missing_ok=True)


def stop(processes: list[Process]) -> list[Process]:
    """Terminates processes with their children and kills those that do not end. Returns those that still run."""
    ours = [process for process in processes if process.alive]
    for process in ours:
        _signal(process, signal.SIGTERM)
    for process in _await_end(ours, _PATIENCE_S):
        _signal(process, signal.SIGKILL)
    left = _await_end(ours, _PATIENCE_S)
    for process in processes:
        if process not in left:
            process.record.unlink(missing_ok=True)
    return left


def _await_end(processes: list[Process], patience_s: float) -> list[Process]:
    """Waits until whole process groups are gone; returns the processes whose groups are not."""
    until = time.monotonic() + patience_s
    left = list(processes)
    while left and time.monotonic() < until:
        for process in left:
            _collect(process.pid)
        left = [process for process in left if _group_lives(process.pid)]
        if left:
            time.sleep(0.05)
    return left


def _collect(pid: int) -> None:
    """Reaps a child of this program, so that it does not stay as a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def exit_code(process: Process) -> int | None:
    """The exit code of a child of this program; None while it runs or if it is not a child of this program."""
    try:
        done, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if done else None


def port_is_free(port: int) -> bool:
    """Whether this program could listen on a loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """The process that listens on a port, if `lsof` can tell."""
    if shutil.which("lsof") is None:
        return ""
    seen = subprocess.run(
        ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"], capture_output=True, text=True, check=False
    )
    fields = {line[0]: line[1:] for line in seen.stdout.splitlines() if line}
    return f" (by {fields['c']}, process {fields['p']})" if "p" in fields and "c" in fields else ""


def require_free(part: str) -> None:
    """Raises `Trouble` if a part's port is in use; it names the port, its holder, and the variable that moves it."""
    port = places.port(part)
    if not port_is_free(port):
        raise Trouble(
            f"{part}: port {port} is in use{holder_of(port)}; free it, or set {places.port_variable(part)} to a free port"
        )
