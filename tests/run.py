#!/usr/bin/env python3
"""Runs the suites, prints what each showed and the slowest tests, and ends with a plain count.

  run.py check|test [SUITE ...] [-- ARGUMENT ...]   a tier, or some of its suites; arguments go to pytest or nextest
  run.py long [PART ...]                            the long suites, outside CI: each once a commit, with one table
  run.py list                                       the suites of each tier, and what they show

Everything that a run writes is under `.local/test/`. Exit code 0 only if every test passed; 2 if the run could not begin.
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
    """What the command line asks for. Raises `Unready` that says what is wrong with it."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    (tier, *names), more = arguments[:at] or [""], arguments[at + 1 :]
    if tier not in TOOLS:
        raise Unready(f"say `check`, `test`, `long` or `list`, not `{tier}`")
    known = [one.name for one in suites.SUITES if tier in one.tiers]
    if unknown := [name for name in names if name not in known]:
        raise Unready(f"no suite `{'`, `'.join(unknown)}` in `{tier}`; there are {', '.join(known)}")
    chosen = [one for one in suites.SUITES if one.name in (names or known)]
    n_stacks = 1
    if any(one.needs in suites.WITHOUT for one in chosen):
        n_stacks, why = ready.stacks(ready.free_mib(), os.environ.get(ready.STACKS, ""))
        print(why or f"up to {n_stacks} stacks run at once")
    return tier, run.Asked(chosen, more, n_stacks)


def main(arguments: list[str]) -> int:
    """Runs what is asked for; the exit code."""
    began = time.monotonic()
    try:
        tier, wanted = asked(arguments)
        run.seed()
        ready.tools(prerequisites.missing())
        ready.disk(run.CACHE, (run.TARGET / "debug" / "brevet").exists())
        with ready.alone(run.FOLDER):
            going = run.Run(wanted)
            _on_a_signal(going.stop)
            results = going.prepare(TOOLS[tier])
            if all(not one.n_failed for one in results):
                results += going.suites()
            if going.jobs.stopped:
                left = [one for one in results if "left running" in one.trouble]
                print(f"stopped; {'; '.join(one.trouble for one in left) or 'nothing is left running'}", file=sys.stderr)
                return 130
            return 0 if report.show(results, time.monotonic() - began) else 1
    except Unready as problem:
        print(problem, file=sys.stderr)
        return 2


def long_suites(names: list[str]) -> int:
    """Runs the long suites; the exit code. `BREVET_AGAIN=1` runs also what passed on this commit."""
    jobs, again = Jobs(), os.environ.get("BREVET_AGAIN") == "1"
    try:
        wanted, every = long.chosen(names, run.seed(), again)
        ready.tools(prerequisites.missing())
        ready.disk(run.CACHE, is_built=True)
        with ready.alone(run.FOLDER):
            _on_a_signal(jobs.stop)
            well = long.run(wanted, every, jobs, again)
    except Unready as problem:
        print(problem, file=sys.stderr)
        return 2
    return 130 if jobs.stopped else int(not well)


def _on_a_signal(stop: Callable[[], None]) -> None:
    """Ctrl-C, or a request to end, stops what runs; the rest of the run then ends by itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: threading.Thread(target=stop).start())


def listed() -> int:
    """Prints the suites of each tier, and the long ones."""
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
