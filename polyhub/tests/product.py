"""The running product beside a test: the real `hub up` with a folder and ports of its own, and a real browser."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from polyhub import browser, postgres, processes, settings
from polyhub.tests.eventually import eventually

READY_WITHIN_S = 90.0
STOPPED_WITHIN_S = 30.0
CALL_S = 10.0
# What the developer's own set-up must not bring into the product under test.
OWN_SETUP = {"DATABASE_URL", "REDIS_URL", "SIGNER_DIR", "SIGNER_SOCKET", "EMAIL_BACKEND", "POLYHUB_VENUE"}


class Product:
    """Not ready before `start` returns; `ready_at` is the monotonic moment it did."""

    def __init__(self, *, var_dir: Path, log: Path) -> None:
        self.var_dir = var_dir
        self.log = log
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.venue_url = f"http://127.0.0.1:{_free_port()}"
        self.ready_at = 0.0
        self._hub: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {name: value for name, value in os.environ.items() if name not in OWN_SETUP}
        env.update(POLYHUB_VAR_DIR=str(self.var_dir), SANDBOX_URL=self.venue_url)
        port = str(urlsplit(self.url).port)
        with self.log.open("ab") as log:
            self._hub = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", port],
                cwd=settings.BASE_DIR, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        eventually(self._is_ready_or_dead, timeout_s=READY_WITHIN_S, poll_s=0.2)
        assert self._hub.poll() is None, self.log.read_text()
        self.ready_at = time.monotonic()
        eventually(lambda: "Sign in as one of the demo users" in self.log.read_text(), timeout_s=READY_WITHIN_S)

    def stop(self) -> float:
        """Press Ctrl-C; the seconds it took. Whatever is left behind then is ended, so that a failure stays one."""
        assert self._hub is not None
        running = processes.Running(self.var_dir).alive()
        began = time.monotonic()
        try:
            self._hub.send_signal(signal.SIGINT)
            self._hub.wait(STOPPED_WITHIN_S)
            assert not any(processes.is_alive(pid) for pid in running.values()), "processes outlived Ctrl-C"
            return time.monotonic() - began
        finally:
            for pid in [*running.values(), self._hub.pid]:
                processes.end_session(pid)
            postgres.stop(self.var_dir)

    def link_in_mail_to(self, address: str, path: str) -> str:
        """The address below `path` in the newest e-mail to this person; the demo prints its e-mails."""
        wanted = re.compile(re.escape(self.url + path) + r"\S+")

        def printed() -> str:
            _, _, mail = self.log.read_text().rpartition(f"To: {address}")
            found = wanted.search(mail)
            assert found, f"no link below {path} was printed for {address}"
            return found[0]

        return eventually(printed)

    def tape(self, *, pause: bool) -> int:
        """Hold the replayed recording or let it go on; how many of its events were played."""
        status = self._ask(self.venue_url, "POST", "/_sandbox/tape", {"pause": pause})
        return int(status["played"])

    def _is_ready_or_dead(self) -> bool:
        assert self._hub is not None
        if self._hub.poll() is not None:
            return True
        try:
            return bool(self._ask(self.url, "GET", "/ready").get("ok"))
        except OSError:
            return False

    def _ask(self, url: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        parts = urlsplit(url)
        asked = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=CALL_S)
        try:
            asked.request(method, path, json.dumps(body) if body is not None else None)
            answer: dict[str, Any] = json.loads(asked.getresponse().read())
            return answer
        finally:
            asked.close()


def chromium() -> str:
    """The system's Chromium. A machine without one fails: these tests are never left out."""
    found = browser.chromium()
    assert found, "Chromium is missing, and the browser tests need it. Debian: apt-get install chromium"
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
