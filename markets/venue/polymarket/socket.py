"""A socket that comes back: it pings, watches the age of messages rather than the connection, and backs off."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import aiohttp

from markets.venue.polymarket.transport import Transport

logger = logging.getLogger(__name__)

OPEN_S = 10.0
SEND_S = 5.0
_CLOSING = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)


@dataclass(frozen=True, slots=True)
class Opened:
    """Connected and greeted: whatever happened before is not known."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Not connected any more, and why; another attempt follows by itself."""

    reason: str
    is_silence: bool = False


Happening = Opened | Lost | str


@dataclass(frozen=True, slots=True)
class Watch:
    """Seconds. `silence_s` without a message ends the connection; a PONG counts as one if `pong_counts`."""

    ping_s: float
    silence_s: float
    pong_counts: bool
    backoff_s: float = 0.2
    backoff_max_s: float = 5.0


class ReconnectingSocket:
    """`greeting()` gives the frames that open each connection. `chance` spreads the reconnects of many sockets."""

    def __init__(
        self, transport: Transport, url: str, *, watch: Watch, greeting: Callable[[], list[str]], chance: random.Random
    ) -> None:
        self._transport = transport
        self._url = url
        self._watch = watch
        self._greeting = greeting
        self._chance = chance
        self._connection: aiohttp.ClientWebSocketResponse[bool] | None = None

    async def events(self) -> AsyncGenerator[Happening, None]:
        """Frames as text, and what happens to the connection. Endless: close the iterator to end it."""
        attempt = 0
        while True:
            was_silent = False
            try:
                async with asyncio.timeout(OPEN_S):
                    connection = await self._transport.socket(self._url)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                yield Lost(f"cannot connect ({type(error).__name__})")
            else:
                try:
                    async with aclosing(self._conversation(connection)) as conversation:
                        async for event in conversation:
                            if isinstance(event, str):
                                attempt = 0
                            was_silent = isinstance(event, Lost) and event.is_silence
                            yield event
                finally:
                    self._connection = None
                    await connection.close()
            # A socket that was only silent is replaced at once: what is said meanwhile would be missed.
            if not was_silent:
                await asyncio.sleep(self._pause(attempt))
                attempt += 1

    async def send(self, text: str) -> bool:
        """Send a frame if connected; otherwise the next greeting must say it."""
        connection = self._connection
        return connection is not None and await _send(connection, text)

    async def _conversation(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> AsyncGenerator[Happening, None]:
        for text in self._greeting():
            if not await _send(connection, text):
                yield Lost("closed while greeting")
                return
        # Only now may others speak: what they say must come after the greeting.
        self._connection = connection
        yield Opened()
        loop = asyncio.get_running_loop()
        heard = pinged = loop.time()
        while True:
            now = loop.time()
            if now - heard >= self._watch.silence_s:
                yield Lost(f"silent for {self._watch.silence_s:g} s", is_silence=True)
                return
            if now - pinged >= self._watch.ping_s:
                pinged = now
                if not await _send(connection, "PING"):
                    yield Lost("closed")
                    return
            wait = min(heard + self._watch.silence_s, pinged + self._watch.ping_s) - now
            try:
                message = await connection.receive(timeout=max(wait, 0.001))
            except TimeoutError:
                continue
            if message.type in _CLOSING:
                yield Lost(f"closed ({connection.close_code})")
                return
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            text = message.data
            if text in ("PONG", "pong"):
                if self._watch.pong_counts:
                    heard = loop.time()
                continue
            heard = loop.time()
            yield text

    def _pause(self, attempt: int) -> float:
        """Doubling, bounded, and spread over half to the whole of it."""
        longest = min(self._watch.backoff_s * 2.0 ** min(attempt, 10), self._watch.backoff_max_s)
        return longest * (0.5 + self._chance.random() / 2)


async def _send(connection: aiohttp.ClientWebSocketResponse[bool], text: str) -> bool:
    try:
        async with asyncio.timeout(SEND_S):
            await connection.send_str(text)
    except (ConnectionError, aiohttp.ClientError, TimeoutError, RuntimeError):
        return False
    return True
