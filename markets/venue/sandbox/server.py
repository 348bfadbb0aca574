"""The sandbox as a server on one port: all routes, the settling clock, the tape."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web

from markets.venue.sandbox import control, front, http, tape
from markets.venue.sandbox.chain_api import ChainApi
from markets.venue.sandbox.clob_account import ClobAccount
from markets.venue.sandbox.clob_public import ClobPublic
from markets.venue.sandbox.clob_trading import ClobTrading
from markets.venue.sandbox.control import Control
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.data_api import DataApi
from markets.venue.sandbox.data_stats import DataStats
from markets.venue.sandbox.events import TapeEvent
from markets.venue.sandbox.frame_replay import FrameReplay
from markets.venue.sandbox.gamma_api import Gamma
from markets.venue.sandbox.relayer_api import Relayer
from markets.venue.sandbox.replay import Replay
from markets.venue.sandbox.rewards_api import Rewards
from markets.venue.sandbox.sockets import Sockets
from markets.venue.sandbox.venue_control import VenueControl
from polyhub.lib.clock import SystemClock, to_ms

log = logging.getLogger(__name__)

_TICK_S = 0.05
_MAX_BODY = 4 << 20


class PortTaken(OSError):
    """Somebody listens on this port already, or we may not."""


def system_ms() -> int:
    return to_ms(SystemClock().now())


class Server:
    """One running sandbox. `start` binds, `stop` ends everything within a second."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.replay = Replay(sandbox)
        self.port = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.2, handle_signals=False)

    async def start(self, *, host: str, port: int) -> None:
        """Raises PortTaken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError as refused:
            await self._runner.cleanup()
            raise PortTaken(f"Cannot listen on {host}:{port}: {refused.strerror or refused}") from refused
        self.port = int(self._runner.addresses[0][1])
        self._spawn(self._keep_settling())

    def play(self, events: Iterable[TapeEvent], speed: float) -> None:
        self._spawn(self.replay.play(events, speed))

    async def stop(self) -> None:
        for connection in self.sandbox.hub.of_channel(""):
            connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()

    def _app(self) -> web.Application:
        sandbox = self.sandbox
        app = web.Application(
            middlewares=[control.loopback_only, http.middleware(sandbox, self._tasks), front.middleware(sandbox)],
            client_max_size=_MAX_BODY,
        )
        for part in (
            ClobPublic,
            ClobTrading,
            ClobAccount,
            Gamma,
            DataApi,
            DataStats,
            Relayer,
            Rewards,
            ChainApi,
        ):
            app.add_routes(part(sandbox).routes())
        app.add_routes(Sockets(sandbox).routes())
        app.add_routes(FrameReplay(sandbox, self._tasks).routes())
        app.add_routes(Control(sandbox, self.replay).routes())
        app.add_routes(VenueControl(sandbox).routes())
        return app

    async def _keep_settling(self) -> None:
        while True:
            try:
                self.sandbox.tick()
            except Exception:
                log.exception("The sandbox could not settle")
            await asyncio.sleep(_TICK_S)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("A sandbox task ended", exc_info=task.exception())


async def serve(
    *,
    host: str,
    port: int,
    tape_name: str,
    speed: float | None,
    seed: int,
    rate_limits: bool,
    ready: Callable[[str], None],
) -> None:
    """Run until SIGTERM or SIGINT. Raises PortTaken, TapeNotFound."""
    sandbox = Sandbox(now_ms=system_ms, seed=seed)
    sandbox.limits.enabled = rate_limits
    server = Server(sandbox)
    recording = tape.load(tape_name) if tape_name else None
    if recording is not None:
        sandbox.load_markets(recording.markets)
    await server.start(host=host, port=port)
    if recording is not None:
        events = tape.replay(recording, salt=f"{seed}/{sandbox.now_ms()}")
        server.play(events, speed or tape.header(tape_name).speed)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    ready(f"Local Polymarket ready on http://{host}:{server.port}" + (f", tape {recording.name}" if recording else ""))
    await stop.wait()
    await server.stop()


def run(
    *,
    host: str,
    port: int,
    tape_name: str = "",
    speed: float | None = None,
    seed: int = 0,
    rate_limits: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Blocking form of `serve`."""
    asyncio.run(
        serve(
            host=host,
            port=port,
            tape_name=tape_name,
            speed=speed,
            seed=seed,
            rate_limits=rate_limits,
            ready=ready,
        )
    )
