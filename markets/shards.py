"""Many tokens over several market sockets: one loses or delays only its own share of the books.

The venue names no limit of tokens per socket now; 200 is what well-kept clients use.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from markets.books import BookStream
from markets.venue.ports import FeedStatus, MarketEvent

PER_SHARD = 200
# A consumer that falls behind fills this; then the sockets wait, and the venue ends the slowest, which comes anew.
QUEUE = 20_000


@dataclass(eq=False, slots=True)
class _Shard:
    stream: BookStream
    tokens: dict[str, None] = field(default_factory=dict)
    pump: asyncio.Task[None] | None = None


class ShardedStream:
    """A BookStream over as many streams as the tokens need. A status names the tokens it concerns."""

    def __init__(self, open_shard: Callable[[], BookStream], *, per_shard: int = PER_SHARD) -> None:
        self._open_shard, self._per_shard = open_shard, per_shard
        self._shards: list[_Shard] = []
        self._of: dict[str, _Shard] = {}
        self._queue: asyncio.Queue[MarketEvent | BaseException] = asyncio.Queue(QUEUE)
        self._is_running = False

    @property
    def shards(self) -> int:
        return len(self._shards)

    async def subscribe(self, token_ids: Iterable[str]) -> None:
        """Spread new tokens over sockets with room; known ones are left alone."""
        fresh: dict[_Shard, list[str]] = {}
        for token_id in token_ids:
            if token_id in self._of:
                continue
            shard = self._with_room()
            shard.tokens[token_id] = None
            self._of[token_id] = shard
            fresh.setdefault(shard, []).append(token_id)
        for shard, tokens in fresh.items():
            await shard.stream.subscribe(tokens)
            self._start(shard)

    async def unsubscribe(self, token_ids: Iterable[str]) -> None:
        """Empty sockets are closed."""
        gone: dict[_Shard, list[str]] = {}
        for token_id in token_ids:
            shard = self._of.pop(token_id, None)
            if shard is not None:
                del shard.tokens[token_id]
                gone.setdefault(shard, []).append(token_id)
        for shard, tokens in gone.items():
            if shard.tokens:
                await shard.stream.unsubscribe(tokens)
                continue
            self._shards.remove(shard)
            if shard.pump is not None:
                shard.pump.cancel()

    async def events(self) -> AsyncGenerator[MarketEvent, None]:
        """Events of all sockets, in order for each token. A socket that fails for good ends them all."""
        self._is_running = True
        for shard in self._shards:
            self._start(shard)
        try:
            while True:
                event = await self._queue.get()
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self._is_running = False
            pumps = [shard.pump for shard in self._shards if shard.pump is not None]
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for shard in self._shards:
                shard.pump = None

    def _with_room(self) -> _Shard:
        for shard in self._shards:
            if len(shard.tokens) < self._per_shard:
                return shard
        self._shards.append(_Shard(self._open_shard()))
        return self._shards[-1]

    def _start(self, shard: _Shard) -> None:
        if self._is_running and shard.pump is None:
            shard.pump = asyncio.create_task(self._pump(shard), name=f"books-{self._shards.index(shard)}")

    async def _pump(self, shard: _Shard) -> None:
        try:
            async with aclosing(shard.stream.events()) as events:
                async for event in events:
                    if isinstance(event, FeedStatus) and event.tokens is None:
                        event = FeedStatus(event.connected, event.reason, tuple(shard.tokens))  # noqa: PLW2901
                    await self._queue.put(event)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await self._queue.put(error)
