"""Running one service under its lease for a bounded slice, in whatever process was asked to.

The lease is renewed by a thread, so that a busy loop does not lose it. When it is lost the service stops at once; the
fencing token keeps whatever it still tried from counting. The same thread watches over the other services.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

from polyhub.lib import leases
from polyhub.lib.held_lease import HeldLease, boot_clock
from polyhub.lib.leases import Lease
from polyhub.services import Runner
from trading.domain.reports import LeaseLost

logger = logging.getLogger(__name__)

RENEW_EVERY_S = 1.0
DRAIN_S = 25.0
# The database may be away for a moment when the slice begins.
RETRY_S = 0.5

Factory = Callable[[HeldLease], AbstractAsyncContextManager[Runner]]


class Host:
    """One service in this process, from now until `slice_s` have passed, its work is taken away or we are told to stop.

    `watch()` is called about once a second on the renewing thread; `leaving()` says that this process is to end.
    """

    def __init__(
        self,
        *,
        name: str,
        factory: Factory,
        slice_s: float,
        ttl_s: float,
        watch: Callable[[], None],
        leaving: Callable[[], bool],
    ) -> None:
        self._name = name
        self._factory = factory
        self._ends_at = boot_clock() + slice_s
        self._ttl_s = ttl_s
        self._watch = watch
        self._leaving = leaving
        self._told_to_stop = threading.Event()

    def run(self) -> bool:
        """True when the slice was ours to its end (a successor is wanted), false when another process has the lease."""
        pause = threading.Event()
        held_once = False
        while not self._over():
            try:
                asked_at = boot_clock()
                lease = leases.acquire(name=self._name, owner=_owner(), ttl=timedelta(seconds=self._ttl_s))
            except (DatabaseError, InterfaceError):
                connection.close()
                pause.wait(RETRY_S)
                continue
            if lease is None:
                if not held_once:
                    return False
                # Our own lost lease has to run out before it can be taken again.
                pause.wait(RETRY_S)
                if self._taken_by_another():
                    return False
                continue
            held_once = True
            self._hold(lease, asked_at)
        return held_once

    def stop(self) -> None:
        self._told_to_stop.set()

    def _hold(self, lease: Lease, asked_at: float) -> None:
        held = HeldLease(name=lease.name, token=lease.token, ttl_s=self._ttl_s, asked_at=asked_at)
        logger.info("Service started: %s (token %s)", lease.name, lease.token)
        try:
            asyncio.run(self._serve(lease, held))
        except LeaseLost:
            logger.warning("Service lost its lease: %s", lease.name)
        except Exception:
            logger.exception("Service failed: %s", lease.name)
        finally:
            _release(lease)
            logger.info("Service ended: %s (token %s)", lease.name, lease.token)

    async def _serve(self, lease: Lease, held: HeldLease) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        done = threading.Event()
        with _signals(loop, self.stop, stop):
            async with self._factory(held) as runner:
                # What is loaded by now stays: looking at it again at every full collection is a pause of 50 ms or more.
                gc.freeze()
                renewing = threading.Thread(
                    target=self._renew, args=(lease, held, runner, loop, stop, done), name=f"lease-{lease.name}"
                )
                renewing.start()
                try:
                    await _run_until(runner, stop, held)
                finally:
                    done.set()
                    await asyncio.to_thread(renewing.join)

    def _renew(
        self,
        lease: Lease,
        held: HeldLease,
        runner: Runner,
        loop: asyncio.AbstractEventLoop,
        stop: asyncio.Event,
        done: threading.Event,
    ) -> None:
        """Extend the lease, report, watch over the others, and stop the service when its time is over."""
        try:
            while True:
                self._step(lease, held, runner, stop)
                if self._over() or not held.alive():
                    loop.call_soon_threadsafe(stop.set)
                if done.wait(RENEW_EVERY_S):
                    return
        finally:
            connection.close()

    def _step(self, lease: Lease, held: HeldLease, runner: Runner, stop: asyncio.Event) -> None:
        """Whatever fails here is tried again in a second; a lease that cannot be extended ends by the clock."""
        try:
            asked_at = boot_clock()
            state = "STOPPING" if stop.is_set() else "RUNNING"
            if leases.renew(lease=lease, ttl=timedelta(seconds=self._ttl_s), state=state, detail=runner.detail()):
                held.renewed(asked_at=asked_at)
            else:
                held.lose()
            self._watch()
        except (DatabaseError, InterfaceError):
            connection.close()
        except Exception:
            logger.exception("Renewing failed: %s", lease.name)

    def _over(self) -> bool:
        return boot_clock() >= self._ends_at or self._told_to_stop.is_set() or self._is_leaving()

    def _is_leaving(self) -> bool:
        try:
            return self._leaving()
        except (DatabaseError, InterfaceError):
            # Not knowing is no reason to leave: the work itself waits for the database too.
            connection.close()
            return False

    def _taken_by_another(self) -> bool:
        try:
            return leases.owner_of(name=self._name) not in {"", _owner()}
        except (DatabaseError, InterfaceError):
            connection.close()
            return False


async def _run_until(runner: Runner, stop: asyncio.Event, held: HeldLease) -> None:
    """Run; once stopped give it time to finish what is under way, none at all when the lease is gone."""
    running = asyncio.ensure_future(runner.run(stop=stop))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done() and held.alive():
            await asyncio.wait({running}, timeout=DRAIN_S)
        if running.done():
            running.result()
    finally:
        stopping.cancel()
        if not running.done():
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class _signals:
    """SIGTERM and SIGINT finish the step under way; outside the main thread they are somebody else's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, told: Callable[[], None], stop: asyncio.Event) -> None:
        self._loop, self._told, self._stop = loop, told, stop
        self._mine = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        def stop() -> None:
            self._told()
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT) if self._mine else ():
            self._loop.add_signal_handler(number, stop)

    def __exit__(self, *_: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT) if self._mine else ():
            self._loop.remove_signal_handler(number)


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _release(lease: Lease) -> None:
    try:
        leases.release(lease=lease)
    except (DatabaseError, InterfaceError):
        # It runs out by itself.
        connection.close()


__all__: Sequence[str] = ["Factory", "Host"]
