"""The long suites resume: a part that passed on a commit is not repeated on it; a failed or stopped part is."""

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
    printed: list[str] = []
    passed = long.run(parts, parts, Jobs(), again, lambda: commit, printed.append, tmp_path)
    return passed, printed


GOOD = part("good", "print('7 of 7 caught')")
BAD = part("bad", "print('6 of 7 caught'); raise SystemExit(1)")


def test_table_has_a_line_for_every_part(tmp_path: Path) -> None:
    passed, _ = run(tmp_path, [GOOD, BAD])
    assert not passed
    good, bad = (tmp_path / "table.md").read_text().splitlines()[2:]
    assert good.startswith("| good | abc | ") and good.endswith("| pass | 7 of 7 caught |")
    assert bad.endswith("| FAIL | 6 of 7 caught |")


def test_part_is_not_repeated_on_the_commit_on_which_it_passed(tmp_path: Path) -> None:
    run(tmp_path, [GOOD, BAD])
    _, printed = run(tmp_path, [GOOD, BAD])
    assert printed[0].startswith("good: passed on this commit") and printed[1].startswith("bad: begins")
    _, printed = run(tmp_path, [GOOD], commit="def")
    assert printed[0].startswith("good: begins")


def test_part_is_repeated_when_requested_or_the_checkout_is_changed(tmp_path: Path) -> None:
    for commit, again in (("abc", True), ("abc+changes", False)):
        run(tmp_path, [GOOD], commit)
        _, printed = run(tmp_path, [GOOD], commit, again)
        assert printed[0].startswith("good: begins"), commit


def test_stopped_part_is_not_recorded(tmp_path: Path) -> None:
    jobs = Jobs()
    jobs.stop()
    assert not long.run([GOOD], [GOOD], jobs, False, lambda: "abc", lambda _: None, tmp_path)
    assert long.known("good", tmp_path) is None
    assert "| good | | | | never run | |" in (tmp_path / "table.md").read_text()


def test_part_counts_for_no_commit_when_the_checkout_changes_meanwhile(tmp_path: Path) -> None:
    commits = iter(["abc", "def"])
    long.run([GOOD], [GOOD], Jobs(), False, lambda: next(commits), lambda _: None, tmp_path)
    assert long.known("good", tmp_path).commit == "abc+changes"


def test_part_past_its_time_limit_fails_even_with_exit_code_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long, "_WITHIN_S", 1)
    late = part("late", "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); time.sleep(60)")
    passed, _ = run(tmp_path, [late])
    assert not passed and not long.known("late", tmp_path).passed


def test_part_with_skipped_tests_fails(tmp_path: Path) -> None:
    text = '<testsuites><testsuite><testcase name="a" time="1"><skipped/></testcase></testsuite></testsuites>'
    skipping = Part("skipping", ((sys.executable, "-c", f"open({str(tmp_path / 'skipping.xml')!r}, 'w').write({text!r})"),), "",
                    has_report=True)  # fmt: skip
    passed, _ = run(tmp_path, [skipping])
    assert not passed


def test_commit_is_rejected_when_git_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    with pytest.raises(Unready, match="git status.* failed"):
        long.commit()


def test_unreadable_record_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('{"part": "good"')
    assert long.known("good", tmp_path) is None


def test_unknown_part_is_rejected_with_the_known_names() -> None:
    with pytest.raises(Unready, match="unknown part `nope`; the parts are pace, fuzz, sim, chaos-short, chaos"):
        long.chosen(["sim", "nope"], 1, again=False)
    selected, every = long.chosen(["sim"], 1, again=False)
    assert [part.name for part in selected] == ["sim"] and len(every) == 9
