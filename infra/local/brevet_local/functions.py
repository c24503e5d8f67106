"""Runs the functions' binaries under the Lambda emulator, each with its own execution-role credentials."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from . import aws, places, process
from .process import Process, Trouble

RECYCLE_AFTER_S = 45 * 60
"""A role session lasts an hour. A fresh copy takes over well before that, as Lambda too replaces its environments."""


def emulator_folder(facts: dict[str, Any]) -> Path:
    """Makes a folder whose Cargo.toml names the functions: cargo-lambda serves only binaries of a package."""
    folder = places.LOCAL / "emulator"
    folder.mkdir(parents=True, exist_ok=True)
    binaries = "".join(f'\n[[bin]]\nname = "{one["name"]}"\npath = "none.rs"\n' for one in facts["functions"])
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "function-names"\nversion = "0.0.0"\nedition = "2024"\npublish = false\n\n[workspace]\n'
        + binaries
    )
    return folder


def of(facts: dict[str, Any], name: str) -> dict[str, Any]:
    """Finds a function by its short name. Raises `Trouble` if the template has no such function."""
    for function in facts["functions"]:
        if function["id"] == name:
            return function
    raise Trouble(f"unknown function `{name}`; the functions are {', '.join(one['id'] for one in facts['functions'])}")


def copies(name: str) -> list[Process]:
    """The running copies of a function."""
    mine = (one for one in process.recorded() if one.name.startswith(f"fn-{name}-"))
    return [one for one in mine if one.alive]


def start(facts: dict[str, Any], name: str, gate: bool, more: dict[str, str] | None = None) -> Process:
    """Starts one more copy of a function with fresh credentials of its execution role.

    `more` adds to its environment.
    """
    function = of(facts, name)
    binary = places.BINARIES / function["binary"]
    if not binary.exists():
        raise Trouble(f"{name}: {binary} does not exist; run `make build` first")
    environment = {**_base(), **_lambda(function), **_credentials(function, gate), **_endpoints(gate)}
    own = dict(function["environment"])
    if "BREVET_API_URL" in own:
        own["BREVET_API_URL"] = places.url("http")
    taken = {one.name for one in process.recorded()}
    number = next(n for n in range(1, 1000) if f"fn-{name}-{n}" not in taken)
    return process.start(
        f"fn-{name}-{number}", [binary], {**environment, **own, **(more or {})}, log=f"fn-{name}"
    )


def kill(name: str) -> int:
    """Kills every copy of a function at once, as a crash would. Returns the number of copies killed."""
    running = copies(name)
    for one in running:
        process.kill(one)
    return len(running)


def recycle(facts: dict[str, Any], gate: bool) -> list[str]:
    """Replaces copies whose credentials are about to expire; returns their names. Killed copies are not restarted."""
    replaced = []
    for function in facts["functions"]:
        for old in copies(function["id"]):
            if time.time() - old.started_at > RECYCLE_AFTER_S:
                start(facts, function["id"], gate)
                process.stop([old])
                replaced.append(old.name)
    return replaced


def _base() -> dict[str, str]:
    """The environment that Lambda gives every function.

    Of this machine's own only the path: no profile, proxy or home.
    """
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_REGION": places.REGION,
        "AWS_DEFAULT_REGION": places.REGION,
    }


def _lambda(function: dict[str, Any]) -> dict[str, str]:
    return {
        "_HANDLER": "bootstrap",
        "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
        "AWS_LAMBDA_FUNCTION_NAME": function["name"],
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function["memory_mb"]),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_RUNTIME_API": f"{places.url('lambda')}/.rt/{function['name']}",
    }


def _credentials(function: dict[str, Any], gate: bool) -> dict[str, str]:
    answer = aws.client("sts", aws.endpoint("sts", gate)).assume_role(
        RoleArn=function["role_arn"], RoleSessionName=function["name"], DurationSeconds=3600
    )
    credentials = answer["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }


def _endpoints(gate: bool) -> dict[str, str]:
    if gate:
        return {"AWS_ENDPOINT_URL": places.url("gate")}
    return {
        "AWS_ENDPOINT_URL": places.url("localstack"),
        "AWS_ENDPOINT_URL_DYNAMODB": places.url("dynamodb"),
        "AWS_ENDPOINT_URL_LAMBDA": places.url("lambda"),
    }
