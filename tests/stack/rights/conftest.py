"""Keeps the ledger around every test, runs the test that balances it last, and prints the table of rights."""

from __future__ import annotations

import pytest

import enforcement
import table
from enforcement import FACTS, LEDGER, assumed
from scenery import Scenery


def pytest_configure(config):
    config.addinivalue_line("markers", "control: a protection is removed in it, so that it shows nothing of the rights")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name == "test_every_right.py")


@pytest.fixture(scope="session")
def credentials():
    """Credentials of each function's execution role."""
    return {one["id"]: {**assumed(one["role_arn"]), "Function": one["id"]} for one in FACTS["functions"]}


@pytest.fixture(scope="session")
def scenery():
    """Roles, policies and a table that no function may touch, or not in every way; gone afterwards."""
    made = Scenery()
    made.put_up()
    yield made
    made.take_down()


@pytest.fixture(autouse=True)
def ledger(request, credentials, scenery):
    """Takes what the test called into the ledger."""
    LEDGER.open()
    yield LEDGER
    LEDGER.close(request.node.originalname, request.node.get_closest_marker("control") is None)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("rights, as the gate saw them")
    for line in table.lines(enforcement.granted(), LEDGER.rows):
        terminalreporter.write_line(line)
