"""A copy of the checkout for planted bugs, and its tests. The copy and its build are kept between runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("BREVET_CACHE") or Path.home() / ".cache" / "brevet")
LONG = CACHE / "long"
# The inputs of the two crates' tests. No other file changes an outcome.
BUILT_FROM = re.compile(r"(shared/(domain|engine)/.*\.(rs|toml|golden|json|txt))|Cargo\.(toml|lock)")
CRATES = ("brevet-domain", "brevet-engine")
# The two crates are compiled again for each set of bugs, and each test takes seconds: optimizing would cost more than
# it saves.
UNOPTIMIZED = [word for crate in CRATES for word in ("--config", f"profile.dev.package.{crate}.opt-level=0")]
# Always both crates, so that their dependencies are built once and not once for each set of features.
PACKAGES = ["--locked", *UNOPTIMIZED, *(word for crate in CRATES for word in ("-p", crate))]
FAILED = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. FAILED", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """The result of one call of cargo."""

    code: int
    output: str

    @property
    def failed(self) -> list[str]:
        return FAILED.findall(self.output)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Prevents a second run, which would change the same copy."""
    LONG.mkdir(parents=True, exist_ok=True)
    with (LONG / "mutants.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("another run is already planting bugs in this copy; wait for its end") from None
        yield


def stop_on_signals() -> None:
    """SIGTERM ends a run as Ctrl-C does: its processes are stopped, and the next run restores the copy."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))


@dataclass(frozen=True)
class Copy:
    """The copy. Only changed files are written, so that cargo rebuilds only those."""

    folder: Path
    digest: str

    @classmethod
    def of(cls, checkout: Path, folder: Path = LONG / "mutants-copy") -> Copy:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=True)
        names = {name for name in listed.stdout.split("\0") if name and (checkout / name).is_file()}
        digest = hashlib.sha256()
        for name in sorted(names):
            content, there = (checkout / name).read_bytes(), folder / name
            if BUILT_FROM.fullmatch(name):
                digest.update(f"{name}\0{len(content)}\0".encode() + content)
            if not there.is_file() or there.read_bytes() != content:
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(content)
        for file in list(folder.rglob("*")):
            if file.is_file() and str(file.relative_to(folder)) not in names:
                file.unlink()
        return cls(folder, digest.hexdigest())

    @contextlib.contextmanager
    def changed(self, files: dict[Path, bytes]) -> Iterator[None]:
        """Replaces the contents of some files for the duration of the block."""
        right = {file: (self.folder / file).read_bytes() for file in files}
        try:
            for file, content in files.items():
                (self.folder / file).write_bytes(content)
            yield
        finally:
            for file, content in right.items():
                (self.folder / file).write_bytes(content)

    def cargo_test(self, arguments: list[str], longest_s: int, settings: dict[str, str] | None = None,
                   to_first_failure: bool = False) -> Run:  # fmt: skip
        """Runs `cargo test` over the two crates, optionally only up to the first failing test."""
        enough = FAILED.match if to_first_failure else lambda line: False
        return self.run(["cargo", "test", *PACKAGES, *arguments], longest_s, settings or {}, enough)

    def run(self, command: list[str], longest_s: int, settings: dict[str, str],
            enough: Callable[[str], object] = lambda line: False) -> Run:  # fmt: skip
        """Runs a command until it prints a line that is `enough`. Its processes are stopped on return and on interruption."""
        running = subprocess.Popen(command, cwd=self.folder, env={**environment(), **settings},
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True)  # fmt: skip
        too_long = threading.Timer(longest_s, stop, [running])
        too_long.start()
        output = ""
        try:
            for line in running.stdout:
                output += line
                if enough(line):
                    break
            else:
                running.wait()
        finally:
            too_long.cancel()
            stop(running)
            running.stdout.close()
        return Run(running.returncode, output)


def environment() -> dict[str, str]:
    """Separate target folder, no debug information: other builds use other settings."""
    return {**os.environ, "CARGO_TARGET_DIR": str(CACHE / "target-mutants"), "CARGO_PROFILE_DEV_DEBUG": "false",
            "CARGO_TERM_COLOR": "never", "RUST_BACKTRACE": "0"}  # fmt: skip


def stop(running: subprocess.Popen) -> None:
    """Ends a process group: first by SIGTERM, because cargo-mutants stops its own children, then by SIGKILL."""
    if running.poll() is None:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(20)
    # Also if the first process has ended: others of its group may still run.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
