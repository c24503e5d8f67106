#!/usr/bin/env python3
"""Plays the five cases of the example catalogue on the local stack, from request to proof of ending.

Usage: demo.py [--keep]      (--keep leaves the stack running)

Exit code 0 only if every step was as expected, every chain verifies and the evidence explains the call log.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from observer import chain, runner, targets  # noqa: E402
from observer.reconcile import reconcile  # noqa: E402
from observer.rest import at_rest  # noqa: E402
from observer.tokens import Forge  # noqa: E402
from observer.world import World  # noqa: E402

from cases import CASES, TICK_S  # noqa: E402
from story import StepFailed, Story, print_timeline  # noqa: E402

# A run of all cases makes each of these comparisons; a missing one fails the demo.
COMPARED = (
    "vends answered",
    "deny writes",
    "puts on principals",
    "removals from principals",
    "effective-permission checks",
    "effective-permission simulations",
    "uses of attached access",
    "PresenceObserved compared",
    "AbsenceObserved compared",
    "inline ended observed",
    "managed ended observed",
    "ended by_construction",
)


def play(world: World) -> tuple[list[Story], list[str]]:
    """Plays all cases at the same time; returns the stories and the failures."""
    stories = [Story(name) for name, _, _ in CASES]
    failures: list[str] = []

    def one(story: Story, act: object) -> None:
        try:
            act(story, world)
        except (StepFailed, AssertionError) as failed:
            failures.append(str(failed) if isinstance(failed, StepFailed) else f"{story.name}, step {story.n_steps + 1}: {failed}")
            story.add("demo", f"FAILED {failures[-1]}")
        except Exception:  # noqa: BLE001 - the demo reports every failure and ends with 1
            failures.append(f"{story.name}, step {story.n_steps + 1}: {traceback.format_exc()}")
            story.add("demo", f"FAILED {failures[-1]}")

    threads = [
        threading.Thread(target=one, args=(story, act), daemon=True)
        for story, (_, act, _) in zip(stories, CASES, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    return stories, failures


def check(world: World, stories: list[Story]) -> list[str]:
    """Prints each timeline, checks each chain as its holder reads it, and reconciles. Returns the failures."""
    failures = []
    calls, snapshot = at_rest()
    for story, (_, _, case) in zip(stories, CASES, strict=True):
        if not story.grant:
            continue
        head, entries = world.api.evidence(world.token(case.identity), story.grant)
        print_timeline(story, entries, calls, runner.role_arn(case.role))
        try:
            chain.verify(story.grant, head, entries)
            print(f"  chain of {len(entries)} entries verified, head {head['hash'][:16]}…")
        except chain.BrokenChain as broken:
            failures.append(str(broken))
        holds, line = runner.audited({"grant": story.grant, "head": head, "entries": entries})
        print(f"  brevet evidence verify: {line}")
        if not holds:
            failures.append(line)
        # A rotation may have added entries since the snapshot.
        known = snapshot.evidence.get(story.grant, [])
        if not known or entries[: len(known)] != known:
            failures.append(f"{story.grant}: the API shows other evidence than the table holds")
    report = reconcile(calls, snapshot)
    print(f"\ncall log against evidence: {report}")
    if missing := [kind for kind in COMPARED if not report.counts[kind]]:
        failures.append(f"reconciliation made no comparison of these kinds: {', '.join(missing)}")
    return failures + report.findings


def interrupted(*_: object) -> None:
    """Ends the demo like Ctrl-C, so that the stack is stopped."""
    raise KeyboardInterrupt


def main() -> int:
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, interrupted)
    if runner.is_up():
        print("demo: a stack is up already, and the demo starts its own; run `make down` first", file=sys.stderr)
        return 1
    began, failures = time.monotonic(), ["the demo did not finish"]
    try:
        runner.stack("up", show=True, env={"BREVET_LOCAL_TICK_S": str(TICK_S)})
        forge = Forge()
        with tempfile.TemporaryDirectory(prefix="brevet-catalogue-") as folder:
            print(runner.stack("publish", str(forge.write_catalogue(Path(folder) / "catalogue"))), end="")
        targets.create()
        world = World(forge)
        world.await_ready()
        print(f"the reaper ticks every {TICK_S} s; five cases at once:\n")
        stories, failures = play(world)
        failures += check(world, stories)
        n_steps = sum(story.n_steps for story in stories)
    except runner.RunnerFailed as failed:
        failures = [str(failed)]
    except KeyboardInterrupt:
        failures = ["interrupted"]
    except Exception:  # noqa: BLE001 - the stack must be stopped and the failure reported
        failures = [traceback.format_exc()]
    finally:
        if not keep:
            runner.stack("down", show=True)
    if keep and runner.is_up():
        # The run's own issuers die with it. These stay.
        try:
            runner.stack("dev", show=True)
        except runner.RunnerFailed as failed:
            failures.append(str(failed))
    if failures:
        print("\ndemo FAILED:", *failures, sep="\n  ")
        return 1
    print(f"\ndemo passed: {n_steps} steps as expected, every grant ended with its proof, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
