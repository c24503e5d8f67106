#!/usr/bin/env python3
"""Prints the template as plain JSON facts. Usage: resolve.py [Parameter=value ...] (run in the tests venv)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from brevet_local import template  # noqa: E402

if __name__ == "__main__":
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    json.dump(template.facts(given=given), sys.stdout, indent=2)
    print()
