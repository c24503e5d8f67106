"""The programs that the machine must have already, and how to install them. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Missing:
    """One missing program, printed as one line."""

    what: str
    debian: str
    macos: str

    def __str__(self) -> str:
        return f"missing: {self.what} | Debian/Ubuntu: {self.debian} | macOS: {self.macos}"


def _output(*command: str) -> str | None:
    """Returns the command's output (standard output, then error), or None if it cannot run or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return None
    return (done.stdout + done.stderr) if done.returncode == 0 else None


SUITABLE_PYTHONS = ("3.13", "3.12")
"""LocalStack 4.14.0 uses the syntax of 3.12 (its metadata says 3.10), and its locked dependencies are those of 2026-03."""


@cache
def suitable_python() -> str | None:
    """Finds a Python of `SUITABLE_PYTHONS` that makes virtual environments: this one, one on the path, or pyenv's."""
    pyenv = pyenv_root() / "versions"
    candidates = [sys.executable, "python3"]
    for version in SUITABLE_PYTHONS:
        candidates.append(f"python{version}")
        candidates.extend(str(found) for found in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True))
    probe = (
        "import sys, venv, ensurepip, ssl, sqlite3;"
        f"sys.exit('%d.%d' % sys.version_info[:2] not in {SUITABLE_PYTHONS!r})"
    )
    return next((python for python in candidates if python and _output(python, "-c", probe) is not None), None)


def pyenv_root() -> Path:
    """The folder of pyenv's Pythons: `PYENV_ROOT`, or beside its shims on the path, or in the home folder."""
    if configured := os.environ.get("PYENV_ROOT"):
        return Path(configured)
    folders = (Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep))
    shims = (folder.parent for folder in folders if folder.name == "shims" and (folder.parent / "versions").is_dir())
    return next(shims, Path.home() / ".pyenv")


def node_major(version_text: str) -> int | None:
    """Parses the major version out of `node --version`: 20 for `v20.20.2`."""
    found = re.match(r"v(\d+)\.", version_text.strip())
    return int(found.group(1)) if found else None


def java_major(version_text: str) -> int | None:
    """Parses the major version out of `java -version`: 17 for `openjdk version "17.0.15"`."""
    found = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(found.group(1)) if found else None


def missing() -> list[Missing]:
    """Lists the missing programs in the order in which they are needed."""
    absent = []
    if _output("cargo", "--version") is None:
        absent.append(Missing("cargo (Rust 1.94.1 or newer)", "https://rustup.rs", "https://rustup.rs"))
    if suitable_python() is None:
        absent.append(
            Missing(
                "Python 3.12 or 3.13 with venv (LocalStack 4.14.0 needs one of the two)",
                "apt-get install python3 python3-venv (Debian 13, Ubuntu 24.04; older releases: pyenv install 3.13)",
                "brew install python@3.13",
            )
        )
    java = _output("java", "-version")
    major = java_major(java) if java else None
    if major is None or major < 17:
        absent.append(Missing("Java 17 or newer", "apt-get install openjdk-17-jre-headless", "brew install openjdk@17"))
    node = node_major(_output("node", "--version") or "")
    if node is None or node < 18 or _output("npm", "--version") is None:
        absent.append(Missing("node 18 or newer with npm", "apt-get install nodejs npm", "brew install node"))
    if shutil.which("cc") is None:
        absent.append(Missing("a C compiler (cc)", "apt-get install build-essential", "xcode-select --install"))
    return absent
