"""The long suites, outside CI: each part runs once a commit, an interrupted run resumes, and one table shows all parts.

A part's result is kept in `long/<part>.json` in the cache folder; the table of all parts is `long/table.md` beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from . import junit, stacks
from .job import Jobs
from .ready import Unready
from .run import CACHE, CHECKOUT, TARGET, VENV, output_of

FOLDER = CACHE / "long"
_WITHIN_S = 6 * 3_600
_FIGURES = 300


@dataclass(frozen=True)
class Part:
    """One long suite: commands in sequence. The last line of the last command's output holds its figures."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    shows: str
    has_stack: bool = False
    has_report: bool = False
    """Whether it writes a JUnit report, `<part>.xml` beside its log."""


def parts(seed: int, again: bool) -> list[Part]:
    """Every part in run order, the quickest first. `again` also repeats planted bugs that were tried before."""
    forget = ("--again",) if again else ()
    python, release = str(VENV / "python"), ("--locked", "--release")
    return [
        Part("pace", (("cargo", "run", *release, "-p", "brevet-pace"),), "ten thousand grants due at once, in virtual time"),
        Part("fuzz", (("cargo", "run", *release, "-p", "brevet-fuzz", "--", "--seed", str(seed)),), "more than ten million inputs"),
        Part("sim", (("cargo", "run", *release, "-p", "brevet-sim", "--", "--seed", str(seed)),),
             "every fault at every port call of every use case, all interleavings"),
        *(Part(name, ((python, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rP",
                        f"--junitxml={FOLDER / f'{name}.xml'}", "tests/stack/chaos"),), shows, has_stack=True, has_report=True)
          for name, shows in (("chaos-short", "a few seconds of faults around each deadline"),
                              ("chaos", "minutes of faults around each deadline"))),
        Part("bench", (("cargo", "bench", "--locked", "-p", "brevet-policy"),), "decision times by catalogue size"),
        Part("coldstart", (("cargo", "build", *release, "-p", "brevet-issue", "-p", "brevet-bare"),
                           (python, "tests/long/coldstart/coldstart.py", str(TARGET / "release"))), "start-up times"),
        Part("mutants", ((python, "tests/long/mutants/mutants.py", *forget),), "planted bugs, each caught by its named test"),
        Part("cargo-mutants", ((python, "tests/long/mutants/cargo_mutants.py", *forget),), "generated bugs in the files that make decisions"),
    ]  # fmt: skip


@dataclass
class Shown:
    """The result of one run of a part."""

    part: str
    commit: str
    """The short hash, with `+changes` if the checkout differed from it; such a result never counts as done."""
    at: str
    seconds: int
    passed: bool
    figures: str

    def row(self) -> str:
        outcome = "pass" if self.passed else "FAIL"
        return f"| {self.part} | {self.commit} | {self.at} | {self.seconds} s | {outcome} | {self.figures.replace('|', '/')} |"


def known(name: str, folder: Path) -> Shown | None:
    """The last result of a part; None if there is none or its record cannot be read."""
    try:
        return Shown(**json.loads((folder / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def keep(shown: Shown, folder: Path) -> None:
    """Writes the record of a part atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f"{shown.part}.half"
    half.write_text(json.dumps(asdict(shown), indent=2))
    half.replace(folder / f"{shown.part}.json")


def table(names: list[str], folder: Path) -> str:
    """The table of every part's last run, including parts that never ran."""
    rows = [one.row() if (one := known(name, folder)) else f"| {name} | | | | never run | |" for name in names]
    return "\n".join(["| suite | commit | date | took | | figures |", "|---|---|---|---|---|---|", *rows])


def commit() -> str:
    """The tested commit, marked `+changes` if the checkout differs from it."""
    changes = output_of("git", "status", "--porcelain", "--untracked-files=all")
    return output_of("git", "rev-parse", "--short", "HEAD") + ("+changes" if changes else "")


def run(selected: list[Part], every: list[Part], jobs: Jobs, again: bool, tested: Callable[[], str] = commit,
        say: Callable[[str], None] = print, folder: Path = FOLDER) -> bool:  # fmt: skip
    """Runs the selected parts that have not passed on the commit `tested()` (all of them if `again`); writes the table.

    Returns whether all of them passed.
    """
    all_passed = True
    for part in selected:
        before, now = known(part.name, folder), tested()
        if before and before.passed and before.commit == now and "+" not in now and not again:
            say(f"{part.name}: passed on this commit on {before.at}; AGAIN=1 runs it again")
            continue
        if jobs.stopped:
            break
        say(f"{part.name}: begins; its log is {folder / part.name}.log")
        shown = _shown(part, jobs, now, folder)
        if jobs.stopped:
            say(f"{part.name}: stopped; the next run begins with it")
            break
        if tested() != now:
            # Parts run for hours: edits and commits meanwhile were tested only in part.
            shown.commit = f"{now.removesuffix('+changes')}+changes"
        keep(shown, folder)
        all_passed = all_passed and shown.passed
        say(shown.row())
    text = table([part.name for part in every], folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text + "\n")
    say("\n" + text)
    return all_passed and not jobs.stopped


def _shown(part: Part, jobs: Jobs, now: str, folder: Path) -> Shown:
    log, began = folder / f"{part.name}.log", time.time()
    log.unlink(missing_ok=True)
    environment = {"CARGO_TARGET_DIR": str(TARGET), "BREVET_CACHE": str(CACHE),
                   "BREVET_CHAOS": "full" if part.name == "chaos" else "short"}  # fmt: skip
    try:
        if part.has_stack:
            with stacks.running(jobs, CHECKOUT, folder / "stack", folder / f"{part.name}-stack.log", "", is_up=False) as stack:
                passed = _commands(part, jobs, log, {**environment, **stack.environment})
        else:
            passed = _commands(part, jobs, log, environment)
        closing = figures(log)
    except RuntimeError as problem:
        passed, closing = False, str(problem)
    report = folder / f"{part.name}.xml"
    if part.has_report:
        # The exit code is 0 also if tests were skipped.
        found = junit.cases(report)
        passed = passed and bool(found) and all(case.outcome == "passed" for case in found)
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(began))
    return Shown(part.name, now, at, round(time.time() - began), passed, closing[:_FIGURES])


def _commands(part: Part, jobs: Jobs, log: Path, environment: dict[str, str]) -> bool:
    """Whether each command succeeded in time."""
    return all(jobs.run(list(one), log, cwd=CHECKOUT, within_s=_WITHIN_S, more=environment).passed for one in part.commands)


def figures(log: Path) -> str:
    """The last line of a part's output, which holds its figures."""
    lines = [line.strip(" =") for line in log.read_text(errors="replace").splitlines() if line.strip(" =")]
    return lines[-1] if lines else ""


def chosen(names: list[str], seed: int, again: bool) -> tuple[list[Part], list[Part]]:
    """The named parts (all if none is named), and every part. Raises `Unready` for an unknown name."""
    every = parts(seed, again)
    if unknown := sorted(set(names) - {part.name for part in every}):
        raise Unready(f"unknown part `{'`, `'.join(unknown)}`; the parts are {', '.join(part.name for part in every)}")
    return [part for part in every if not names or part.name in names], every
