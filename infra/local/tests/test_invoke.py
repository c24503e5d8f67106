"""Invocations against a stand-in for the emulator: answers, failures, and functions that die while they work."""

import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from brevet_local import invoke, places, process

FUNCTION = {"id": "reap", "name": "brevet-dev-reap"}


@pytest.fixture
def emulator(tmp_path, monkeypatch):
    """A server that gives the answers in `answers`, each (status, body); for None it does not answer."""
    for name in ("LOCAL", "PIDS", "LOGS"):
        monkeypatch.setattr(places, name, tmp_path / name.lower())
    places.LOCAL.mkdir()
    answers = []
    finished = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            answer = answers.pop(0)
            if answer is None:
                finished.wait(20)
                return
            self.send_response(answer[0])
            self.send_header("content-length", str(len(answer[1])))
            self.end_headers()
            self.wfile.write(answer[1])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    monkeypatch.setenv("BREVET_PORT_LAMBDA", str(server.server_port))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield answers
    finished.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "outcome", "payload"),
    [
        ((200, b'{"n":1}'), "ok", {"n": 1}),
        ((200, b""), "ok", None),
        ((500, b'{"errorMessage":"x"}'), "failed", None),
        ((200, b"not json"), "failed", None),
        ((408, b""), "timeout", None),
    ],
)
def test_invoke_distinguishes_each_answer_of_the_emulator(emulator, answer, outcome, payload):
    emulator.append(answer)
    seen = invoke.invoke(FUNCTION, {}, 5)
    assert (seen.outcome, seen.payload) == (outcome, payload)


def test_invoke_times_out_when_no_answer_comes(emulator):
    emulator.append(None)
    assert invoke.invoke(FUNCTION, {}, 0.5).outcome == "timeout"
    assert invoke.BUSY.idle


def test_invoke_is_unavailable_when_no_emulator_listens(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("BREVET_PORT_LAMBDA", str(port))
    assert invoke.invoke(FUNCTION, {}, 5).outcome == "unavailable"


def test_invoke_fails_soon_when_the_only_copy_dies(emulator, monkeypatch):
    monkeypatch.setattr(invoke, "_GRACE_S", 0.3)
    emulator.append(None)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    copy = process.start("fn-reap-1", command, dict(os.environ))
    threading.Timer(0.5, process.kill, [copy]).start()
    started = time.monotonic()
    seen = invoke.invoke(FUNCTION, {}, 15)
    assert seen.outcome == "failed" and "fn-reap-1 ended" in seen.detail
    assert time.monotonic() - started < 5


def test_invoke_fails_soon_when_a_copy_that_started_later_dies(emulator, monkeypatch):
    """The emulator hands an event that no copy has taken to the next copy, which may die of it as well."""
    monkeypatch.setattr(invoke, "_GRACE_S", 0.3)
    emulator.append(None)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    process.kill(process.start("fn-reap-1", command, dict(os.environ)))

    def come_and_go():
        # A crash: the record stays.
        os.kill(process.start("fn-reap-2", command, dict(os.environ)).pid, signal.SIGKILL)

    threading.Timer(0.5, come_and_go).start()
    started = time.monotonic()
    seen = invoke.invoke(FUNCTION, {}, 15)
    assert seen.outcome == "failed" and "fn-reap-2 ended" in seen.detail
    assert 0.5 < time.monotonic() - started < 5


def test_invoke_fails_soon_when_a_dead_copys_record_is_deleted(emulator, monkeypatch):
    monkeypatch.setattr(invoke, "_GRACE_S", 0.3)
    # The copy and its record are gone by the first poll.
    monkeypatch.setattr(invoke, "_POLL_S", 1.5)
    emulator.append(None)
    copy = process.start("fn-reap-1", [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ))
    threading.Timer(0.5, process.kill, [copy]).start()
    seen = invoke.invoke(FUNCTION, {}, 15)
    assert seen.outcome == "failed" and "fn-reap-1 ended" in seen.detail
