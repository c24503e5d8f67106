#!/usr/bin/env python3
"""Runs the suites, prints each suite's result and the slowest tests, and ends with a plain count.

  run.py check|test [SUITE ...] [-- ARGUMENT ...]   a tier, or some of its suites; arguments go to pytest or nextest
  run.py long [PART ...]                            the long suites, outside CI: each once a commit, with one table
  run.py list                                       the suites of each tier, with a description

A run writes only under `.local/test/`. Exit code 0 only if every test passed; 2 if the run could not begin.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "infra" / "local")]

from brevet_local import prerequisites  # noqa: E402

from runner import long, ready, report, run, suites  # noqa: E402
from runner.job import Jobs  # noqa: E402
from runner.ready import Unready  # noqa: E402

TOOLS = {"check": ["tests", "decider", "actionlint"], "test": ["all"]}


def asked(arguments: list[str]) -> tuple[str, run.Asked]:
    """Parses the command line to a tier and the requested suites. Raises `Unready` if it is wrong."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    (tier, *names), more = arguments[:at] or [""], arguments[at + 1 :]
    if tier not in TOOLS:
        raise Unready(f"unknown command `{tier}`: use `check`, `test`, `long` or `list`")
    known = [one.name for one in suites.SUITES if tier in one.tiers]
    if unknown := [name for name in names if name not in known]:
        raise Unready(f"unknown suite `{'`, `'.join(unknown)}` in `{tier}`; its suites are {', '.join(known)}")
    chosen = [one for one in suites.SUITES if one.name in (names or known)]
    n_stacks = 1
    if any(one.needs in suites.WITHOUT for one in chosen):
        n_stacks, why = ready.stacks(ready.free_mib(), os.environ.get(ready.STACKS, ""))
        print(why or f"up to {n_stacks} stacks run at once")
    return tier, run.Asked(chosen, more, n_stacks)


def main(arguments: list[str]) -> int:
    """Runs the requested suites; returns the exit code."""
    began = time.monotonic()
    try:
        tier, request = asked(arguments)
        run.seed()
        ready.tools(prerequisites.missing())
        ready.disk(run.CACHE, (run.TARGET / "debug" / "brevet").exists())
        with ready.alone(run.FOLDER):
            current = run.Run(request)
            _on_a_signal(current.stop)
            results = current.prepare(TOOLS[tier])
            if all(not one.n_failed for one in results):
                results += current.suites()
            if current.jobs.stopped:
                left = [one for one in results if "left running" in one.trouble]
                print(f"stopped; {'; '.join(one.trouble for one in left) or 'nothing is left running'}", file=sys.stderr)
                return 130
            return 0 if report.show(results, time.monotonic() - began) else 1
    except Unready as problem:
        print(problem, file=sys.stderr)
        return 2


def long_suites(names: list[str]) -> int:
    """Runs the long suites; returns the exit code. `BREVET_AGAIN=1` repeats parts that passed on this commit."""
    jobs, again = Jobs(), os.environ.get("BREVET_AGAIN") == "1"
    try:
        selected, every = long.chosen(names, run.seed(), again)
        ready.tools(prerequisites.missing())
        ready.disk(run.CACHE, is_built=True)
        with ready.alone(run.FOLDER):
            _on_a_signal(jobs.stop)
            passed = long.run(selected, every, jobs, again)
    except Unready as problem:
        print(problem, file=sys.stderr)
        return 2
    return 130 if jobs.stopped else int(not passed)


def _on_a_signal(stop: Callable[[], None]) -> None:
    """Makes Ctrl-C and termination signals stop the running jobs; the run then ends by itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: threading.Thread(target=stop).start())


def listed() -> int:
    """Prints the suites of each tier and the parts of the long suites."""
    for one in suites.SUITES:
        print(f"{one.name:<14} {'/'.join(sorted(one.tiers)):<11} {one.shows} (needs {one.needs.value})")
    for part in long.parts(seed=1, again=False):
        print(f"{part.name:<14} {'long':<11} {part.shows}")
    return 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["list"]:
            sys.exit(listed())
        case ["long", *parts]:
            sys.exit(long_suites(parts))
        case _:
            sys.exit(main(sys.argv[1:]))
