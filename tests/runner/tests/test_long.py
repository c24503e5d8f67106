"""The long suites resume: what passed on a commit is not run again on it, what failed or was stopped is."""

import sys
from pathlib import Path

import pytest

from runner import long
from runner.job import Jobs
from runner.long import Part
from runner.ready import Unready


def part(name: str, code: str) -> Part:
    return Part(name, ((sys.executable, "-c", code),), "")


def run(tmp_path: Path, parts: list[Part], commit: str = "abc", again: bool = False) -> tuple[bool, list[str]]:
    said: list[str] = []
    well = long.run(parts, parts, Jobs(), again, lambda: commit, said.append, tmp_path)
    return well, said


GOOD = part("good", "print('7 of 7 caught')")
BAD = part("bad", "print('6 of 7 caught'); raise SystemExit(1)")


def test_every_part_gets_its_line_in_one_table(tmp_path: Path) -> None:
    well, _ = run(tmp_path, [GOOD, BAD])
    assert not well
    good, bad = (tmp_path / "table.md").read_text().splitlines()[2:]
    assert good.startswith("| good | abc | ") and good.endswith("| pass | 7 of 7 caught |")
    assert bad.endswith("| FAIL | 6 of 7 caught |")


def test_part_that_passed_on_a_commit_is_not_run_again_on_it(tmp_path: Path) -> None:
    run(tmp_path, [GOOD, BAD])
    _, said = run(tmp_path, [GOOD, BAD])
    assert said[0].startswith("good: passed on this commit") and said[1].startswith("bad: begins")
    _, said = run(tmp_path, [GOOD], commit="def")
    assert said[0].startswith("good: begins")


def test_part_runs_again_where_it_is_asked_for_or_the_checkout_is_changed(tmp_path: Path) -> None:
    for commit, again in (("abc", True), ("abc+changes", False)):
        run(tmp_path, [GOOD], commit)
        _, said = run(tmp_path, [GOOD], commit, again)
        assert said[0].startswith("good: begins"), commit


def test_part_that_was_stopped_is_not_on_record(tmp_path: Path) -> None:
    jobs = Jobs()
    jobs.stop()
    assert not long.run([GOOD], [GOOD], jobs, False, lambda: "abc", lambda _: None, tmp_path)
    assert long.known("good", tmp_path) is None
    assert "| good | | | | never run | |" in (tmp_path / "table.md").read_text()


def test_part_during_which_the_checkout_changed_is_not_done_on_any_commit(tmp_path: Path) -> None:
    commits = iter(["abc", "def"])
    long.run([GOOD], [GOOD], Jobs(), False, lambda: next(commits), lambda _: None, tmp_path)
    assert long.known("good", tmp_path).commit == "abc+changes"


def test_part_past_its_time_limit_fails_though_it_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long, "_WITHIN_S", 1)
    late = part("late", "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(60)")
    well, _ = run(tmp_path, [late])
    assert not well and not long.known("late", tmp_path).passed


def test_part_whose_tests_were_skipped_fails(tmp_path: Path) -> None:
    text = '<testsuites><testsuite><testcase name="a" time="1"><skipped/></testcase></testsuite></testsuites>'
    skipping = Part("skipping", ((sys.executable, "-c", f"open({str(tmp_path / 'skipping.xml')!r}, 'w').write({text!r})"),), "",
                    has_report=True)  # fmt: skip
    well, _ = run(tmp_path, [skipping])
    assert not well


def test_commit_that_git_does_not_tell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    with pytest.raises(Unready, match="git status.* failed"):
        long.commit()


def test_record_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('{"part": "good"')
    assert long.known("good", tmp_path) is None


def test_part_of_an_unknown_name_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(Unready, match="no part `nope`; there are pace, fuzz, sim, chaos-short, chaos"):
        long.chosen(["sim", "nope"], 1, again=False)
    wanted, every = long.chosen(["sim"], 1, again=False)
    assert [part.name for part in wanted] == ["sim"] and len(every) == 9
