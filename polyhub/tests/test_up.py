"""The whole product on this machine, started and stopped as a person does it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from polyhub import postgres, processes, settings, startup
from polyhub.management.commands import up
from polyhub.tests.eventually import eventually

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 12.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machine:
    """A var folder and ports of its own, so that a PolyHub in use here is not touched."""

    def __init__(self, folder: Path) -> None:
        self.var_dir = folder / "var"
        self.var_dir.mkdir(parents=True)
        self.port = free_port()
        self.log = folder / "up.log"
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}},
            "POLYHUB_VAR_DIR": str(self.var_dir),
            "SANDBOX_URL": f"http://127.0.0.1:{free_port()}",
        }

    def up(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return self._start(["up", "--port", str(self.port), *arguments], self.log)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=settings.BASE_DIR, env=self.env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def get(self, path: str) -> tuple[int, Any]:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            asked.request("GET", path)
            answer = asked.getresponse()
            return answer.status, json.loads(answer.read())
        except OSError:
            return 0, None
        finally:
            asked.close()

    def pids(self) -> dict[str, int]:
        return processes.Running(self.var_dir).alive()

    def _start(self, arguments: list[str], log: Path) -> "subprocess.Popen[bytes]":
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=settings.BASE_DIR, env=self.env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not pytest's own folder, which only its owner may enter: as root the data would then lie elsewhere.
    with tempfile.TemporaryDirectory(prefix="polyhub-test-") as folder:
        Path(folder).chmod(0o755)
        made = Machine(Path(folder) / "a folder with spaces")
        yield made
        for pid in made.pids().values():
            processes.end_session(pid)
        postgres.stop(made.var_dir)


def database_pid(machine: Machine) -> int:
    file = postgres.data_dir(machine.var_dir) / "postmaster.pid"
    assert file.exists(), "the database does not run"
    return int(file.read_text().splitlines()[0])


def test_up_runs_everything_heals_and_stops_without_a_trace(machine: Machine) -> None:
    hub = machine.up()
    try:
        eventually(lambda: hub.poll() or machine.get("/ready")[0] == 200, timeout_s=READY_WITHIN_S, poll_s=0.2)
        assert hub.poll() is None, machine.log.read_text()
        eventually(lambda: "alice@polyhub.demo" in machine.log.read_text(), timeout_s=20)
        assert set(machine.pids()) == {"web", "jobs", "engines", "signer", "sandbox"}

        # A second one says where the first is and leaves it alone.
        second = machine.run("up")
        assert second.returncode != 0
        assert f"already runs here (process {hub.pid}): http://127.0.0.1:{machine.port}" in second.stderr
        assert machine.get("/health")[0] == 200
        status = machine.run("status")
        assert status.returncode == 0, status.stdout
        assert "engine-0" in status.stdout

        # Killed engines come back by themselves, with their services.
        before = machine.pids()["engines"]
        os.kill(before, signal.SIGKILL)
        eventually(lambda: machine.pids().get("engines") not in {None, before}, timeout_s=20)
        eventually(lambda: machine.get("/ready")[0] == 200, timeout_s=30, poll_s=0.2)

        # So does a database that died, and nobody takes it away from under the others.
        died = database_pid(machine)
        os.kill(died, signal.SIGQUIT)
        eventually(lambda: database_pid(machine) != died and postgres.is_running(machine.var_dir), timeout_s=20)
        assert "runs here" in machine.run("postgres", "stop").stderr
        eventually(lambda: machine.get("/ready")[0] == 200, timeout_s=40, poll_s=0.2)
        running = machine.pids()
    finally:
        began = time.monotonic()
        hub.send_signal(signal.SIGINT)
        hub.wait(timeout=STOPPED_WITHIN_S)
    assert time.monotonic() - began < STOPPED_WITHIN_S
    assert not any(psutil.pid_exists(pid) for pid in running.values())
    assert not postgres.is_running(machine.var_dir)
    stopped = machine.run("status")
    assert stopped.returncode == 3
    assert "Start it with ./hub up" in stopped.stderr


def test_a_taken_port_is_named_with_the_way_out(machine: Machine) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", machine.port))
        other.listen()
        refused = machine.run("up", "--port", str(machine.port))
    assert refused.returncode != 0
    assert f"Port {machine.port} is taken" in refused.stderr
    assert f"./hub up --port {machine.port + 1}" in refused.stderr


def test_a_database_that_does_not_answer_is_named_with_the_way_out(machine: Machine) -> None:
    machine.env["DATABASE_URL"] = f"postgresql://hub@127.0.0.1:{free_port()}/hub"
    machine.env.update(SECRET_KEY="k" * 60, FIELD_SECRET="f" * 60, SIGNER_PUBLIC_KEY_FILE=__file__)
    refused = machine.run("up", "--port", str(machine.port))
    assert refused.returncode != 0
    assert "The database does not answer" in refused.stderr
    assert "DATABASE_URL" in refused.stderr


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_what_is_not_ready_in_time_is_named_and_told_once_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"ok": False, "parts": {"feed": {"ok": False, "age_s": None, "detail": "not connected to the venue"}}}
    answers = [away, away, {"ok": True, "parts": {"leases": {"ok": True, "age_s": 0.0, "detail": ""}}}]
    monkeypatch.setattr(startup, "read_ready", lambda host, port: answers.pop(0))
    monkeypatch.setattr(startup, "READY_POLL_S", 0)
    monkeypatch.setattr(up, "READY_WITHIN_S", 0)
    heard = Heard()
    up.announce(heard, "127.0.0.1", 9000, time.monotonic() - 1, demo=False)
    assert [line.partition(":")[0] for line in heard.said] == [
        "Not ready after 0 s",
        "It goes on trying. Pages, as far as they work",
        "Ready after 1.0 s",
    ]
    assert "feed (not connected to the venue)" in heard.said[0]
    assert heard.said[1].endswith("http://127.0.0.1:9000")
