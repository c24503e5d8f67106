"""What must be on the machine already, and how to get it. Standard library only."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Missing:
    """One thing that is not there, as one line says it."""

    what: str
    debian: str
    macos: str

    def __str__(self) -> str:
        return f"missing: {self.what} | Debian/Ubuntu: {self.debian} | macOS: {self.macos}"


def _first_line(*command: str) -> str | None:
    """The command's output (standard output, then error), or None if it cannot run or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return None
    return (done.stdout + done.stderr) if done.returncode == 0 else None


@cache
def python311() -> str | None:
    """A Python 3.11 that can make virtual environments: this one, or one on the path.

    LocalStack's locked dependencies are those of 3.11, so newer ones do not count.
    """
    probe = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))"
    for candidate in (sys.executable, "python3.11", "python3"):
        if candidate and _first_line(candidate, "-c", probe) is not None:
            return candidate
    return None


def java_major(version_text: str) -> int | None:
    """The major version in what `java -version` prints: 17 for `openjdk version "17.0.15"`."""
    found = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(found.group(1)) if found else None


def missing() -> list[Missing]:
    """Everything that is absent, in the order in which it is needed."""
    absent = []
    if shutil.which("cargo") is None:
        absent.append(Missing("cargo (Rust 1.94.1 or newer)", "https://rustup.rs", "https://rustup.rs"))
    if python311() is None:
        absent.append(
            Missing(
                "Python 3.11 with venv (LocalStack 4.14.0 runs on no other)",
                "apt-get install python3 python3-venv (Debian 12), else python3.11 python3.11-venv",
                "brew install python@3.11",
            )
        )
    java = _first_line("java", "-version")
    major = java_major(java) if java else None
    if major is None or major < 17:
        absent.append(Missing("Java 17 or newer", "apt-get install openjdk-17-jre-headless", "brew install openjdk@17"))
    if _first_line("node", "--version") is None or _first_line("npm", "--version") is None:
        absent.append(Missing("node 18 or newer with npm", "apt-get install nodejs npm", "brew install node"))
    if shutil.which("cc") is None:
        absent.append(Missing("a C compiler (cc)", "apt-get install build-essential", "xcode-select --install"))
    return absent
