"""Controls the local stack through its own command."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = CHECKOUT / "infra" / "local" / "stack.py"
sys.path.append(str(COMMAND.parent))

from brevet_local import process, switches  # noqa: E402

# The stack's state folder; `BREVET_LOCAL` moves it for the stack and for the tests.
LOCAL = Path(os.environ.get("BREVET_LOCAL") or CHECKOUT / ".local").expanduser()
LOGS = LOCAL / "log"
FACTS = LOCAL / "facts.json"
CACHE = Path(os.environ.get("BREVET_CACHE") or Path.home() / ".cache" / "brevet").expanduser()
DRIVERS = ("tick", "pump", "standby")
"""The drivers of functions: the schedules, the table's stream, the stream of the reaper's standby ticks."""
BREVET = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target").expanduser() / "debug" / "brevet"
"""The command that an auditor uses."""


class RunnerFailed(RuntimeError):
    """The stack's command failed; the text holds its output."""


def stack(*arguments: str, show: bool = False, env: dict[str, str] | None = None) -> str:
    """Runs `stack.py` with `arguments`. Its output goes to the terminal if `show`; otherwise it is returned."""
    done = subprocess.run(
        [sys.executable, str(COMMAND), *arguments],
        env={**os.environ, **(env or {})},
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RunnerFailed(f"stack.py {' '.join(arguments)}: exit {done.returncode}\n{done.stdout or ''}".rstrip())
    return done.stdout or ""


def audited(answer: dict[str, Any]) -> tuple[bool, str]:
    """Runs `brevet evidence verify` on an answer of `GET …/evidence`; returns whether it verifies, and the output."""
    done = subprocess.run(
        [BREVET, "evidence", "verify", "-"], input=json.dumps(answer), capture_output=True, text=True, check=False
    )
    return done.returncode == 0, (done.stdout or done.stderr).strip()


def is_up() -> bool:
    """Whether a stack is running."""
    return any(one.alive for one in process.recorded())


def pids(function: str) -> list[int]:
    """The process ids of a function's running copies. A process with a reused id does not count."""
    return [one.pid for one in process.recorded() if one.name.startswith(f"fn-{function}-") and one.alive]


def tick() -> None:
    """Ticks every scheduled function once now, whether the tick is on or off."""
    stack("tick", "once")


@cache
def facts() -> dict[str, Any]:
    """The template's facts, as the running stack resolved them."""
    return json.loads(stack("facts"))


def setting(function: str, variable: str) -> str:
    """An environment variable of a function, from the template."""
    return next(one for one in facts()["functions"] if one["id"] == function)["environment"][variable]


@contextmanager
def settings(*functions: str, **changes: str) -> Iterator[None]:
    """In the block the `functions` run with `changes` to their environment variables; afterwards as before."""
    known = json.loads(FACTS.read_text())
    other = copy.deepcopy(known)
    for one in other["functions"]:
        if one["id"] in functions:
            one["environment"].update(changes)
    try:
        _restart(functions, other)
        yield
    finally:
        _restart(functions, known)


def _restart(functions: tuple[str, ...], known: dict[str, Any]) -> None:
    FACTS.write_text(json.dumps(known))
    for function in functions:
        # A real deployment would not cut off a call either.
        with left_alone(function):
            stack("kill", function)
            stack("start", function)


@contextmanager
def left_alone(function: str, *drivers: str) -> Iterator[None]:
    """In the block none of `drivers` drives `function`, and the function handles no event of theirs.

    Without `drivers`: all that drive it now.
    """
    drivers = drivers or tuple(driver for driver in DRIVERS if is_on(driver, function))
    try:
        for driver in drivers:
            turn(driver, False, function)
        yield
    finally:
        for driver in drivers:
            turn(driver, True, function)


@contextmanager
def off(*drivers: str) -> Iterator[None]:
    """In the block none of `drivers` drives any function."""
    try:
        for driver in drivers:
            turn(driver, False)
        yield
    finally:
        for driver in drivers:
            turn(driver, True)


def turn(driver: str, on: bool, function: str | None = None) -> None:
    """Turns a driver on or off for one function, or for all that it drives. Off means that no event of it is under way.

    It runs in this process: starting `stack.py` takes seconds on a busy machine, and tests switch drivers often.
    """
    switches.turn(driver, on, switches.driven(facts(), driver, function), switches.longest_event_s(facts()))


def is_on(driver: str, function: str) -> bool:
    """Whether a driver of the stack drives the function now."""
    by = facts()["schedules"] if driver == "tick" else [one for one in facts()["streams"] if one["switch"] == driver]
    return any(one["function"] == function for one in by) and not (LOCAL / f"{driver}.{function}.off").exists()


def role_arn(name: str) -> str:
    """The ARN of a role of the template, by the last part of its name."""
    return next(role["arn"] for role in facts()["roles"] if role["name"] == f"brevet-dev-{name}")


def api_url() -> str:
    """The URL of the HTTP API."""
    return f"http://127.0.0.1:{os.environ.get('BREVET_PORT_HTTP') or 8080}"
