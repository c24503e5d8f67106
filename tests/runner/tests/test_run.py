"""An error in one suite fails only that suite."""

from pathlib import Path

import pytest

from runner import run
from runner.run import Asked, Run
from runner.suites import Kind, Suite


def suite(name: str, *command: str) -> Suite:
    return Suite(name, frozenset({"check"}), Kind.COMMAND, "", command)


def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *suites: Suite):
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    return Run(Asked(list(suites), [], 1)).suites()


def test_suite_that_raises_fails_alone(tmp_path, monkeypatch) -> None:
    good, bad = results(tmp_path, monkeypatch, suite("good", "true"), suite("bad"))
    assert (good.n_passed, good.n_failed) == (1, 0)
    assert bad.n_failed == 1 and bad.trouble.startswith("ValueError")


def test_command_that_fails_is_missing_or_late_counts_as_failed(tmp_path, monkeypatch) -> None:
    late = Suite("late", frozenset(), Kind.COMMAND, "", ("bash", "-c", "trap 'exit 0' TERM; sleep 60 & wait"), within_s=0.5)
    for one in results(tmp_path, monkeypatch, suite("fails", "false"), suite("missing", "no-such-tool"), late):
        assert (one.n_passed, one.n_failed) == (0, 1), one.suite


def test_seed_is_the_commit_or_the_given_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BREVET_SEED", raising=False)
    assert run.seed() == int(run.output_of("git", "rev-parse", "HEAD")[:8], 16)
    monkeypatch.setenv("BREVET_SEED", "7")
    assert run.seed() == 7
    monkeypatch.setenv("BREVET_SEED", "abc")
    with pytest.raises(run.Unready, match="must be a whole number"):
        run.seed()
