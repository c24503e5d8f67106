"""Reads a suite's JUnit report. Standard library only.

pytest and nextest both write this format. The plugin `measure` adds `cpu_s` and `slept_s` to pytest's cases. nextest
measures wall time only, so `measured.sh` writes a line for each Rust test to a separate file.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One test: its name, its outcome, and its times in seconds."""

    name: str
    outcome: str
    """`passed`, `failed` or `skipped`. A skipped test has shown nothing: it counts as failed."""
    wall_s: float
    cpu_s: float
    slept_s: float
    message: str = ""


def cases(report: Path, cpu_times: dict[str, float] | None = None) -> list[Case]:
    """Every test of a report; empty if the file is missing or broken, as after a crash.

    `cpu_times` are the CPU times of Rust tests by name (see `rust_cpu_times`); the rest of their wall time counts as
    slept.
    """
    try:
        root = ElementTree.parse(report).getroot()
        return [_case(suite, element, cpu_times) for suite in root.iter("testsuite") for element in suite.iter("testcase")]
    except (OSError, ElementTree.ParseError, ValueError, LookupError):
        return []


def _case(suite: ElementTree.Element, element: ElementTree.Element, cpu_times: dict[str, float] | None) -> Case:
    problem = next((child for child in element if child.tag in ("failure", "error")), None)
    skipped = element.find("skipped") is not None
    properties = {one.get("name"): one.get("value") for one in element.iter("property")}
    wall_s = float(element.get("time") or 0)
    if cpu_times is None:
        name = f"{element.get('classname')}::{element.get('name')}"
        cpu_s, slept_s = float(properties.get("cpu_s") or 0), float(properties.get("slept_s") or 0)
    else:
        name = f"{suite.get('name')} {element.get('name')}"
        cpu_s = cpu_times.get(name, 0.0)
        slept_s = max(0.0, wall_s - cpu_s) if name in cpu_times else 0.0
    outcome = "failed" if problem is not None else "skipped" if skipped else "passed"
    message = "" if problem is None else (problem.get("message") or problem.text or "").strip()
    return Case(name, outcome, wall_s, cpu_s, slept_s, message)


def rust_cpu_times(file: Path) -> dict[str, float]:
    """CPU seconds by `<binary> <test>`, from the lines of `measured.sh`; a retried test counts with all its tries.

    The shell adds its own lines to the file when a test crashes; they are ignored.
    """
    found: dict[str, float] = {}
    for line in file.read_text(errors="replace").splitlines() if file.exists() else []:
        match line.split(" "):
            case ["cpu", *name, user, system]:
                found[" ".join(name)] = found.get(" ".join(name), 0.0) + float(user) + float(system)
    return found
