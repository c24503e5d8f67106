"""Several bugs in one build: each behind its number, and compiler errors attributed to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import rust_source
import switched
from planted import Bug, NamedTest

SOURCE = """
fn due(now: u32, until: u32) -> bool {
    now >= until
}

fn record(grant: &Grant) {
    store(grant);
    call(grant);
}
"""


def bug(function: str, edit: str, **operands: str) -> Bug:
    return Bug("a bug", function, edit, operands, NamedTest("brevet-domain", "lib", "tests::it"), "check")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in rust_source.CRATES.values():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "lib.rs").write_text("mod grant;\n")
    (tmp_path / rust_source.CRATES["domain"] / "grant.rs").write_text(SOURCE)
    return tmp_path


BUGS = {
    1: bug("due", "never", what="now >= until"),
    2: bug("grant::record", "move_after", what="store", after="call"),
    3: bug("record", "skip", what="call(grant)"),
}


def test_build_contains_every_bug_behind_its_number_and_the_original_code(checkout: Path) -> None:
    made = switched.files(checkout, BUGS)
    text = made[Path("shared/domain/src/grant.rs")].decode()
    assert "((now >= until) && !crate::planted_bug(1))" in text
    assert text.count("store(grant);") == 3 and text.count("call(grant);") == 2
    assert not rust_source.PARSER.parse(text.encode()).root_node.has_error
    for folder in rust_source.CRATES.values():
        assert b"BREVET_PLANTED" in made[Path(folder) / "lib.rs"]


def test_compiler_error_is_attributed_to_the_bugs_in_its_function(checkout: Path) -> None:
    made = switched.files(checkout, BUGS)
    output = "error[E0382]: use of moved value\n  --> shared/domain/src/grant.rs:7:9\n"
    assert switched.at_fault(made, BUGS, output) == {2, 3}
    assert switched.at_fault(made, BUGS, "error: could not compile") == set()
