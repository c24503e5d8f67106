"""What takes a minute begins with the suite's first test, and is looked at when it is over."""

from __future__ import annotations

import pytest

from lives import Lives


@pytest.fixture(autouse=True)
def begun(lives: Lives) -> None:
    """Grants run to their ends while the other tests of this folder do their work."""
