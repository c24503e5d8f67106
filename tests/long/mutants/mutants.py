#!/usr/bin/env python3
"""Plants the bugs of planted.toml in a copy of the checkout and runs, for each, the one test that must catch it.

mutants.py [--again] [WORD ...]   Only bugs whose name contains one of the words. `--again` discards earlier results.

All bugs are compiled at once, each behind a switch. An interrupted run resumes if the code and the row are unchanged. Exits 1
if a bug survives, is caught by another test than the one in its row, does not fit the code, or does not compile.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict

import checkout
import planted
import rust_source
import switched
from checkout import LONG, Copy
from planted import Bug, NamedTest
from results import Results, digest
from rust_source import DoesNotFit

BUILD_S = 3_600
ONE_TEST_S = 900
# All tests of both crates take a few minutes.
ALL_TESTS_S = 2_700


def misplaced(copy: Copy, bugs: dict[int, Bug]) -> dict[int, str]:
    """The bugs that do not fit the code, with the reason."""
    known, found = rust_source.all_functions(copy.folder), {}
    for number, bug in bugs.items():
        try:
            bug.place(known)
        except DoesNotFit as error:
            found[number] = f"DOES NOT FIT: {error}"
    return found


def built(copy: Copy, bugs: dict[int, Bug]) -> str | None:
    """Builds the tests with `bugs` in the copy. Returns the compiler's output if it fails."""
    targets = {word for bug in bugs.values() for word in bug.caught_by.arguments()}
    names = [word for target in sorted(targets - {"--lib", "--test"}) for word in ("--test", target)]
    run = copy.cargo_test(["--no-run", "--lib", *names], BUILD_S)
    return None if run.code == 0 else run.output


def unsound(copy: Copy, tests: set[NamedTest]) -> str | None:
    """The problem of the named tests without an active bug: a failing or missing test proves nothing."""
    by_binary = defaultdict(list)
    for test in sorted(tests, key=lambda test: test.name):
        by_binary[tuple(test.arguments())].append(test.name)
    for arguments, names in by_binary.items():
        run = copy.cargo_test([*arguments, "--", "--exact", *names], ALL_TESTS_S)
        if missing := [name for name in names if f"test {name} ..." not in run.output]:
            return f"there is no test {', '.join(missing)} in `cargo test {' '.join(arguments)}`:\n{run.output[-1_000:]}"
        if run.code != 0:
            return "the code without a planted bug fails its tests:\n" + run.output[-3_000:]
    return None


def verdict(copy: Copy, number: int, bug: Bug) -> tuple[bool, str]:
    """Whether the test in the bug's row caught it, and the text of the result."""
    test, on = bug.caught_by, {switched.SWITCH: str(number)}
    run = copy.cargo_test([*test.arguments(), test.name, "--", "--exact"], ONE_TEST_S, on)
    if test.name in run.failed:
        return True, f"caught by {test.name} ({bug.tier})"
    if run.code != 0:
        return False, "NO TEST FAILED, but cargo did:\n" + run.output[-1_000:]
    others = copy.cargo_test(["--lib", "--tests", "--no-fail-fast"], ALL_TESTS_S, on, to_first_failure=True).failed
    if others:
        return False, f"WRONG TEST: caught by {others[0]}, and not by {test.name} as in its row"
    return False, "SURVIVED"


def tried(copy: Copy, bugs: dict[int, Bug], report: Callable[[int, dict], None]) -> None:
    """Tries `bugs`, and reports the result of each."""
    wrong = misplaced(copy, bugs)
    while True:
        fitting = {number: bug for number, bug in bugs.items() if number not in wrong}
        made = switched.files(copy.folder, fitting)
        with copy.changed(made):
            if fitting and (errors := built(copy, fitting)):
                if not (found := switched.at_fault(made, fitting, errors)):
                    raise SystemExit(f"the planted bugs do not compile:\n{errors[-3_000:]}")
                problem = "DOES NOT COMPILE, this bug or another one in its function:\n" + errors[:2_000]
                wrong |= {number: problem for number in found}
                continue
            if fitting and (problem := unsound(copy, {bug.caught_by for bug in fitting.values()})):
                raise SystemExit(problem)
            for number, bug in bugs.items():
                began = time.monotonic()
                caught, how = (False, wrong[number]) if number in wrong else verdict(copy, number, bug)
                report(number, {"caught": caught, "how": how, "seconds": round(time.monotonic() - began)})
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--again", action="store_true", help="discard earlier results")
    arguments = parser.parse_args()
    checkout.stop_on_signals()
    everything = dict(enumerate(planted.bugs(), 1))
    bugs = {n: bug for n, bug in everything.items() if not arguments.words or any(word in bug.name for word in arguments.words)}
    results, n_caught = Results(LONG / "planted.jsonl"), 0

    def shown(number: int, result: dict) -> None:
        nonlocal n_caught
        n_caught += result["caught"]
        word = "caught" if result["caught"] else "MISSED"
        print(f"{word} {result['seconds']:4} s  {bugs[number].name}: {result['how']}", flush=True)

    def found(number: int, result: dict) -> None:
        results.add(keys[number], name=bugs[number].name, **result)
        shown(number, result)

    with checkout.alone():
        if arguments.again:
            results.forget()
        copy, before = Copy.of(planted.CHECKOUT), results.known()
        keys = {number: digest(copy.digest, asdict(bug)) for number, bug in bugs.items()}
        for number in bugs:
            if keys[number] in before:
                shown(number, before[keys[number]])
        if left := {number: bug for number, bug in bugs.items() if keys[number] not in before}:
            tried(copy, left, found)
    print(f"{n_caught} of {len(bugs)} planted bugs caught")
    return int(n_caught != len(bugs))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped: the results so far are kept, and the next run resumes")
