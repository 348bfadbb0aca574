"""Replays recorded frames of the market socket byte for byte, to whoever subscribed to their tokens."""

import asyncio
import gzip
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

import msgspec
from aiohttp import web

from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.hub import MARKET

_TURN = 200
_BEHIND_BYTES = 1 << 20
_BEHIND_S = 0.001


class _Change(msgspec.Struct, frozen=True):
    asset_id: str


class _Head(msgspec.Struct, frozen=True):
    """As much of a frame as its way needs."""

    event_type: str
    timestamp: str = "0"
    asset_id: str = ""
    price_changes: list[_Change] = []


class RecordedFrame(msgspec.Struct, frozen=True):
    at_ms: int
    event: str
    tokens: tuple[str, ...]
    text: str


class PlayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is a file of one frame a line, gzipped or not. Without `speed` it goes as fast as the slowest reader."""

    path: str
    times: int = 1
    speed: float | None = None


_HEAD = msgspec.json.Decoder(_Head)


def recorded(text: str) -> RecordedFrame:
    """Raises msgspec.MsgspecError for what is no frame of the market channel."""
    head = _HEAD.decode(text)
    tokens = dict.fromkeys(change.asset_id for change in head.price_changes) or (head.asset_id,)
    return RecordedFrame(int(head.timestamp), head.event_type, tuple(tokens), text)


def read(path: Path) -> Iterator[RecordedFrame]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            yield recorded(line.rstrip("\n"))


class FrameReplay:
    def __init__(self, sandbox: Sandbox, background: set[asyncio.Task[None]]) -> None:
        self.played = 0
        self.playing = False
        self._sandbox = sandbox
        self._background = background

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/_sandbox/frames", self.status), web.post("/_sandbox/frames", self.start)]

    async def status(self, request: web.Request) -> web.Response:
        body = msgspec.json.encode({"played": self.played, "playing": self.playing})
        return web.Response(body=body, content_type="application/json")

    async def start(self, request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=PlayRequest)
        try:
            frames = await asyncio.to_thread(lambda: list(read(Path(asked.path))))
        except OSError as missing:
            raise ValueError(f"cannot read {asked.path}") from missing
        task = asyncio.create_task(self.play(chain.from_iterable(repeat(frames, asked.times)), asked.speed))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return await self.status(request)

    async def play(self, frames: Iterable[RecordedFrame], speed: float | None = None) -> None:
        """Send every frame when its time comes; a frame earlier than the one before it starts the clock anew."""
        loop, hub, sockets = asyncio.get_running_loop(), self._sandbox.hub, self._sandbox.publisher.sockets
        self.played, self.playing = 0, True
        began, first = loop.time(), None
        last = 0
        for frame in frames:
            if speed is not None:
                if first is None or frame.at_ms < last:
                    began, first = loop.time(), frame.at_ms
                last = frame.at_ms
                await asyncio.sleep(max(began + (frame.at_ms - first) / 1_000 / speed - loop.time(), 0))
            sockets.send(
                hub.market(frame.tokens),
                frame.text,
                event=frame.event,
                tokens=frame.tokens,
                now_ms=self._sandbox.now_ms(),
            )
            self.played += 1
            if self.played % _TURN == 0:
                await self._let_readers_catch_up()
        self.playing = False

    async def _let_readers_catch_up(self) -> None:
        await asyncio.sleep(0)
        # No transport tells us when its buffer has emptied.
        while any(one.backlog > _BEHIND_BYTES for one in self._sandbox.hub.of_channel(MARKET)):  # noqa: ASYNC110
            await asyncio.sleep(_BEHIND_S)
