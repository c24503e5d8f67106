"""Reports of pytest and nextest are read test by test; a missing or broken report holds no test."""

from pathlib import Path

import pytest

from runner import junit

PYTEST = """<testsuites><testsuite name="pytest" tests="3">
<testcase classname="e2e.test_a" name="test_one" time="2.5"><properties><property name="cpu_s" value="0.4"/>
<property name="slept_s" value="2.0"/></properties></testcase>
<testcase classname="e2e.test_a" name="test_two" time="1"><failure message="expected 1, saw 2">trace</failure></testcase>
<testcase classname="e2e.test_a" name="test_three" time="0"><skipped message="no tool"/></testcase>
<testcase classname="e2e.test_a" name="test_four" time="0"><error message="set-up failed"/></testcase>
</testsuite></testsuites>"""
NEXTEST = """<testsuites name="nextest-run" tests="2"><testsuite name="brevet-engine">
<testcase name="reap::tests::ends_it" classname="brevet-engine" time="3.0"/>
<testcase name="reap::tests::breaks" classname="brevet-engine" time="0.5"><failure type="test failure">panicked at x</failure></testcase>
</testsuite></testsuites>"""


def test_report_of_pytest_has_outcome_and_times(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(PYTEST)
    one, two, three, four = junit.cases(tmp_path / "a.xml")
    assert (one.name, one.outcome, one.wall_s, one.cpu_s, one.slept_s) == ("e2e.test_a::test_one", "passed", 2.5, 0.4, 2.0)
    assert (two.outcome, two.message) == ("failed", "expected 1, saw 2")
    assert three.outcome == "skipped"
    assert four.outcome == "failed"


def test_report_of_nextest_takes_cpu_times_from_the_wrapper(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(NEXTEST)
    (tmp_path / "times").write_text(
        "cpu brevet-engine reap::tests::ends_it 1.5 0.25\nmeasured.sh: line 9: 7248 Segmentation fault \"$@\" 1>&3 2>&4\n"
        "cpu brevet-engine reap::tests::ends_it 0.5 0.25\n"
    )
    ends, breaks = junit.cases(tmp_path / "a.xml", junit.rust_cpu_times(tmp_path / "times"))
    assert (ends.name, ends.cpu_s, ends.slept_s) == ("brevet-engine reap::tests::ends_it", 2.5, 0.5)
    assert (breaks.outcome, breaks.message, breaks.cpu_s, breaks.slept_s) == ("failed", "panicked at x", 0.0, 0.0)


@pytest.mark.parametrize("text", [None, "", "<testsuites><testsuite>", "not XML",
                                  '<?xml version="1.0" encoding="foo"?><a/>', PYTEST.replace("2.5", "1,000.5")])
def test_report_that_is_missing_or_broken_holds_no_test(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.xml").write_text(text)
    assert junit.cases(tmp_path / "a.xml") == []


def test_missing_times_file_holds_no_time(tmp_path: Path) -> None:
    assert junit.rust_cpu_times(tmp_path / "none") == {}
