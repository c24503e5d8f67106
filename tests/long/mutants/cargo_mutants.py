#!/usr/bin/env python3
"""Runs cargo-mutants over the files in .cargo/mutants.toml, one after the other, and prints which test caught each mutant.

cargo_mutants.py [--again] [WORD ...]   Only files whose path contains one of the words. `--again` discards earlier results.

An interrupted run resumes if the code is unchanged. Mutants that the tests of their own crate do not catch are tried again
with the engine's tests. Exits 1 if a mutant survives that survivors.toml does not accept, or if one of its rows matches no
surviving mutant.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import checkout
import planted
from checkout import CACHE, FAILED, LONG, Copy
from results import Results, digest

VERSION = "27.1.0"
ROOT = CACHE / "tools" / "cargo-mutants"
# Set explicitly, because cargo-mutants measures no time-out when it changes files in place.
ONE_MUTANT_S = 900
ONE_FILE_S = 6 * 3_600
OUTCOMES = {"CaughtMutant": "caught", "MissedMutant": "MISSED", "Timeout": "timeout", "Unviable": "unviable"}
CRATES = {"shared/domain": ["brevet-domain"], "shared/engine": ["brevet-engine"]}
BOTH = ["brevet-domain", "brevet-engine"]


def tool() -> Path:
    """cargo-mutants, built from source once."""
    binary = ROOT / "bin" / "cargo-mutants"
    if not binary.is_file():
        command = ["cargo", "install", "--locked", "--root", str(ROOT), f"cargo-mutants@{VERSION}"]
        subprocess.run(command, check=True)
    return binary


def short(name: str) -> str:
    """A mutant's name without line and column, which change with any edit."""
    return re.sub(r"^([^:]+):\d+:\d+: ", r"\1: ", name)


def harvest(out: Path, results: Results) -> None:
    """Saves the results of the last call of cargo-mutants: the next call overwrites them."""
    listed = out / "mutants.out" / "outcomes.json"
    if not listed.is_file():
        return
    try:
        outcomes = json.loads(listed.read_text())["outcomes"]
    except ValueError:
        return
    for outcome in outcomes:
        if isinstance(outcome["scenario"], dict):
            log = out / "mutants.out" / outcome["log_path"]
            failed = FAILED.findall(log.read_text(errors="replace")) if log.is_file() else []
            name = outcome["scenario"]["Mutant"]["name"]
            results.add(name, outcome=OUTCOMES.get(outcome["summary"], outcome["summary"]), tests=failed[:3])


def configured(copy: Copy, file: str, out: Path) -> Path:
    """The configuration with `file` as the only examined file: `--file` would only add to the configured ones."""
    settings = tomllib.loads((copy.folder / ".cargo" / "mutants.toml").read_text()) | {"examine_globs": [file]}
    made = out / "mutants.toml"
    made.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    return made


def examined(copy: Copy, file: str, again: bool) -> dict[str, dict]:
    """The result of each mutant of a file, by the mutant's name."""
    out = LONG / "cargo-mutants" / file.replace("/", "+")
    key = digest(copy.digest, (copy.folder / ".cargo" / "mutants.toml").read_text(), VERSION)
    if again or not (out / "key").is_file() or (out / "key").read_text() != key:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / "key").write_text(key)
    results = Results(out / "outcomes.jsonl")
    harvest(out, results)
    own = next(packages for folder, packages in CRATES.items() if file.startswith(folder))
    for n, packages in enumerate([own, BOTH] if own == ["brevet-domain"] else [BOTH]):
        done = out / f"done-{n}"
        if done.is_file() or (n > 0 and not any(one["outcome"] == "MISSED" for one in results.known().values())):
            continue
        command = [str(tool()), "mutants", "--in-place", "--iterate", "--no-shuffle", "--colors", "never",
                   "--output", str(out), "--config", str(configured(copy, file, out)), "--timeout", str(ONE_MUTANT_S),
                   *(f"--cargo-arg={word}" for word in checkout.UNOPTIMIZED),
                   *(f"--test-package={one}" for one in packages)]  # fmt: skip
        run = copy.run(command, ONE_FILE_S, {})
        harvest(out, results)
        # 0: all caught; 2: some missed; 3: some timed out. Any other code gives no result.
        if run.code not in (0, 2, 3):
            raise SystemExit(f"cargo-mutants ended with {run.code} on {file}:\n{run.output[-3_000:]}")
        done.touch()
    return results.known()


def unaccepted(missed: Counter[str], files: list[str]) -> list[str]:
    """The problems of the survivors, compared with the accepted ones."""
    rows = tomllib.loads((planted.HERE / "survivors.toml").read_text()).get("survivor", [])
    accepted = Counter({row["mutant"]: row.get("n", 1) for row in rows if row["mutant"].split(":")[0] in files})
    wrong = [f"survives: {name}" for name in (missed - accepted).elements()]
    problem = "accepted in survivors.toml, but caught or no longer generated"
    wrong += [f"{problem}: {name}" for name in (accepted - missed).elements()]
    return wrong + [f"accepted without a reason: {row['mutant']}" for row in rows if not row.get("reason")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--again", action="store_true", help="discard earlier results")
    arguments = parser.parse_args()
    checkout.stop_on_signals()
    with checkout.alone():
        copy = Copy.of(planted.CHECKOUT)
        files = tomllib.loads((copy.folder / ".cargo" / "mutants.toml").read_text())["examine_globs"]
        files = [file for file in files if not arguments.words or any(word in file for word in arguments.words)]
        counts, missed = Counter(), Counter()
        for file in files:
            for name, one in examined(copy, file, arguments.again).items():
                counts[one["outcome"]] += 1
                missed[short(name)] += one["outcome"] == "MISSED"
                by = f" by {one['tests'][0]}" if one["tests"] else ""
                print(f"{one['outcome']:8} {name}{by}", flush=True)
    wrong = unaccepted(+missed, files)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    n_made = counts.total() - counts["unviable"]
    print(f"{n_made - counts['MISSED']} of {n_made} mutants caught, {counts['MISSED']} survive, {len(wrong)} problems")
    return int(bool(wrong))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped: the results so far are kept, and the next run resumes")
