"""The report of a run: failures, the slowest tests, and a line for each suite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .junit import Case

N_SLOWEST = 30
_MESSAGE = 1_500
_TAIL_LINES = 150


@dataclass
class Result:
    """The result of a suite. `trouble` is a problem apart from its tests; it counts as one failure."""

    suite: str
    log: Path
    cases: list[Case] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    stack_mib: float = 0.0
    trouble: str = ""

    @property
    def n_passed(self) -> int:
        return sum(case.outcome == "passed" for case in self.cases)

    @property
    def n_failed(self) -> int:
        """The number of failures; a skipped test counts as one, since it has shown nothing."""
        return len(self.cases) - self.n_passed + bool(self.trouble)

    @property
    def slept_s(self) -> float:
        return sum(case.slept_s for case in self.cases)

    def line(self) -> str:
        memory = f"  stack {self.stack_mib:,.0f} MiB" if self.stack_mib else ""
        return (f"{self.suite:<14} {self.n_passed:>5} passed {self.n_failed:>4} failed  wall {self.wall_s:>6.1f} s  "
                f"cpu {self.cpu_s:>6.1f} s  slept {self.slept_s:>6.1f} s{memory}")  # fmt: skip


def failures(result: Result) -> Iterable[str]:
    """The lines for each failed test, and the end of a failed suite's log."""
    for case in result.cases:
        if case.outcome != "passed":
            yield f"{result.suite}: {case.outcome.upper()} {case.name}\n    " + case.message[:_MESSAGE].replace("\n", "\n    ")
    if result.n_failed:
        lines = result.log.read_text(errors="replace").splitlines() if result.log.exists() else []
        yield f"{result.suite}: {result.trouble or 'tests failed'}; the end of {result.log}:"
        yield from (f"    {line}" for line in lines[-_TAIL_LINES:])


def slowest(results: Iterable[Result]) -> Iterable[str]:
    """The lines for the slowest tests of all suites. Set-up counts towards the test that needed it."""
    every = sorted(((case, one.suite) for one in results for case in one.cases), key=lambda pair: -pair[0].wall_s)
    yield f"{'wall s':>8} {'cpu s':>7} {'slept s':>8}  the {min(N_SLOWEST, len(every))} slowest tests"
    for case, suite in every[:N_SLOWEST]:
        yield f"{case.wall_s:>8.1f} {case.cpu_s:>7.1f} {case.slept_s:>8.1f}  {suite}: {case.name}"


def show(results: list[Result], wall_s: float) -> bool:
    """Prints the report; returns whether tests ran and all passed. The last line is the plain count."""
    for result in results:
        for line in failures(result):
            print(line)
    print()
    for line in slowest(results):
        print(line)
    print()
    for result in results:
        print(result.line())
    n_passed, n_failed = sum(one.n_passed for one in results), sum(one.n_failed for one in results)
    cpu_s = sum(one.cpu_s for one in results)
    print(f"\nwall {wall_s:.0f} s, cpu {cpu_s:.0f} s, tests slept {sum(one.slept_s for one in results):.0f} s")
    print(f"\n{n_passed} passed, {n_failed} failed", flush=True)
    return bool(n_passed) and not n_failed
