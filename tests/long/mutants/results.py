"""The results of earlier runs, one line each, so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path


def digest(*parts: object) -> str:
    """A digest of everything that a result depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass
class Results:
    """Results by key. A line that an interrupted run left incomplete is ignored."""

    file: Path

    def known(self) -> dict[str, dict]:
        found = {}
        if self.file.is_file():
            for line in self.file.read_text().splitlines():
                try:
                    one = json.loads(line)
                    found[one["key"]] = one
                except (ValueError, KeyError):
                    continue
        return found

    def add(self, key: str, **result: object) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as out:
            out.write(json.dumps({"key": key, **result}) + "\n")

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)
