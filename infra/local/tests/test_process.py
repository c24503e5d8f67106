"""Processes end with their children, and a reused process id is never signalled."""

import os
import socket
import sys
import time

import pytest

import tools
from brevet_local import places, prerequisites, process
from brevet_local.process import Process, Trouble


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    for name in ("LOCAL", "PIDS", "LOGS"):
        monkeypatch.setattr(places, name, tmp_path / name.lower())
    places.LOCAL.mkdir()


def sleeper(name="sleeper", code="import time; print('up', flush=True); time.sleep(60)"):
    started = process.start(name, [sys.executable, "-c", code], dict(os.environ))
    until = time.monotonic() + 10
    while "up" not in process.tail(name) and time.monotonic() < until:
        time.sleep(0.02)
    return started


def test_started_process_is_recorded_until_stop_ends_it():
    started = sleeper()
    assert process.alive("sleeper") == started
    assert process.stop([started]) == []
    assert not started.alive and process.recorded() == []


def test_stop_ends_children_and_processes_that_ignore_sigterm(monkeypatch):
    monkeypatch.setattr(process, "_PATIENCE_S", 1.0)
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print('up', child.pid, flush=True); time.sleep(60)"
    )
    started = sleeper("stubborn", code)
    child = int(process.tail("stubborn").split()[1])
    assert process.birth(child)
    assert process.stop([started]) == []
    assert not started.alive and not process.birth(child)


def test_process_with_a_reused_id_is_not_signalled():
    stranger = Process("old", os.getpid(), "ticks 1", 0.0)
    assert not stranger.alive
    assert process.stop([stranger]) == []
    process.kill(stranger)


def test_require_free_names_the_port_and_its_variable_when_in_use(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("BREVET_PORT_GATE", str(taken.getsockname()[1]))
        with pytest.raises(Trouble, match=rf"gate: port {taken.getsockname()[1]} is in use.*BREVET_PORT_GATE"):
            process.require_free("gate")
    process.require_free("gate")


@pytest.mark.parametrize("text", ["0", "65536", "x", "-1", "80 "])
def test_port_rejects_a_variable_that_is_not_a_port_number(monkeypatch, text):
    monkeypatch.setenv("BREVET_PORT_HTTP", text)
    with pytest.raises(SystemExit, match="BREVET_PORT_HTTP"):
        places.port("http")


@pytest.mark.parametrize(
    ("text", "major"), [('openjdk version "17.0.15" 2025', 17), ('java version "1.8.0_292"', 8), ("no java", None)]
)
def test_java_major_reads_the_version(text, major):
    assert prerequisites.java_major(text) == major


@pytest.mark.parametrize(("text", "major"), [("v20.20.2\n", 20), ("v8.17.0", 8), ("", None), ("node", None)])
def test_node_major_reads_the_version(text, major):
    assert prerequisites.node_major(text) == major


def test_locked_returns_a_package_with_its_hashes(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("a==1 \\\n    --hash=sha256:aa\nsetuptools==9 \\\n    --hash=sha256:bb \\\n    # via x\nz==2 \\\n    --hash=sha256:cc\n")
    assert tools.locked(lock, "setuptools") == "setuptools==9 \\\n    --hash=sha256:bb \\\n    # via x\n"
    assert tools.locked(lock, "wheel") == ""
    assert "--hash=sha256:" in tools.locked(tools.HERE / "requirements-localstack.txt", "setuptools")


def test_pyenv_root_is_found_by_its_shims_on_the_path(monkeypatch, tmp_path):
    (tmp_path / "versions").mkdir()
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setenv("PATH", f"/usr/bin{os.pathsep}{tmp_path / 'shims'}")
    assert prerequisites.pyenv_root() == tmp_path
    monkeypatch.setenv("PATH", "/usr/bin")
    assert prerequisites.pyenv_root().name == ".pyenv"


def test_missing_prerequisite_prints_one_line_for_both_systems(monkeypatch):
    monkeypatch.setattr(prerequisites.shutil, "which", lambda _: None)
    monkeypatch.setattr(prerequisites, "suitable_python", lambda: None)
    lines = [str(one) for one in prerequisites.missing()]
    assert len(lines) == 5
    assert all("Debian/Ubuntu:" in line and "macOS:" in line and "\n" not in line for line in lines)
