"""Runs suites in parallel. Suites that only compute have a lower priority than suites that watch a stack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import junit, stacks
from .job import Done, Jobs
from .junit import Case
from .ready import Unready
from .report import Result
from .suites import CHECKOUT, WITHOUT, Kind, Needs, Suite

CACHE = Path(os.environ.get("BREVET_CACHE") or Path.home() / ".cache" / "brevet").expanduser()
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target").expanduser()
VENV = CACHE / "tools" / "tests" / "bin"
FOLDER = CHECKOUT / ".local" / "test"
"""Logs, reports and the stacks' folders of the last run; ignored by git."""
RECORDINGS = FOLDER / "recordings"
RUST_TIMES = FOLDER / "rust-times"
RUST_REPORTS = CHECKOUT / ".local" / "nextest"
"""The folder of nextest's reports, with a folder for each profile (see `.config/nextest.toml`)."""
BUILD = ["cargo", "build", "--locked", "--workspace", "--bins", "--tests"]
"""Builds the stack's programs and the tests with one set of features, so that nothing is compiled twice."""
NEXTEST = ["cargo", "nextest", "run", "--locked", "--workspace", "--no-fail-fast"]
_BUILD_WITHIN_S = 3_600


@dataclass(frozen=True)
class Asked:
    """The request for a run: its suites, arguments for their test runners, and the number of parallel stacks."""

    suites: list[Suite]
    more: list[str]
    n_stacks: int


class Run:
    """One run of suites, from the build to the last result."""

    def __init__(self, asked: Asked) -> None:
        self.jobs = Jobs()
        self._asked = asked
        self._slots = threading.Semaphore(asked.n_stacks)
        self._over = {suite.name: threading.Event() for suite in asked.suites}
        self._say = threading.Lock()

    def prepare(self, parts: list[str]) -> list[Result]:
        """Deletes the last run's files, then installs tools and compiles in parallel; returns both results."""
        shutil.rmtree(RECORDINGS, ignore_errors=True)
        for folder in FOLDER.glob("stack-*"):
            # A stack still runs there only if the last run was killed before it could stop the stack.
            stacks.down(CHECKOUT, folder, FOLDER / "down.log")
            shutil.rmtree(folder)
        for file in (*FOLDER.glob("*.log"), *FOLDER.glob("*.xml"), RUST_TIMES, *RUST_REPORTS.glob("*/junit.xml")):
            file.unlink(missing_ok=True)
        RECORDINGS.mkdir(parents=True)
        commands = {"tools": [sys.executable, "infra/local/tools.py", *parts], "build": BUILD}
        with ThreadPoolExecutor(len(commands)) as pool:
            return list(pool.map(lambda name: self._checked(name, commands[name], _BUILD_WITHIN_S), commands))

    def suites(self) -> list[Result]:
        """Runs the requested suites as stacks become free; returns their results in order."""
        with ThreadPoolExecutor(max(1, len(self._asked.suites))) as pool:
            return list(pool.map(self._suite, self._asked.suites))

    def _suite(self, suite: Suite) -> Result:
        try:
            for earlier in suite.after:
                if earlier in self._over:
                    self._over[earlier].wait()
            if suite.needs is Needs.EMULATORS:
                return self._on_a_stack(suite)
            if suite.needs in WITHOUT:
                with self._slots:
                    return self._on_a_stack(suite)
            return self._tested(suite, {})
        except Exception as problem:  # noqa: BLE001
            # An error of the runner fails one suite and keeps the results of the others.
            result = Result(suite.name, FOLDER / f"{suite.name}.log", trouble=f"{type(problem).__name__}: {problem}")
            self._print(result)
            return result
        finally:
            self._over[suite.name].set()

    def stop(self) -> None:
        """Stops the running suites and starts no more. Their stacks are stopped as usual."""
        self._line("stopping: running jobs are ended and stacks are stopped")
        self.jobs.stop()

    def _on_a_stack(self, suite: Suite) -> Result:
        log, folder = FOLDER / f"{suite.name}.log", FOLDER / f"stack-{suite.name}"
        result = Result(suite.name, log)
        if self.jobs.stopped:
            result.trouble = "not begun: the run was stopped"
            return result
        stack = None
        try:
            with stacks.running(self.jobs, CHECKOUT, folder, log, WITHOUT[suite.needs], is_up=True) as stack:
                result = self._tested(suite, stack.environment)
        except RuntimeError as problem:
            result.trouble = "; ".join(filter(None, [result.trouble, str(problem)]))
            self._print(result)
        if stack:
            result.stack_mib, result.cpu_s = stack.usage.peak_mib, result.cpu_s + stack.usage.cpu_s
        return result

    def _tested(self, suite: Suite, environment: dict[str, str]) -> Result:
        environment = {**environment, **_environment(suite, environment)}
        if suite.kind is Kind.COMMAND:
            program, *rest = (one.replace("{tools}", str(CACHE / "tools")) for one in suite.runs)
            command = [str(VENV / program) if (VENV / program).exists() else program, *rest]
            return self._checked(suite.name, command, suite.within_s, suite.nice)
        self._line(f"{suite.name}: begins")
        log, report = FOLDER / f"{suite.name}.log", FOLDER / f"{suite.name}.xml"
        more = self._asked.more
        command = _pytest(suite, report, more) if suite.kind is Kind.PYTEST else [*NEXTEST, *suite.runs, *more]
        done = self.jobs.run(command, log, cwd=CHECKOUT, within_s=suite.within_s, more=environment,
                             nice=suite.nice)  # fmt: skip
        if suite.kind is Kind.RUST:
            written = RUST_REPORTS / suite.runs[-1] / "junit.xml"
            if written.exists():
                shutil.copy(written, report)
            found = junit.cases(report, junit.rust_cpu_times(RUST_TIMES))
        else:
            found = junit.cases(report)
        result = Result(suite.name, log, found, done.wall_s, done.cpu_s)
        result.trouble = _trouble(done, result, suite.within_s)
        self._print(result)
        return result

    def _checked(self, name: str, command: list[str], within_s: float, nice: int = 0) -> Result:
        """Runs a suite of one check, which passes if the command succeeds."""
        self._line(f"{name}: begins")
        log = FOLDER / f"{name}.log"
        done = self.jobs.run(command, log, cwd=CHECKOUT, within_s=within_s, nice=nice, more={"CARGO_TARGET_DIR": str(TARGET)})
        case = Case(" ".join(command), "passed" if done.passed else "failed", done.wall_s, done.cpu_s, 0.0)
        result = Result(name, log, [case], done.wall_s, done.cpu_s)
        self._print(result)
        return result

    def _print(self, result: Result) -> None:
        self._line(result.line())

    def _line(self, text: str) -> None:
        with self._say:
            print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _trouble(done: Done, result: Result, within_s: float) -> str:
    """A problem that no test reports: a time limit, a crash, or a run without tests."""
    if done.timed_out:
        return f"did not end within {within_s:.0f} s"
    if not result.cases:
        return f"no test ran (exit code {done.code})"
    if done.code != 0 and not result.n_failed:
        return f"exit code {done.code}, but no test failed"
    return ""


def _environment(suite: Suite, stack: dict[str, str]) -> dict[str, str]:
    """The environment variables with which a suite's tests find tools, emulators and recordings."""
    found = {"BREVET_RECORDINGS": str(RECORDINGS), "CARGO_TARGET_DIR": str(TARGET), "BREVET_CACHE": str(CACHE)}
    if suite.kind is Kind.PYTEST:
        found["PYTHONPATH"] = str(CHECKOUT / "tests" / "runner")
    if suite.kind is Kind.RUST:
        # The first seeds the simulation, the second the property tests.
        found |= {"BREVET_SEED": str(seed()), "PROPTEST_RNG_SEED": str(seed()), "BREVET_RUST_TIMES": str(RUST_TIMES),
                  "BREVET_DECIDER_MODULES": str(CACHE / "tools" / "decider"),
                  f"CARGO_TARGET_{_host().upper().replace('-', '_')}_RUNNER": str(CHECKOUT / "tests" / "runner" / "measured.sh"),
                  "PATH": f"{VENV}{os.pathsep}{os.environ.get('PATH', '')}"}  # fmt: skip
        # Set also without emulators: a test that needs one and is not filtered out by name must fail.
        found["BREVET_TEST_REQUIRE_LOCAL"] = "1"
        if stack:
            found |= {"BREVET_TEST_DYNAMODB_URL": f"http://127.0.0.1:{stack['BREVET_PORT_DYNAMODB']}",
                      "BREVET_TEST_LOCALSTACK_URL": f"http://127.0.0.1:{stack['BREVET_PORT_LOCALSTACK']}"}  # fmt: skip
    return found


def _pytest(suite: Suite, report: Path, more: list[str]) -> list[str]:
    """The pytest command for a suite's files, or for the files that `more` names."""
    named = [one for one in more if "/" in one and (CHECKOUT / one.partition("::")[0]).exists()]
    last = ["tests/stack/e2e/test_reconcile.py"] if suite.needs is Needs.STACK else []
    return [str(VENV / "python"), "-m", "pytest", "-p", "no:cacheprovider", "-p", "measure", "-v", "--tb=short", "-rP",
            "-o", "xfail_strict=true",
            f"--junitxml={report}", *(() if named else suite.runs), *more, *last]  # fmt: skip


def output_of(*command: str) -> str:
    """Returns a command's output. Raises `Unready` with its error output if it fails or does not exist."""
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    except OSError as problem:
        raise Unready(f"{command[0]}: {problem.strerror}: install it, or put it on the path") from problem
    if done.returncode != 0:
        raise Unready(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout.strip()


def seed() -> int:
    """The seed of random samples: the commit, so that each commit draws others and every run is reproducible.

    `BREVET_SEED` overrides it. Raises `Unready` if that is not a whole number.
    """
    if asked := os.environ.get("BREVET_SEED", ""):
        if not (asked.isascii() and asked.isdigit()):
            raise Unready(f"BREVET_SEED={asked!r} must be a whole number; leave it unset to use the commit")
        return int(asked)
    return int(output_of("git", "rev-parse", "HEAD")[:8], 16)


def _host() -> str:
    lines = output_of("rustc", "-vV").splitlines()
    return next((line.removeprefix("host: ") for line in lines if line.startswith("host: ")), "")
