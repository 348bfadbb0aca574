"""The product as separate processes beside a test or a benchmark: local venue, signer, feed, one engine shard."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from polyhub.tests.eventually import eventually
from trading.signer import keys, launch

START_S = 30.0
STOP_S = 30.0
CALL_S = 20.0


@dataclass(slots=True)
class Stack:
    """Runs on the database of this process. `folder` takes keys and logs; the settings are pointed at its vault.

    `environment` is added to that of the services. Use as a context manager; `stop_services` ends feed and engine
    only, in order, so that what they did can be compared with the venue.
    """

    folder: Path
    tape: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.port = _free_port()
        settings.SIGNER_SOCKET = f"/tmp/phs-{os.getpid()}-{self.port}/s.sock"
        settings.SIGNER_PRIVATE_KEY_FILE = self.folder / "private.key"
        settings.SIGNER_PUBLIC_KEY_FILE = self.folder / "public.key"
        keys.load_or_make(
            private_file=settings.SIGNER_PRIVATE_KEY_FILE, public_file=settings.SIGNER_PUBLIC_KEY_FILE, make=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop_services()
        for name in ("signer", "sandbox"):
            self.stop(name)

    def start_venue(self) -> None:
        """The local venue; with a tape its markets are listed and nothing is played yet."""
        arguments = ["run_sandbox", "--port", str(self.port)]
        self._manage("sandbox", *arguments, *(["--tape", self.tape, "--speed", "0.000001"] if self.tape else []))
        eventually(lambda: self._alive("sandbox") and _answers(self.port), timeout_s=START_S)

    def start_signer(self) -> None:
        arguments, environment, descriptor = launch.command("serve", make_keys=False)
        self._start("signer", arguments, environment, pass_fds=[descriptor])
        os.close(descriptor)
        eventually(lambda: self._alive("signer") and launch.socket_path().exists(), timeout_s=START_S)

    def start_service(self, name: str, *, called: str = "") -> None:
        """`called` tells a second process of the same service from the first."""
        self._manage(called or name, "run_service", "--name", name)

    def start_script(self, name: str, *arguments: str) -> None:
        """A Python script with the environment of a service."""
        self._start(name, [sys.executable, *arguments], self._environment())

    def stop_services(self) -> None:
        for name in [one for one in self._running if one not in ("sandbox", "signer")]:
            self.stop(name)

    def stop(self, name: str) -> None:
        process = self._running.pop(name, None)
        if process is None or process.poll() is not None:
            return
        process.terminate()
        process.send_signal(signal.SIGCONT)  # one that a test has frozen hears nothing else
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def signal(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait(STOP_S)

    def has_ended(self, name: str) -> bool:
        return self._running[name].poll() is not None

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One control request of the local venue."""
        request = urllib.request.Request(
            f"{self.url}/_sandbox/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            return json.loads(answer.read())

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _manage(self, name: str, *arguments: str) -> None:
        self._start(name, [sys.executable, "manage.py", *arguments], self._environment())

    def _environment(self) -> dict[str, str]:
        database = connection.settings_dict
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("TEST_DATABASE")},
            "DATABASE_URL": f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(str(database['HOST']))}",
            "SECRET_KEY": settings.SECRET_KEY,
            "FIELD_SECRET": settings.FIELD_SECRET,
            "SANDBOX_URL": self.url,
            "SIGNER_SOCKET": settings.SIGNER_SOCKET,
            "SIGNER_PRIVATE_KEY_FILE": str(settings.SIGNER_PRIVATE_KEY_FILE),
            "SIGNER_PUBLIC_KEY_FILE": str(settings.SIGNER_PUBLIC_KEY_FILE),
            "PYTHONWARNINGS": "default",
            **self.environment,
        }

    def _start(self, name: str, arguments: list[str], environment: dict[str, str], **options: Any) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            self._running[name] = subprocess.Popen(
                arguments, env=environment, cwd=settings.BASE_DIR, stdout=output, stderr=output, **options
            )

    def _alive(self, name: str) -> bool:
        assert self._running[name].poll() is None, self.log(name)
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
