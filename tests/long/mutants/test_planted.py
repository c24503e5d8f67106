"""Every row of planted.toml fits the checkout's code, so that a rename that breaks a row fails without a build."""

from __future__ import annotations

import re

import planted
import pytest
import rust_source

BUGS = planted.bugs()
FUNCTIONS = rust_source.all_functions(planted.CHECKOUT)
FOLDERS = {"brevet-domain": "shared/domain", "brevet-engine": "shared/engine"}


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_planted_bug_fits_the_code(bug: planted.Bug) -> None:
    bug.place(FUNCTIONS)


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_catching_test_exists(bug: planted.Bug) -> None:
    folder = planted.CHECKOUT / FOLDERS[bug.caught_by.package]
    *modules, name = bug.caught_by.name.split("::")
    where = folder / "src" if bug.caught_by.target == "lib" else folder / "tests" / f"{bug.caught_by.target}.rs"
    files = [where] if where.is_file() else [file for file in where.rglob("*.rs")]
    if modules:
        files = [file for file in files if set(modules) & {*file.with_suffix("").parts}]
    assert any(re.search(rf"\bfn {name}\b", file.read_text()) for file in files), bug.caught_by.name
