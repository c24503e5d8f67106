#!/usr/bin/env python3
"""Runs every suite, shows its output, and prints counts for each and a plain total. Runs in the tests venv.

Usage: suites.py [lint|rust|runner|rights|e2e|chaos] ...      (nothing: all of them, in that order)

A check without test cases (formatting, clippy, cfn-lint) counts as one. A test that was skipped or ignored counts
as failed: what did not run has shown nothing. Exit code 0 only if nothing failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from brevet_local import places, process, stack  # noqa: E402


@dataclass(frozen=True)
class Count:
    """What one suite came to."""

    suite: str
    passed: int
    failed: int


def shown(command: list[str], environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Runs a command, showing its output as it comes; returns exit code and output."""
    print(f"\n$ {' '.join(command)}", flush=True)
    running = subprocess.Popen(
        command,
        cwd=places.CHECKOUT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = []
    assert running.stdout is not None
    for line in running.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return running.wait(), "".join(lines)


def check(name: str, command: list[str], environment: dict[str, str] | None = None) -> Count:
    """A suite of one: passed if the command succeeds."""
    code, _ = shown(command, environment)
    return Count(name, int(code == 0), int(code != 0))


def lint() -> Iterator[Count]:
    """Formatting, clippy and cfn-lint."""
    yield check("format", ["cargo", "fmt", "--all", "--check"])
    clippy = ["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]
    yield check("clippy", clippy)
    yield check("cfn-lint", [str(places.TESTS_VENV / "bin" / "cfn-lint"), str(places.TEMPLATE)])


def cargo_counts(output: str) -> Iterator[Count]:
    """Counts per test binary out of what `cargo test` prints. An ignored test counts as failed."""
    name = "?"
    for line in output.splitlines():
        if found := re.match(r"\s*Running .*\((.*)\)", line):
            name = re.sub(r"-[0-9a-f]{16}$", "", Path(found.group(1)).name)
        elif found := re.match(r"\s*Doc-tests (\S+)", line):
            name = f"{found.group(1)} (doc)"
        elif found := re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", line):
            passed, failed, ignored = map(int, found.groups())
            if passed + failed + ignored:
                yield Count(f"rust: {name}", passed, failed + ignored)


def rust() -> Iterator[Count]:
    """Every Rust test, with the emulators that the contract tests compare against."""
    # The stack publishes with whatever command is there: one of an older checkout may not know this catalogue.
    yield build()
    with running_stack({"gate", "lambda", "functions", "driver"}):
        command = ["cargo", "test", "--locked", "--workspace", "--no-fail-fast"]
        # Counts are read from what is printed: without colour codes between the words.
        code, output = shown(command, {**stack.test_environment(), "CARGO_TERM_COLOR": "never"})
    yield from rust_counts(code, output)


def rust_counts(code: int, output: str) -> Iterator[Count]:
    """The counts, and one failure more if something failed that no count tells of: a build, a crash, no test at all."""
    counts = list(cargo_counts(output))
    yield from counts
    # Cargo names each target that did not end well; one that crashed has printed no result.
    crashed = len(re.findall(r"^ {4}`-p .*`$", output, re.MULTILINE)) > output.count("test result: FAILED.")
    if crashed or (code != 0 or not counts) and not any(count.failed for count in counts):
        yield Count("rust: build or crash", 0, 1)


def pytest_count(name: str, code: int, output: str) -> Count:
    """The count in pytest's closing line. A skipped test counts as failed, and so does a run without tests."""
    closing = next((line for line in reversed(output.splitlines()) if re.search(r"\d+ \w+.* in [\d.]+s", line)), "")
    seen = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)", closing)}
    passed = seen.pop("passed", 0)
    return Count(name, passed, max(sum(seen.values()), int(code != 0 or passed == 0)))


def python(name: str, folder: str, *options: str) -> Count:
    """One pytest folder."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short", *options, folder]
    code, output = shown(command)
    return pytest_count(name, code, output)


def runner() -> Iterator[Count]:
    """The tests of the template and of the local runner itself."""
    yield python("runner", "infra/local/tests")


def build() -> Count:
    """What the stack runs is what the checkout says."""
    return check("build", ["cargo", "build", "--locked", "--workspace", "--bins"])


def rights() -> Iterator[Count]:
    """What each function's role may do, tried behind the gate."""
    yield build()
    with running_stack({"functions", "driver"}):
        yield python("rights", "tests/stack/rights")


def e2e() -> Iterator[Count]:
    """End to end over HTTP, behind the gate."""
    yield build()
    with running_stack(set()):
        yield python("e2e", "tests/stack/e2e")


def chaos() -> Iterator[Count]:
    """Something is broken around the deadlines; on a stack of its own, with a longer tick. `make chaos` is its full length."""
    yield build()
    # With what it measured.
    yield python("chaos", "tests/stack/chaos", "-rP")


@contextmanager
def running_stack(without: set[str]) -> Iterator[None]:
    """The stack for as long as a suite runs; one that somebody already runs is not taken over.

    Raises `Trouble` also if something is left running afterwards.
    """
    if any(one.alive for one in process.recorded()):
        raise process.Trouble("the stack is up; the suites start their own: run `make down` first")
    stack.up(without, {})
    try:
        yield
    finally:
        if not stack.down():
            raise process.Trouble("the stack did not end: something is left running")


SUITES: dict[str, Callable[[], Iterator[Count]]] = {"lint": lint, "rust": rust, "runner": runner, "rights": rights, "e2e": e2e,
                                                     "chaos": chaos}


def main(names: list[str]) -> int:
    """Runs the named suites, or all. Returns the exit code."""
    if unknown := [name for name in names if name not in SUITES]:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    # Ticks come quicker than the template's minute, or every end would be waited for.
    os.environ.setdefault("BREVET_LOCAL_TICK_S", "2")
    counts: list[Count] = []
    for name in names or SUITES:
        try:
            counts.extend(SUITES[name]())
        except process.Trouble as problem:
            print(f"{name}: {problem}", file=sys.stderr)
            counts.append(Count(name, 0, 1))
    print()
    for count in counts:
        print(f"{count.suite:<40} {count.passed:>5} passed {count.failed:>5} failed")
    passed, failed = sum(c.passed for c in counts), sum(c.failed for c in counts)
    print(f"\n{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
