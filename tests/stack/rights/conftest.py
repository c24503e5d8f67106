"""Records every test in the ledger, runs the tests that check the ledger last, and prints the table of rights."""

from __future__ import annotations

import pytest

import enforcement
import table
from enforcement import FACTS, LEDGER, assumed
from scenery import Scenery


def pytest_configure(config):
    config.addinivalue_line("markers", "control: the test removes a protection, so its calls are not recorded in the ledger")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name == "test_every_right.py")


@pytest.fixture(scope="session")
def credentials():
    """Credentials of each function's execution role."""
    return {one["id"]: {**assumed(one["role_arn"]), "Function": one["id"]} for one in FACTS["functions"]}


@pytest.fixture(scope="session")
def scenery():
    """Roles, policies and a table with restricted or no access for the functions; deleted afterwards."""
    made = Scenery()
    made.put_up()
    yield made
    made.take_down()


@pytest.fixture(autouse=True)
def ledger(request, credentials, scenery):
    """Records the test's calls in the ledger."""
    LEDGER.open()
    yield LEDGER
    LEDGER.close(request.node.originalname, request.node.get_closest_marker("control") is None)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("rights, by the gate's decisions")
    for line in table.lines(enforcement.granted(), LEDGER.rows):
        terminalreporter.write_line(line)
