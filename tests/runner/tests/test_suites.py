"""Every test file belongs to a suite, and each tier has its suites."""

import subprocess

import pytest

from runner.run import CHECKOUT
from runner.suites import BY_NAME, SUITES, Kind, Needs


def python_tests() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*test_*.py"], cwd=CHECKOUT,
                            capture_output=True, text=True, check=True)  # fmt: skip
    return [name for name in listed.stdout.split() if (CHECKOUT / name).exists()]


def test_every_python_test_file_belongs_to_exactly_one_suite() -> None:
    assert python_tests()
    for name in python_tests():
        if name.endswith("e2e/test_reconcile.py") or name.startswith("tests/stack/chaos/"):
            # The first file runs last in each suite with a stack. Chaos is a long part.
            continue
        suites = [one.name for one in SUITES if one.kind is Kind.PYTEST and any(name.startswith(f"{run}/") for run in one.runs)]
        assert len(suites) == 1, f"{name} belongs to {suites or 'no suite'}: see tests/runner/suites.py"


@pytest.mark.parametrize("suite", [one for one in SUITES if one.kind is Kind.PYTEST], ids=lambda one: one.name)
def test_suite_runs_existing_files(suite) -> None:
    assert all((CHECKOUT / run).exists() for run in suite.runs)


def test_tier_check_needs_no_stack() -> None:
    assert {one.needs for one in SUITES if "check" in one.tiers} == {Needs.NOTHING}


def test_tier_test_includes_every_suite_of_check_but_rust_alone() -> None:
    only_check = {one.name for one in SUITES if "test" not in one.tiers}
    assert only_check == {"rust-alone"} and all("test" in BY_NAME[name].tiers for name in ("rust", "rust-calls"))


def test_suites_wait_only_for_existing_suites() -> None:
    assert all(earlier in BY_NAME for one in SUITES for earlier in one.after)
