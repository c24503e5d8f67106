"""The long suites, outside CI: each part once for a commit, resumed after an interruption, with one table of all.

What a part showed is kept in `long/<part>.json` in the cache folder; the table of all parts is `long/table.md` beside it.
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
from .run import CACHE, CHECKOUT, TARGET, VENV, said_by

FOLDER = CACHE / "long"
_WITHIN_S = 6 * 3_600
_FIGURES = 300


@dataclass(frozen=True)
class Part:
    """One long suite: commands that follow on each other. The last line that the last one prints are its figures."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    shows: str
    has_stack: bool = False
    has_report: bool = False
    """Whether it leaves a JUnit report, `<part>.xml` beside its log."""


def parts(seed: int, again: bool) -> list[Part]:
    """Every part, in the order in which they are run: what is quick comes first. `again` forgets what bugs were tried."""
    forget = ("--again",) if again else ()
    python, release = str(VENV / "python"), ("--locked", "--release")
    return [
        Part("pace", (("cargo", "run", *release, "-p", "brevet-pace"),), "ten thousand grants due at once, in virtual time"),
        Part("fuzz", (("cargo", "run", *release, "-p", "brevet-fuzz", "--", "--seed", str(seed)),), "more than ten million inputs"),
        Part("sim", (("cargo", "run", *release, "-p", "brevet-sim", "--", "--seed", str(seed)),),
             "every fault at every port call of every use case, all interleavings"),
        *(Part(name, ((python, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rP",
                        f"--junitxml={FOLDER / f'{name}.xml'}", "tests/stack/chaos"),), shows, has_stack=True, has_report=True)
          for name, shows in (("chaos-short", "a few seconds of trouble around each deadline"),
                              ("chaos", "minutes of trouble around each deadline"))),
        Part("bench", (("cargo", "bench", "--locked", "-p", "brevet-policy"),), "decisions by the size of the catalogue"),
        Part("coldstart", (("cargo", "build", *release, "-p", "brevet-issue", "-p", "brevet-bare"),
                           (python, "tests/long/coldstart/coldstart.py", str(TARGET / "release"))), "start-up times"),
        Part("mutants", ((python, "tests/long/mutants/mutants.py", *forget),), "planted bugs, each caught by the test that it names"),
        Part("cargo-mutants", ((python, "tests/long/mutants/cargo_mutants.py", *forget),), "generated bugs in the files that decide"),
    ]  # fmt: skip


@dataclass
class Shown:
    """What one run of a part came to."""

    part: str
    commit: str
    """Its short hash; with `+changes` if the checkout was not as committed, and then it is never taken for done."""
    at: str
    seconds: int
    passed: bool
    figures: str

    def row(self) -> str:
        outcome = "pass" if self.passed else "FAIL"
        return f"| {self.part} | {self.commit} | {self.at} | {self.seconds} s | {outcome} | {self.figures.replace('|', '/')} |"


def known(name: str, folder: Path) -> Shown | None:
    """What the last run of a part came to; nothing if there was none, or if its record cannot be read."""
    try:
        return Shown(**json.loads((folder / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def keep(shown: Shown, folder: Path) -> None:
    """Writes the record of a part, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f"{shown.part}.half"
    half.write_text(json.dumps(asdict(shown), indent=2))
    half.replace(folder / f"{shown.part}.json")


def table(names: list[str], folder: Path) -> str:
    """Every part's last run, in one table; a part that never ran says so."""
    rows = [one.row() if (one := known(name, folder)) else f"| {name} | | | | never run | |" for name in names]
    return "\n".join(["| suite | commit | date | took | | figures |", "|---|---|---|---|---|---|", *rows])


def commit() -> str:
    """The commit that is tested, marked if the checkout differs from it."""
    changes = said_by("git", "status", "--porcelain", "--untracked-files=all")
    return said_by("git", "rev-parse", "--short", "HEAD") + ("+changes" if changes else "")


def run(wanted: list[Part], every: list[Part], jobs: Jobs, again: bool, tested: Callable[[], str] = commit,
        say: Callable[[str], None] = print, folder: Path = FOLDER) -> bool:  # fmt: skip
    """Runs parts that did not pass yet on the commit that `tested` names (all, if `again`); writes and prints the table."""
    well = True
    for part in wanted:
        before, now = known(part.name, folder), tested()
        if before and before.passed and before.commit == now and "+" not in now and not again:
            say(f"{part.name}: passed on this commit on {before.at}; AGAIN=1 runs it again")
            continue
        if jobs.stopped:
            break
        say(f"{part.name}: begins; its output goes to {folder / part.name}.log")
        shown = _shown(part, jobs, now, folder)
        if jobs.stopped:
            say(f"{part.name}: stopped; the next run begins with it")
            break
        if tested() != now:
            # Parts run for hours: what was edited or committed meanwhile was tested in part.
            shown.commit = f"{now.removesuffix('+changes')}+changes"
        keep(shown, folder)
        well = well and shown.passed
        say(shown.row())
    text = table([part.name for part in every], folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text + "\n")
    say("\n" + text)
    return well and not jobs.stopped


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
        # An exit code of 0 says nothing of tests that were skipped.
        found = junit.cases(report)
        passed = passed and bool(found) and all(case.outcome == "passed" for case in found)
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(began))
    return Shown(part.name, now, at, round(time.time() - began), passed, closing[:_FIGURES])


def _commands(part: Part, jobs: Jobs, log: Path, environment: dict[str, str]) -> bool:
    """Whether each command ended well, in time."""
    return all(jobs.run(list(one), log, cwd=CHECKOUT, within_s=_WITHIN_S, more=environment).passed for one in part.commands)


def figures(log: Path) -> str:
    """The last line that a part printed: each of them closes with its figures."""
    lines = [line.strip(" =") for line in log.read_text(errors="replace").splitlines() if line.strip(" =")]
    return lines[-1] if lines else ""


def chosen(names: list[str], seed: int, again: bool) -> tuple[list[Part], list[Part]]:
    """The named parts (all, if none is named), and every part. Raises `Unready` if there is no part of a name."""
    every = parts(seed, again)
    if unknown := sorted(set(names) - {part.name for part in every}):
        raise Unready(f"no part `{'`, `'.join(unknown)}`; there are {', '.join(part.name for part in every)}")
    return [part for part in every if not names or part.name in names], every
