"""All planted bugs in one build: each is active only while BREVET_PLANTED has its number."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import rust_source
from edits import body
from planted import Bug

SWITCH = "BREVET_PLANTED"
# Added to the end of each crate's lib.rs. Without the variable no bug is active.
SWITCH_SOURCE = b"""
#[doc(hidden)]
pub fn planted_bug(number: u32) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<u32>> = std::sync::OnceLock::new();
    let chosen = || std::env::var("BREVET_PLANTED").ok().and_then(|text| text.parse().ok());
    *CHOSEN.get_or_init(chosen) == Some(number)
}
"""
ERROR_AT = re.compile(r"^ *--> ([^:\n]+):(\d+):\d+$", re.MULTILINE)


def files(checkout: Path, bugs: dict[int, Bug]) -> dict[Path, bytes]:
    """The sources with all `bugs`, each behind its number."""
    known = rust_source.all_functions(checkout)
    by_file = defaultdict(lambda: defaultdict(list))
    for number, bug in bugs.items():
        function = rust_source.function(known, bug.function)
        by_file[function.file][function.path].append((function, bug, number))
    made = {Path(folder) / "lib.rs": (checkout / folder / "lib.rs").read_bytes() for folder in rust_source.CRATES.values()}
    for file, by_function in by_file.items():
        made[file] = (checkout / file).read_bytes()
        for rows in sorted(by_function.values(), key=lambda rows: rows[0][0].node.start_byte, reverse=True):
            function = rows[0][0]
            edits = [(bug.edit, bug.operands, f"crate::planted_bug({number})") for _, bug, number in rows]
            start, end = function.body.start_byte, function.body.end_byte
            made[file] = made[file][:start] + body(function, edits) + made[file][end:]
    return {file: source + (SWITCH_SOURCE if file.name == "lib.rs" else b"") for file, source in made.items()}


def at_fault(made: dict[Path, bytes], bugs: dict[int, Bug], output: str) -> set[int]:
    """The numbers of the bugs in functions with compiler errors."""
    found = set()
    for file, line in ERROR_AT.findall(output):
        source = made.get(Path(file))
        if source is None:
            continue
        crate = next(name for name, folder in rust_source.CRATES.items() if file.startswith(folder))
        for function in rust_source.functions(source, Path(file), crate):
            first, last = function.line(function.node.start_byte), function.line(function.node.end_byte)
            if first <= int(line) <= last:
                text = function.node.text.decode()
                found |= {number for number in bugs if f"planted_bug({number})" in text}
    return found
