#!/usr/bin/env python3
"""Applies each deliberate bug of `mutants.toml` to a copy of the checkout and says which test caught it.

Usage: mutants.py [WORD ...]      Only the bugs whose name holds one of the words. Run by `make mutants`.

Builds and tests the domain and the engine alone, in a target folder of its own, up to the first test that fails: first what is
quick, and the slow tests (each fault at each call) only for a bug that this did not catch. Exits 1 if a bug survives, no longer
fits the code, does not compile, or fails no test by name: such a row proves nothing.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
CACHE = Path(os.environ.get("BREVET_CACHE") or Path.home() / ".cache" / "brevet")
TEST = ["cargo", "test", "--locked", "-p", "brevet-domain", "-p", "brevet-engine", "--lib", "--tests"]
# Parts of the names of tests that take long.
SLOW = ("single_fault", "any_one_fault", "thousand", "hundred", "whatever_fails", "whatever_events", "every_step",
        "while_a_sweep", "do_not_fit")  # fmt: skip

FAILED = re.compile(r"^test ([a-z_:0-9]+) \.\.\. FAILED", re.MULTILINE)

# The slow tests of the code without a bug take a few minutes.
LONGEST_S = 1_800


def tested(copy: Path) -> tuple[int, str]:
    """Exit code and output of the tests of a copy, up to the first kind that fails."""
    quick = [word for name in SLOW for word in ("--skip", name)]
    code, output = ran(copy, quick)
    return (code, output) if code != 0 else ran(copy, list(SLOW))


def ran(copy: Path, names: list[str]) -> tuple[int, str]:
    """The same of one kind of them, up to the first test that fails."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(CACHE / "target-mutants"), "RUST_BACKTRACE": "0",
                   "CARGO_PROFILE_DEV_DEBUG": "false", "CARGO_TERM_COLOR": "never"}  # fmt: skip
    running = subprocess.Popen([*TEST, "--", *names], cwd=copy, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True)  # fmt: skip
    stop = lambda: os.killpg(running.pid, signal.SIGKILL)  # noqa: E731
    too_long = threading.Timer(LONGEST_S, stop)
    too_long.start()
    output = ""
    try:
        for line in running.stdout:
            output += line
            if FAILED.match(line):
                stop()
                break
    finally:
        too_long.cancel()
        running.stdout.close()
        code = running.wait()
    return code, output


def verdict(copy: Path, bug: dict[str, str]) -> tuple[bool, str]:
    """Whether the bug was caught, and by what."""
    file = copy / bug["file"]
    right = file.read_text()
    if right.count(bug["from"]) != 1:
        return False, f"DOES NOT FIT: its text stands {right.count(bug['from'])} times in {bug['file']}"
    try:
        file.write_text(right.replace(bug["from"], bug["to"]))
        code, output = tested(copy)
    finally:
        file.write_text(right)
    if "could not compile" in output:
        return False, "DOES NOT COMPILE:\n" + output[-1500:]
    if code == 0:
        return False, "SURVIVED"
    if not (failed := FAILED.search(output)):
        return False, "NO TEST FAILED, but something did:\n" + output[-1500:]
    return True, f"caught by {failed[1]}"


def main() -> int:
    bugs = tomllib.loads((HERE / "mutants.toml").read_text())["bug"]
    words = sys.argv[1:]
    bugs = [bug for bug in bugs if not words or any(word in bug["name"] for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        # Always the same path would let two runs meet; cargo tells copies apart by path, so only our crates are rebuilt.
        copy = Path(folder) / "copy"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (CHECKOUT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                (copy / name).write_bytes((CHECKOUT / name).read_bytes())
        code, output = tested(copy)
        if code != 0:
            print("the code without any bug fails its tests:\n" + output[-3000:])
            return 1
        n_caught = 0
        for bug in bugs:
            caught, how = verdict(copy, bug)
            n_caught += caught
            print(f"{'caught ' if caught else 'MISSED '} {bug['name']}: {how}", flush=True)
    print(f"{n_caught} of {len(bugs)} deliberate bugs caught")
    return int(n_caught != len(bugs))


if __name__ == "__main__":
    sys.exit(main())
