"""Reading the output of cargo-mutants, and comparing survivors with the accepted ones."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path

import cargo_mutants
import planted
import pytest
from checkout import Copy
from results import Results

MISSED = "shared/domain/src/deny.rs: replace < with <= in Denied::fitting"


def outcome(name: str, summary: str, log: str) -> dict:
    return {"scenario": {"Mutant": {"name": name}}, "summary": summary, "log_path": log}


def test_caught_mutant_is_saved_with_its_failed_tests(tmp_path: Path) -> None:
    folder = tmp_path / "mutants.out"
    (folder / "log").mkdir(parents=True)
    (folder / "log" / "one.log").write_text("test deny::tests::cut ... FAILED\ntest deny::tests::other ... ok\n")
    outcomes = [{"scenario": "Baseline", "summary": "Success", "log_path": "log/baseline.log"},
                outcome("a.rs:3:9: replace == with !=", "CaughtMutant", "log/one.log"),
                outcome("a.rs:4:9: replace f -> bool with true", "MissedMutant", "log/none.log")]  # fmt: skip
    (folder / "outcomes.json").write_text(json.dumps({"outcomes": outcomes}))
    results = Results(tmp_path / "outcomes.jsonl")
    cargo_mutants.harvest(tmp_path, results)
    known = results.known()
    assert known["a.rs:3:9: replace == with !="]["tests"] == ["deny::tests::cut"]
    assert known["a.rs:4:9: replace f -> bool with true"]["outcome"] == "MISSED"


def test_incomplete_result_line_is_ignored(tmp_path: Path) -> None:
    results = Results(tmp_path / "outcomes.jsonl")
    results.add("one", outcome="caught")
    with results.file.open("a") as out:
        out.write('{"key": "two", "outco')
    assert list(results.known()) == ["one"]


def test_short_name_has_no_line_and_column() -> None:
    assert cargo_mutants.short("a/b.rs:30:12: replace < with <= in f") == "a/b.rs: replace < with <= in f"


@pytest.mark.parametrize(
    ("missed", "accepted", "wrong"),
    [
        ({MISSED: 1}, {MISSED: 1}, []),
        ({MISSED: 2}, {MISSED: 1}, [f"survives: {MISSED}"]),
        ({}, {MISSED: 1}, [f"accepted in survivors.toml, but caught or no longer generated: {MISSED}"]),
    ],
)
def test_survivors_are_accepted_by_name_and_number(
    missed: dict[str, int], accepted: dict[str, int], wrong: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f'[[survivor]]\nmutant = "{name}"\nn = {n}\nreason = "it is equal"\n' for name, n in accepted.items()]
    (tmp_path / "survivors.toml").write_text("\n".join(rows))
    monkeypatch.setattr(planted, "HERE", tmp_path)
    assert cargo_mutants.unaccepted(Counter(missed), ["shared/domain/src/deny.rs"]) == wrong


def settings() -> dict:
    return tomllib.loads((planted.CHECKOUT / ".cargo" / "mutants.toml").read_text())


@pytest.mark.parametrize("file", settings()["examine_globs"])
def test_examined_file_exists(file: str) -> None:
    assert (planted.CHECKOUT / file).is_file()


def test_configuration_examines_one_file_and_keeps_the_rest(tmp_path: Path) -> None:
    copy = Copy(planted.CHECKOUT, "a digest")
    made = cargo_mutants.configured(copy, "shared/domain/src/deny.rs", tmp_path)
    assert tomllib.loads(made.read_text()) == settings() | {"examine_globs": ["shared/domain/src/deny.rs"]}
