"""Books spread over many sockets: each carries few, and only its own are doubted when it is lost."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta

import pytest

from markets import books
from markets.books import BookCache, TrustedBook, Untrusted
from markets.shards import ShardedStream
from markets.tests.test_books import START, HandFedStream, Shelf, running, snapshot
from markets.venue.ports import FeedStatus, LevelChange, MarketEvent, Side
from polyhub.lib.clock import ReplayClock, to_ms
from polyhub.tests.eventually import eventually_async


class Fleet:
    """Every socket that was opened, in order."""

    def __init__(self) -> None:
        self.sockets: list[HandFedStream] = []

    def open(self) -> HandFedStream:
        self.sockets.append(HandFedStream())
        return self.sockets[-1]


async def test_no_socket_carries_more_than_its_share() -> None:
    fleet = Fleet()
    stream = ShardedStream(fleet.open, per_shard=200)
    tokens = [str(number) for number in range(450)]
    await stream.subscribe(tokens)
    await stream.subscribe(tokens[:10])
    assert [len(socket.subscribed) for socket in fleet.sockets] == [200, 200, 50]
    await stream.unsubscribe(tokens[:5])
    await stream.subscribe(["new"])
    assert "new" in fleet.sockets[0].subscribed, "room on an open socket is used before another is opened"
    await stream.unsubscribe(tokens[400:])
    assert stream.shards == 2, "an empty socket is closed"


async def test_a_lost_socket_costs_the_trust_of_its_own_books_only() -> None:
    fleet = Fleet()
    cache = BookCache(
        stream=ShardedStream(fleet.open, per_shard=1), fetch=Shelf().fetch, clock=(clock := ReplayClock(START))
    )
    async with running(cache):
        cache.need(["1", "2"])

        async def subscribed() -> bool:
            return len(fleet.sockets) == 2 and all(socket.subscribed for socket in fleet.sockets)

        assert await eventually_async(subscribed)
        for token_id, socket in zip(("1", "2"), fleet.sockets, strict=True):
            socket.queue.put_nowait(FeedStatus(connected=True))
            socket.queue.put_nowait(snapshot(token_id))

        async def trusted() -> bool:
            return all(isinstance(cache.view(token), TrustedBook) for token in ("1", "2")) and cache.connected

        assert await eventually_async(trusted)
        fleet.sockets[0].queue.put_nowait(FeedStatus(connected=False, reason="closed"))

        async def doubted() -> bool:
            return isinstance(cache.view("1"), Untrusted)

        clock.advance(timedelta(seconds=books.REST_TRUST_MS / 1000 + 1))
        assert await eventually_async(doubted)
        assert isinstance(cache.view("2"), TrustedBook)
        assert not cache.connected


class Firehose:
    """A venue that says everything at once."""

    def __init__(self, said: list[MarketEvent]) -> None:
        self.said = said

    async def subscribe(self, token_ids: Iterable[str]) -> None:
        """All it says is of one token."""

    async def unsubscribe(self, token_ids: Iterable[str]) -> None:
        """Nothing to do."""

    async def events(self) -> AsyncGenerator[MarketEvent, None]:
        for event in self.said:
            yield event
        await asyncio.Event().wait()


async def test_a_reader_that_falls_behind_finds_the_newest_book_and_never_a_torn_one() -> None:
    """Changes are not queued for readers: a slow one skips what it missed and sees one whole state."""
    first = to_ms(START)
    changes = [
        LevelChange("1", side, price, number + 1, first + number + 1)
        for number in range(3_000)
        for side, price in ((Side.BUY, 4_000), (Side.SELL, 6_000))
    ]
    said: list[MarketEvent] = [FeedStatus(connected=True), snapshot(bid=4_000, ask=6_000), *changes]
    stream = ShardedStream(lambda: Firehose(said))
    cache = BookCache(stream=stream, fetch=Shelf().fetch, clock=ReplayClock(START))
    hints: list[None] = []
    async with running(cache):
        cache.need(["1"])
        cache.watch("1", lambda: hints.append(None))

        async def all_heard() -> bool:
            return len(hints) > len(changes)

        assert await eventually_async(all_heard)
        view = cache.view("1")
    assert isinstance(view, TrustedBook)
    assert view.book.levels("BUY") == [(4_000, 3_000)]
    assert view.book.levels("SELL") == [(6_000, 3_000)]


async def test_a_socket_that_fails_for_good_is_not_silently_missing() -> None:
    class Broken(HandFedStream):
        async def events(self) -> AsyncGenerator[MarketEvent, None]:
            yield FeedStatus(connected=True)
            raise OSError("no descriptors left")

    stream = ShardedStream(Broken)
    await stream.subscribe(["1"])
    events = stream.events()
    assert await anext(events) == FeedStatus(connected=True, tokens=("1",))
    with pytest.raises(OSError, match="descriptors"):
        await anext(events)
