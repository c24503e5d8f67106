"""Brings the parts up in order, and down again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import catalogue, functions, places, process, provision, service, switches, template
from .process import Process, Trouble

PARTS = ("localstack", "dynamodb", "gate", "lambda", "functions", "driver")
"""In start order. `driver` is the HTTP front, the tick and the stream pumps."""

FACTS = places.LOCAL / "facts.json"
UP = places.LOCAL / "up.json"
"""The parts that the running stack was brought up with."""

GATE_LOG = places.LOGS / "gate-calls.jsonl"


def say(line: str) -> None:
    """Prints one line of progress."""
    print(line, flush=True)


@contextmanager
def alone() -> Iterator[None]:
    """Keeps two `up` or `down` from mixing."""
    places.LOCAL.mkdir(parents=True, exist_ok=True)
    with open(places.LOCAL / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def facts() -> dict[str, Any]:
    """The facts of the running stack. Raises `Trouble` if no stack is up."""
    if not FACTS.exists():
        raise Trouble("the stack is not up; run `stack.py up` first")
    return json.loads(FACTS.read_text())


def gated() -> bool:
    """Whether the running stack includes the gate."""
    return UP.exists() and "gate" in json.loads(UP.read_text())["parts"]


def up(without: set[str], given: dict[str, str]) -> None:
    """Brings up every part except `without`. Does nothing if the stack is up. Stops every part again on a failure."""
    with alone():
        wanted = [part for part in PARTS if part not in without]
        running = [one for one in process.recorded() if one.alive]
        if running:
            _already_up(running)
            return
        for record in process.recorded():
            record.record.unlink(missing_ok=True)
        for part, port in (("localstack",) * 2, ("dynamodb",) * 2, ("gate",) * 2, ("lambda",) * 2, ("driver", "http")):
            if part in wanted:
                process.require_free(port)
        _fresh_state()
        known = template.facts(given=given)
        FACTS.write_text(json.dumps(known, indent=2))
        UP.write_text(json.dumps({"parts": wanted}))
        started = time.monotonic()
        try:
            _bring_up(wanted, known)
        except BaseException as problem:
            _end_all()
            UP.unlink(missing_ok=True)
            FACTS.unlink(missing_ok=True)
            if isinstance(problem, (ClientError, BotoCoreError, KeyboardInterrupt)):
                raise Trouble(f"up: {problem!r}") from problem
            raise
        say(f"up in {time.monotonic() - started:.0f} s; logs in {places.LOGS}")
        if "driver" in wanted:
            say(f"the API listens on {places.url('http')}")


def _already_up(running: list[Process]) -> None:
    parts = set(json.loads(UP.read_text())["parts"]) if UP.exists() else set()
    names = {one.name for one in running}
    gone = [part for part in PARTS if part in parts and part != "functions" and part not in names]
    # A copy that `stack.py kill` killed has no record any more; one that died by itself still has one.
    gone += [one.name.rpartition("-")[0] for one in process.recorded() if one.name.startswith("fn-") and not one.alive]
    if gone:
        raise Trouble(f"partly up: {', '.join(gone)} ended; see `stack.py logs {gone[0]}`, then run `stack.py down`")
    say(f"already up: {', '.join(sorted(names))}")


def _fresh_state() -> None:
    """Deletes what an earlier run left on disk. The emulators hold their state in memory, so none of it applies."""
    shutil.rmtree(places.LOGS, ignore_errors=True)
    shutil.rmtree(places.LOCAL / "localstack", ignore_errors=True)
    (places.LOCAL / "dead-letters.jsonl").unlink(missing_ok=True)
    switches.all_on()


def _bring_up(wanted: list[str], known: dict[str, Any]) -> None:
    gate = "gate" in wanted
    waits: list[tuple[Process, Callable[[], bool], float]] = []
    if "localstack" in wanted:
        say(f"localstack: starting on {places.port('localstack')}")
        waits.append((_localstack(), lambda: _answers(f"{places.url('localstack')}/_localstack/health"), 90))
    if "dynamodb" in wanted:
        say(f"dynamodb: starting on {places.port('dynamodb')}")
        waits.append((_dynamodb(), lambda: not process.port_is_free(places.port("dynamodb")), 60))
    if "lambda" in wanted:
        say(f"lambda: starting the function emulator on {places.port('lambda')}")
        waits.append((_lambda(known), lambda: not process.port_is_free(places.port("lambda")), 60))
    for child, ready, patience_s in waits:
        _await(child, ready, patience_s)
    if gate:
        say(f"gate: proving its known denials, then listening on {places.port('gate')}")
        _await(_gate(), lambda: _answers(f"{places.url('gate')}/_gate/health"), 120)
    if "localstack" in wanted and "dynamodb" in wanted:
        say(f"provision: {provision.provision(known, gate)}")
        # Functions need a catalogue; without functions it is published only if the compiler is built.
        if "functions" in wanted or (places.BINARIES / "brevet").exists():
            say(f"publish: bundle {catalogue.publish(known, gate)}")
            say(f"confirm: table {service.confirm(known, gate, first=True)}")
        else:
            say("publish: skipped, since no function runs and the `brevet` command is not built")
    if "functions" in wanted:
        for function in known["functions"]:
            functions.start(known, function["id"], gate)
            say(f"functions: {function['id']} runs as {function['role_arn'].split(':')[-1]}")
    if "driver" in wanted:
        say(f"driver: HTTP front on {places.port('http')}, tick, stream pump")
        _await(_driver(gate), lambda: not process.port_is_free(places.port("http")), 30)
    if "functions" in wanted:
        time.sleep(0.2)
        for function in known["functions"]:
            if not functions.copies(function["id"]):
                raise Trouble(f"{function['id']} ended at once; its log says:\n{process.tail('fn-' + function['id'])}")


def down() -> bool:
    """Stops every recorded process; returns true if none is left."""
    with alone():
        left = _end_all()
        for one in left:
            say(f"still running: {one.name} (process {one.pid})")
        busy = [part for part in ("localstack", "dynamodb", "gate", "lambda", "http") if not left and _held(part)]
        for part in busy:
            say(f"note: port {places.port(part)} is held{process.holder_of(places.port(part))}, not by this stack")
        UP.unlink(missing_ok=True)
        FACTS.unlink(missing_ok=True)
        say("down: nothing is left running" if not left else "down: some processes are still running")
        return not left


def _held(part: str) -> bool:
    return not process.port_is_free(places.port(part))


def _end_all() -> list[Process]:
    """Stops the driver first, then the functions, then the parts that they use."""
    left: list[Process] = []
    everyone = process.recorded()
    for names in (("driver",), ("fn-",), ("lambda", "gate"), ("localstack", "dynamodb")):
        left += process.stop([one for one in everyone if one.name.startswith(names)])
    return left


def _localstack() -> Process:
    state = places.LOCAL / "localstack"
    state.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "FILESYSTEM_ROOT": str(state),
        "OVERRIDE_IN_DOCKER": "0",
        # The default server ignores the host of GATEWAY_LISTEN and listens on every interface.
        "GATEWAY_SERVER": "hypercorn",
        "GATEWAY_LISTEN": f"127.0.0.1:{places.port('localstack')}",
        "SERVICES": "iam,sts,s3,secretsmanager,sqs,kms",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "DEBUG": "0",
    }
    return process.start("localstack", [places.LOCALSTACK_VENV / "bin" / "localstack-supervisor"], environment, state)


def _dynamodb() -> Process:
    command = ["java", "-Djava.library.path=DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb"]
    command += ["-port", str(places.port("dynamodb")), "-disableTelemetry"]
    return process.start("dynamodb", command, {**os.environ}, places.DYNAMODB)


def _lambda(known: dict[str, Any]) -> Process:
    command = [places.TESTS_VENV / "bin" / "cargo-lambda", "lambda", "watch", "--only-lambda-apis", "--disable-cors"]
    # The emulator applies this time-out also to an idle function that waits for work, which then ends.
    command += ["--timeout", "86400", "--invoke-address", "127.0.0.1", "--invoke-port", str(places.port("lambda"))]
    return process.start("lambda", command, {**os.environ}, functions.emulator_folder(known))


def _gate() -> Process:
    binary = places.BINARIES / "brevet-gate"
    if not binary.exists():
        raise Trouble(f"gate: {binary} does not exist; run `make build` first")
    environment = {
        **os.environ,
        **places.port_environment(),
        "BREVET_ACCOUNT": places.ACCOUNT,
        "BREVET_PARTITION": places.PARTITION,
        "BREVET_GATE_LOG": str(GATE_LOG),
        "BREVET_DECIDER_MODULES": str(places.DECIDER),
    }
    return process.start("gate", [binary], environment)


def _driver(gate: bool) -> Process:
    environment = {**os.environ, **places.port_environment(), "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [places.TESTS_VENV / "bin" / "python", "-m", "brevet_local.driver", FACTS, "1" if gate else "0"]
    return process.start("driver", command, environment)


def _await(child: Process, ready: Callable[[], bool], patience_s: float) -> None:
    """Waits until a part is ready. Raises `Trouble` with the tail of its log if it ends or takes too long."""
    until = time.monotonic() + patience_s
    while not ready():
        if process.exit_code(child) is not None or not child.alive:
            raise Trouble(f"{child.name} ended before it was ready; its log says:\n{process.tail(child.name)}")
        if time.monotonic() > until:
            raise Trouble(f"{child.name} is not ready after {patience_s:.0f} s; its log says:\n{process.tail(child.name)}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def status() -> bool:
    """Prints the state of every part; returns whether every part that was brought up runs."""
    parts = json.loads(UP.read_text())["parts"] if UP.exists() else []
    everyone = {one.name: one for one in process.recorded()}
    ports = {"localstack": "localstack", "dynamodb": "dynamodb", "gate": "gate", "lambda": "lambda", "driver": "http"}
    all_run = bool(parts)
    for name in sorted(set(everyone) | (set(parts) - {"functions"})):
        one = everyone.get(name)
        runs = one is not None and one.alive
        all_run = all_run and runs
        port = f"port {places.port(ports[name])}" if name in ports else ""
        say(f"{name:<16} {'running' if runs else 'NOT RUNNING':<12} {f'process {one.pid}' if one else '':<16} {port}")
    for switch in switches.NAMES if parts else ():
        for function in switches.driven(facts(), switch):
            say(f"{switch + ' ' + function:<16} {'on' if switches.is_on(switch, function) else 'off'}")
    if not parts:
        say("the stack is not up")
    return all_run
