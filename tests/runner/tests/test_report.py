"""The report of a run: skipped tests, crashes and runs without tests are failures; the last line is the plain count."""

from pathlib import Path

import pytest

from runner import report
from runner.junit import Case
from runner.report import Result


def result(tmp_path: Path, *outcomes: str, trouble: str = "") -> Result:
    cases = [Case(f"test_{n}", outcome, float(n), 0.0, 0.0, "why") for n, outcome in enumerate(outcomes)]
    return Result("suite", tmp_path / "log", cases, trouble=trouble)


@pytest.mark.parametrize(
    ("outcomes", "trouble", "passed", "closing"),
    [
        (["passed", "passed"], "", True, "2 passed, 0 failed"),
        (["passed", "failed"], "", False, "1 passed, 1 failed"),
        (["passed", "skipped"], "", False, "1 passed, 1 failed"),
        (["passed"], "did not end within 5 s", False, "1 passed, 1 failed"),
        ([], "", False, "0 passed, 0 failed"),
    ],
)
def test_closing_line_counts_tests_that_did_not_run_as_failed(tmp_path, capsys, outcomes, trouble, passed, closing) -> None:
    assert report.show([result(tmp_path, *outcomes, trouble=trouble)], 1.0) is passed
    assert capsys.readouterr().out.rstrip().splitlines()[-1] == closing


def test_failed_suite_shows_its_failed_test_and_the_end_of_its_log(tmp_path, capsys) -> None:
    (tmp_path / "log").write_text("first line\nlast line\n")
    report.show([result(tmp_path, "passed", "failed")], 1.0)
    printed = capsys.readouterr().out
    assert "FAILED test_1\n    why" in printed and "    last line" in printed


def test_slowest_lists_at_most_thirty_tests_slowest_first(tmp_path) -> None:
    lines = list(report.slowest([result(tmp_path, *["passed"] * 40)]))
    assert len(lines) == 1 + report.N_SLOWEST
    assert lines[1].endswith("suite: test_39")
