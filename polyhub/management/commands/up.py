"""`hub up`: everything on one machine, in the foreground."""

import os
import socket
import sys
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import nullcontext
from typing import Any, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from polyhub import keeper, postgres, processes, schedules, startup, supervisor
from polyhub.lib.clock import SystemClock

READY_WITHIN_S = 60.0
# A deposit is added each time: two threads must not both find a wallet without money.
_FUNDING = threading.Lock()
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


class Sayer(Protocol):
    """Prints a line among those of the processes."""

    def say(self, text: str) -> None: ...


class Command(BaseCommand):
    help = "Start PolyHub on this machine; Ctrl-C stops it."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=_port, default=8000, help="port of the web pages (8000)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--no-demo", action="store_true", help="make no demo users")

    def handle(self, *args: Any, host: str, port: int, no_demo: bool, **options: Any) -> None:
        address = _address(host, port)
        running = processes.Running(settings.VAR_DIR)
        started_here = not settings.EMBEDDED or not running.is_claimed()
        try:
            with running.claim(address=address):
                self._run(running, host=host, port=port, address=address, demo=not no_demo)
        except processes.AlreadyRunning as error:
            raise CommandError(
                f"{error}\nLook at it with ./hub status, or stop it with Ctrl-C where it runs."
            ) from error
        except (startup.CannotStart, postgres.PostgresFailed) as error:
            raise CommandError(str(error)) from error
        finally:
            if settings.EMBEDDED and started_here:
                connections.close_all()
                postgres.stop(settings.VAR_DIR, only_if_idle=True)

    def _run(self, running: processes.Running, *, host: str, port: int, address: str, demo: bool) -> None:
        began = time.monotonic()
        sandbox_url = settings.SANDBOX_URL if settings.VENUE == "sandbox" else None
        _check_ports(host, port, sandbox_url)
        startup.check_database()
        startup.check_redis()
        startup.prepare_tables()
        if sandbox_url is None:
            refuse_demo_users()
        startup.collect_static()
        schedules.sync(now=SystemClock().now())
        with_demo = demo and sandbox_url is not None
        if with_demo:
            _demo().ensure(now=SystemClock().now())
        # The children are forked: they must not share our connections.
        connections.close_all()
        found = processes.programs(host=host, port=port, sandbox_url=sandbox_url)
        (settings.VAR_DIR / "run" / "Procfile").write_text(processes.procfile(found))
        watch = supervisor.Supervisor(
            found,
            env=child_env(host, demo=with_demo),
            cwd=str(settings.BASE_DIR),
            output=sys.stdout,
            on_start=running.record,
        )
        if with_demo:
            watch.on_restart(
                "sandbox", lambda: threading.Thread(target=_begin_anew, args=(watch,), daemon=True).start()
            )
        waiter = threading.Thread(target=announce, args=(watch, host, port, began, with_demo), daemon=True)
        waiter.start()
        with keeper.kept(settings.VAR_DIR, say=watch.say) if settings.EMBEDDED else nullcontext():
            watch.run()
        if watch.failed:
            raise CommandError(f"{watch.failed} keeps ending; its last lines above say why.")


def refuse_demo_users() -> None:
    """A database that was a demo has users, staff among them, whose passwords are in the source."""
    if known := _demo().left_over():
        raise startup.CannotStart(
            f"This database was a demo: {', '.join(known)} have known passwords and may not meet the real venue. "
            "Give the real venue a database of its own: DATABASE_URL, or POLYHUB_VAR_DIR for the embedded one."
        )


def announce(watch: Sayer, host: str, port: int, began: float, demo: bool) -> None:
    """Wait until everything is ready, then say where it is and what to try; in between say what is missing."""
    funded, is_told = not demo, False
    while True:
        funded = funded or _fund()
        answer = startup.read_ready(_local(host), port)
        if funded and answer and answer.get("ok") and _is_of_this_run(answer, time.monotonic() - began):
            break
        if not is_told and time.monotonic() > began + READY_WITHIN_S:
            is_told = True
            parts = (answer or {}).get("parts", {})
            missing = ", ".join(f"{name} ({part['detail']})" for name, part in parts.items() if not part["ok"])
            watch.say(f"Not ready after {READY_WITHIN_S:.0f} s: {missing or 'the web process does not answer'}.")
            watch.say(f"It goes on trying. Pages, as far as they work: {_address(host, port)}")
        time.sleep(startup.READY_POLL_S)
    watch.say(f"Ready after {time.monotonic() - began:.1f} s: {_address(host, port)}")
    if demo:
        for line in _demo().welcome():
            watch.say(line)
        if host not in LOOPBACK:
            watch.say(
                "Others can reach this address, and the demo's passwords are known to all: --no-demo leaves it out."
            )


def _is_of_this_run(answer: dict[str, Any], age_s: float) -> bool:
    """False while the leases are those of a run that was killed a moment ago."""
    beat_s = answer["parts"]["leases"]["age_s"]
    return beat_s is not None and beat_s < age_s


def _fund() -> bool:
    """Give the demo's wallets their money at the local venue; False while it does not answer."""
    try:
        with _FUNDING:
            _demo().fund_demo_wallets()
    except OSError:
        return False
    finally:
        # This thread's own, and it waits for a while yet.
        connections.close_all()
    return True


def _begin_anew(watch: supervisor.Supervisor) -> None:
    """The local venue was started again and has forgotten everybody's money: so begin the demo's live accounts."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not _demo().venue_answers():
        if time.monotonic() > deadline:
            return
        time.sleep(startup.READY_POLL_S)

    def begin() -> None:
        try:
            _demo().ensure(now=SystemClock().now())
            _fund()
            watch.say("The local venue started anew and knew no wallet; the demo's live accounts began again.")
        except (DatabaseError, OSError) as error:
            watch.say(f"The demo's live accounts could not begin again: {error}. Start anew: Ctrl-C, then ./hub up")
        finally:
            # The engines are forked next: they must not share our connections.
            connections.close_all()

    watch.without("engines", begin)


def _check_ports(host: str, port: int, sandbox_url: str | None) -> None:
    if problem := processes.why_not(host, port):
        raise startup.CannotStart(f"{problem}. Choose another: ./hub up --port {port + 1}, or --host 127.0.0.1")
    if sandbox_url is not None:
        parts = urlsplit(sandbox_url)
        if problem := processes.why_not(parts.hostname or "127.0.0.1", parts.port or 80):
            raise startup.CannotStart(
                f"The local venue cannot start. {problem}. "
                f"Choose another: SANDBOX_URL=http://127.0.0.1:{(parts.port or 80) + 1} ./hub up"
            )


def child_env(host: str, *, demo: bool) -> dict[str, str]:
    hosts = [*settings.ALLOWED_HOSTS, "127.0.0.1", "localhost"]
    if host not in LOOPBACK:
        hosts += [socket.gethostname(), *(processes.own_addresses() if host in EVERYWHERE else [_bracketed(host)])]
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "ALLOWED_HOSTS": ",".join(dict.fromkeys(hosts)),
        "LOG_TIMES": "false",
        **({"POLYHUB_DEMO": "true"} if demo else {}),
    }


def _demo() -> Any:
    from polyhub import demo

    return demo


def _address(host: str, port: int) -> str:
    return f"http://{_bracketed(_local(host))}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _local(host: str) -> str:
    """An address at which this machine reaches a server listening on `host`."""
    return "127.0.0.1" if host in EVERYWHERE else host


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)
