"""Folders and ports of the local stack. Standard library only: it runs before anything is installed."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
LOCAL = Path(os.environ.get("BREVET_LOCAL") or CHECKOUT / ".local").expanduser()
"""State and logs of the running stack; ignored by git. `BREVET_LOCAL` moves it, so that two stacks can run."""

PIDS = LOCAL / "pids"
LOGS = LOCAL / "log"

CACHE = Path(os.environ.get("BREVET_CACHE") or Path.home() / ".cache" / "brevet").expanduser()
TOOLS = CACHE / "tools"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target").expanduser()
BINARIES = TARGET / "debug"

TEMPLATE = CHECKOUT / "infra" / "template.yaml"
CATALOGUE = CHECKOUT / "infra" / "catalogue"

LOCALSTACK_VENV = TOOLS / "localstack"
TESTS_VENV = TOOLS / "tests"
DYNAMODB = TOOLS / "dynamodb"
DECIDER = TOOLS / "decider"
ACTIONLINT = TOOLS / "actionlint"

ACCOUNT = "000000000000"
REGION = "us-east-1"
PARTITION = "aws"

BOOTSTRAP_KEY = "AKIABREVETBOOTSTRAP0"
BOOTSTRAP_SECRET = "bootstrap"
"""The only key pair that the gate lets through without a policy check. It stands for the deploying administrator."""

_PORTS = {
    "localstack": ("BREVET_PORT_LOCALSTACK", 4566),
    "dynamodb": ("BREVET_PORT_DYNAMODB", 8000),
    "gate": ("BREVET_PORT_GATE", 4600),
    "lambda": ("BREVET_PORT_LAMBDA", 9000),
    "http": ("BREVET_PORT_HTTP", 8080),
}


def port_variable(part: str) -> str:
    """The environment variable that moves `part` to another port."""
    return _PORTS[part][0]


def port(part: str) -> int:
    """The port of `part`.

    Raises `SystemExit` with one line if the variable is not a port number.
    """
    variable, default = _PORTS[part]
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise SystemExit(f"{variable}={text!r} is not a port number (1 to 65535)")
    return int(text)


def url(part: str) -> str:
    """The loopback URL of `part`, without a path."""
    return f"http://127.0.0.1:{port(part)}"


def port_environment() -> dict[str, str]:
    """Every port variable with its effective value, for child processes."""
    return {port_variable(part): str(port(part)) for part in _PORTS}
