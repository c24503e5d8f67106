"""Rust source for the edits: functions by path, and tokens without white space and comments."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_rust
from tree_sitter import Language, Node, Parser

# The crates that carry planted bugs, with the first name of their functions' paths.
CRATES = {"domain": "shared/domain/src", "engine": "shared/engine/src"}

PARSER = Parser(Language(tree_sitter_rust.language()))
TOKEN = re.compile(
    rb'//[^\n]*|/\*.*?\*/|\s+|(?P<token>b?r(?P<hashes>#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"'
    rb"|b?'(?:\\.|[^'\\])'|'?\w+|.)",
    re.DOTALL,
)


class DoesNotFit(Exception):
    """An edit's target does not exist in the code, or is not unique. The text is one line."""


@dataclass(frozen=True)
class Token:
    text: bytes
    start: int
    end: int


def tokens(source: bytes, start: int = 0, end: int | None = None) -> list[Token]:
    """The tokens of a part of a source. Each punctuation character is a token."""
    found = (match for match in TOKEN.finditer(source, start, len(source) if end is None else end) if match["token"])
    return [Token(match["token"], match.start(), match.end()) for match in found]


@dataclass(frozen=True)
class Function:
    """A function that is not a test."""

    path: str
    file: Path
    source: bytes
    node: Node

    @property
    def body(self) -> Node:
        return self.node.child_by_field_name("body")

    def line(self, at: int) -> int:
        return self.source.count(b"\n", 0, at) + 1

    def spans(self, sought: str, node: Node | None = None) -> list[tuple[int, int]]:
        """The spans in `node`, or in the function, in which the tokens of `sought` follow each other."""
        node = node or self.body
        expected = [token.text for token in tokens(sought.encode())]
        there = tokens(self.source, node.start_byte, node.end_byte)
        texts = [token.text for token in there]
        starts = range(len(texts) - len(expected) + 1) if expected else ()
        return [
            (there[at].start, there[at + len(expected) - 1].end)
            for at in starts
            if texts[at : at + len(expected)] == expected
        ]

    def one(self, places: list, what: str) -> object:
        """The only element of `places`. Otherwise an error with the lines, or with the most similar line."""
        if len(places) == 1:
            return places[0]
        if places:
            lines = ", ".join(str(self.line(place[0])) for place in places)
            raise DoesNotFit(f"`{what}` occurs {len(places)} times in {self.path} (lines {lines}): name more tokens")
        lines = self.source[self.node.start_byte : self.node.end_byte].decode().splitlines()
        near = difflib.get_close_matches(what, [line.strip() for line in lines], 1, 0.3)
        hint = f"; similar: `{near[0]}`" if near else ""
        raise DoesNotFit(f"`{what}` does not occur in {self.path} ({self.file}:{self.line(self.node.start_byte)}){hint}")


def functions(source: bytes, file: Path, module: str) -> Iterator[Function]:
    """The functions of a file, each with the path of module, type and name."""
    yield from _within(PARSER.parse(source).root_node, source, file, module)


def _within(node: Node, source: bytes, file: Path, path: str) -> Iterator[Function]:
    is_test = False
    for child in node.named_children:
        if child.type == "attribute_item":
            is_test |= re.search(rb"\btest\b", child.text) is not None
            continue
        if child.type in ("line_comment", "block_comment"):
            continue
        name = child.child_by_field_name("type" if child.type == "impl_item" else "name")
        body = child.child_by_field_name("body")
        if body is not None and name is not None and not is_test:
            inner = f"{path}::{re.sub(r'<.*', '', name.text.decode(), flags=re.DOTALL)}"
            if child.type == "function_item":
                yield Function(inner, file, source, child)
            elif child.type in ("impl_item", "mod_item", "trait_item"):
                yield from _within(body, source, file, inner)
        is_test = False


def all_functions(checkout: Path) -> list[Function]:
    """The functions of the crates that carry planted bugs, without tests."""
    found = []
    for crate, folder in CRATES.items():
        for file in sorted((checkout / folder).rglob("*.rs")):
            parts = file.relative_to(checkout / folder).with_suffix("").parts
            if "tests" not in parts:
                module = "::".join([crate, *(part for part in parts if part not in ("mod", "lib"))])
                found += functions(file.read_bytes(), file.relative_to(checkout), module)
    return found


def function(known: list[Function], path: str) -> Function:
    """The only function whose path ends with `path`, by whole names."""
    fitting = [one for one in known if f"::{one.path}".endswith(f"::{path}")]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DoesNotFit(f"`{path}` is the name of several functions: {', '.join(one.path for one in fitting)}")
    by_tail = {"::".join(one.path.split("::")[-2:]): one for one in known}
    near = difflib.get_close_matches("::".join(path.split("::")[-2:]), by_tail, 3, 0.5)
    same = [tail for tail in by_tail if tail.split("::")[-1] == path.split("::")[-1]]
    hints = [f"{by_tail[tail].path} ({by_tail[tail].file})" for tail in dict.fromkeys([*same[:3], *near])]
    raise DoesNotFit(f"there is no function `{path}`" + (f"; similar: {', '.join(hints)}" if hints else ""))
