"""The rows of planted.toml, and the function of each in a checkout."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import rust_source
from edits import body
from rust_source import DoesNotFit, Function

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
TIERS = ("check", "test", "test-long")
OPERANDS = ("what", "after", "with", "value", "within")


@dataclass(frozen=True)
class NamedTest:
    """One test, by its name in cargo."""

    package: str
    target: str
    name: str

    def arguments(self) -> list[str]:
        """The arguments with which cargo runs only this test's binary."""
        return ["--lib"] if self.target == "lib" else ["--test", self.target]


@dataclass(frozen=True)
class Bug:
    """A planted bug: a row of planted.toml."""

    name: str
    function: str
    edit: str
    operands: dict[str, str]
    caught_by: NamedTest
    tier: str

    def place(self, known: list[Function]) -> Function:
        """The function that the bug changes. The edit must change it, and the result must parse as Rust."""
        function = rust_source.function(known, self.function)
        made = body(function, [(self.edit, self.operands, "on()")])
        if made == function.body.text:
            raise DoesNotFit(f"`{self.edit}` changes nothing of {function.path}")
        if rust_source.PARSER.parse(b"fn f() " + made).root_node.has_error:
            raise DoesNotFit(f"`{self.edit}` turns {function.path} into invalid Rust")
        return function


def bugs(file: Path = HERE / "planted.toml") -> list[Bug]:
    """Every row, in its order."""
    rows = [_bug(row) for row in tomllib.loads(file.read_text())["bug"]]
    names = [row.name for row in rows]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DoesNotFit(f"several rows are called {', '.join(sorted(twice))}")
    return rows


def _bug(row: dict[str, str]) -> Bug:
    name = row.get("name", "a row without a name")
    if unknown := set(row) - {"name", "function", "edit", "caught_by", "tier", *OPERANDS}:
        raise DoesNotFit(f"{name}: there is no key {', '.join(sorted(unknown))}")
    if missing := {"name", "function", "edit", "caught_by", "tier"} - set(row):
        raise DoesNotFit(f"{name}: the row lacks {', '.join(sorted(missing))}")
    if row["tier"] not in TIERS:
        raise DoesNotFit(f"{name}: `{row['tier']}` is not a tier: use one of {', '.join(TIERS)}")
    if len(words := row["caught_by"].split()) != 3:
        raise DoesNotFit(f"{name}: `{row['caught_by']}` must be a package, a target and the name of a test")
    operands = {key: row[key] for key in OPERANDS if key in row}
    return Bug(name, row["function"], row["edit"], operands, NamedTest(*words), row["tier"])
