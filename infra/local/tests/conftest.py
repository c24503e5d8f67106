"""Makes `brevet_local` importable, and resolves the template once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@pytest.fixture(scope="session")
def facts():
    from brevet_local import template

    return template.facts()
