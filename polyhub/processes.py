"""Which processes make up PolyHub on one machine, and the record of the ones that run now."""

import ctypes
import errno
import fcntl
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

PR_SET_PDEATHSIG = 1

# Stopped first to last: engines drain while the signer and the venue still answer.
LAST_TO_STOP = frozenset({"signer", "sandbox"})


class AlreadyRunning(RuntimeError):
    """Another `hub up` holds this checkout."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(f"PolyHub already runs here (process {state.get('pid', '?')}): {state.get('address', '')}")


@dataclass(frozen=True, slots=True)
class Program:
    """One process of design: a name for its log lines, the command, and what its environment adds to ours."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def programs(*, host: str, port: int, sandbox_url: str | None) -> list[Program]:
    """The processes of one machine. `sandbox_url` is None when the venue is the real one."""
    python, manage = sys.executable, "manage.py"
    web = ("-m", "daphne", "-v", "0", "--bind", host, "--port", str(port), "polyhub.asgi:application")
    found = [
        Program("web", (python, *web)),
        Program("jobs", (python, manage, "qcluster")),
        # The name goes through the environment: given as --name it arrives after django-q2 has read its settings.
        Program("engines", (python, manage, "qcluster"), {"Q_CLUSTER_NAME": "engines"}),
        Program("signer", (python, manage, "run_signer")),
    ]
    if sandbox_url is not None:
        sandbox_port = urlsplit(sandbox_url).port or 80
        found.append(Program("sandbox", (python, manage, "run_sandbox", "--port", str(sandbox_port), "--tape", "demo")))
    return found


def procfile(found: Sequence[Program]) -> str:
    """The same processes for honcho, foreman or a reader."""
    return "".join(f"{program.name}: {shell_line(program)}\n" for program in found)


def shell_line(program: Program) -> str:
    """A command for `sh -c` that becomes the program itself, so that signals reach it and not a shell."""
    env = [f"{name}={value}" for name, value in program.env.items()]
    return "exec " + shlex.join((["env", *env] if env else []) + list(program.command))


def why_not(host: str, port: int) -> str:
    """Why nobody can listen there, in words; empty when it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except socket.gaierror:
        return f"{host!r} is not the name or address of a machine"
    except OSError as error:
        known = {
            errno.EADDRINUSE: f"Port {port} is taken by another program",
            errno.EACCES: f"Port {port} is open to the administrator only",
            errno.EADDRNOTAVAIL: f"{host} is not an address of this machine",
        }
        return known.get(error.errno or 0, f"{host} port {port} cannot be opened: {error.strerror}")
    return ""


def own_addresses() -> list[str]:
    """The IP addresses of this machine as they stand in a web address; those that need a zone are left out."""
    found = [row for rows in psutil.net_if_addrs().values() for row in rows]
    plain = [row.address for row in found if row.family == socket.AF_INET]
    return plain + [f"[{row.address}]" for row in found if row.family == socket.AF_INET6 and "%" not in row.address]


class Running:
    """The record of the processes that run now (var/run/up.json), kept while the lock beside it is held."""

    def __init__(self, var_dir: Path) -> None:
        self._folder = var_dir / "run"
        self._state = self._folder / "up.json"

    @contextmanager
    def claim(self, *, address: str) -> Iterator[None]:
        """Be the one `hub up` of this checkout, or raise AlreadyRunning. The lock ends with us, even killed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "up.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AlreadyRunning(self.read()) from None
            self._end_leftovers()
            self._write({"pid": os.getpid(), "address": address, "processes": {}})
            try:
                yield
            finally:
                self._state.unlink(missing_ok=True)

    def is_claimed(self) -> bool:
        """True while a `hub up` is alive."""
        try:
            with (self._folder / "up.lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._state.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return state

    def record(self, name: str, pid: int) -> None:
        """Note a started process with its start time, which tells it from a later one with the same number."""
        state = self.read()
        started = psutil.Process(pid).create_time() if psutil.pid_exists(pid) else 0.0
        state.setdefault("processes", {})[name] = {"pid": pid, "started": started}
        self._write(state)

    def alive(self) -> dict[str, int]:
        """Name and pid of the recorded processes that still run."""
        found = self.read().get("processes", {})
        return {name: row["pid"] for name, row in found.items() if _is_same(row["pid"], row["started"])}

    def _write(self, state: Mapping[str, Any]) -> None:
        fresh = self._state.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self._state)

    def _end_leftovers(self) -> None:
        # A `hub up` killed with -9 leaves its children; each leads a session of its own.
        for pid in self.alive().values():
            end_session(pid)


def end_session(pid: int) -> None:
    """Kill what is left of a process that led its own session, children included."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def is_alive(pid: int) -> bool:
    """False for a process that is gone, or ended and not yet collected by its parent."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants_catching(pid: int, number: signal.Signals) -> list[int]:
    """The processes below `pid` that installed a handler for a signal (Linux; elsewhere none are known)."""
    try:
        below = [process.pid for process in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []
    return [each for each in below if _catches(each, number)]


def _catches(pid: int, number: signal.Signals) -> bool:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)


def _is_same(pid: int, started: float) -> bool:
    try:
        return is_alive(pid) and abs(psutil.Process(pid).create_time() - started) < 1
    except psutil.Error:
        return False
