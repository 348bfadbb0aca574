"""The public streams: what they give, and that nothing the venue sends or stops sending ends them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from markets.tests.venue_fixtures import connected, fault
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import registry
from markets.venue.polymarket.socket import Watch
from markets.venue.polymarket.streams import ActivityStream, MarketStream
from markets.venue.polymarket.transport import MAX_CONNECTIONS
from markets.venue.ports import (
    BookSnapshot,
    FeedStatus,
    LastTrade,
    LeaderTradeSeen,
    LevelChange,
    Side,
    TickChange,
)
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from polyhub.lib.clock import SystemClock
from polyhub.tests.eventually import eventually_async

LEADER = "0x" + "1e" * 20
_slugs = count()


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(
        f"streams-{next(_slugs)}", bids=[("0.48", "100"), ("0.47", "50")], asks=[("0.52", "50"), ("0.53", "100")]
    )


@asynccontextmanager
async def collecting(stream: Any) -> AsyncIterator[list[Any]]:
    """Everything a stream says while the block runs."""
    events: list[Any] = []

    async def listen() -> None:
        async for event in stream.events():
            events.append(event)

    task = asyncio.ensure_future(listen())
    try:
        yield events
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(events: list[Any], wanted: Any, *, times: int = 1) -> None:
    async def found() -> bool:
        return sum(1 for event in events if wanted(event)) >= times

    assert await eventually_async(found)


def is_connected(event: object) -> bool:
    return event == FeedStatus(connected=True)


def is_lost(event: object) -> bool:
    return isinstance(event, FeedStatus) and not event.connected


# -- activity ----------------------------------------------------------------------------------------------------


async def test_a_leaders_trade_is_given_once_although_two_message_types_tell_it(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with connected(sandbox) as (transport, _):
        stream = registry.open_activity_stream(transport=transport, chance=random.Random(1))
        async with collecting(stream) as events:
            await until(events, is_connected)
            told = sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.53", size="60")
            await until(events, lambda event: isinstance(event, LeaderTradeSeen) and event.wallet == LEADER)

            async def both_types_heard() -> bool:
                return stream.frames >= 3

            assert await eventually_async(both_types_heard)
            mine = [event for event in events if isinstance(event, LeaderTradeSeen) and event.wallet == LEADER]
            (seen,) = mine
            assert (seen.transaction_hash, seen.side) == (told["transaction_hash"], Side.BUY)
            assert (seen.token_id, seen.condition_id, seen.source) == (market.yes, market.condition_id, "rtds")
            assert float(seen.shares) == 60


async def test_a_silent_activity_socket_is_noticed_and_replaced(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (transport, _):
        stream = registry.open_activity_stream(transport=transport, chance=random.Random(1), silence_s=0.2)
        async with collecting(stream) as events:
            # The sandbox still answers pings: only trades count as life here.
            await until(events, is_lost)
            await until(events, is_connected, times=2)
            lost = next(event for event in events if is_lost(event))
            assert "silent" in lost.reason


async def test_a_closed_activity_socket_comes_back(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (transport, _):
        stream = registry.open_activity_stream(transport=transport, chance=random.Random(1))
        async with collecting(stream) as events:
            await until(events, is_connected)
            sandbox.fault("close_socket", channel="rtds", count=1)
            await until(events, is_connected, times=2)


async def test_a_venue_that_is_away_is_tried_again_and_again(sandbox: RunningSandbox) -> None:
    urls = dict.fromkeys(("clob", "gamma", "data", "ws_market", "ws_user", "ws_rtds"), "http://127.0.0.1:9")
    transport = registry.open_transport(urls=urls, clock=SystemClock())
    stream = registry.open_activity_stream(transport=transport, chance=random.Random(1))
    async with collecting(stream) as events:
        await until(events, is_lost, times=2)
    await transport.close()


PAYLOAD = {
    "asset": "1",
    "conditionId": "0xc",
    "proxyWallet": "0xABC",
    "side": "SELL",
    "price": 0.48,
    "size": 12.5,
    "timestamp": 1790000000,
    "transactionHash": "0xt",
    "title": None,
}


def activity(payload: object, **fields: object) -> str:
    return json.dumps({"topic": "activity", "type": "trades", "timestamp": 1, "payload": payload, **fields})


@pytest.fixture
async def activity_stream(sandbox: RunningSandbox) -> AsyncIterator[ActivityStream]:
    async with connected(sandbox) as (transport, _):
        yield ActivityStream(transport, chance=random.Random(1))


async def test_numbers_of_a_trade_keep_their_digits(activity_stream: ActivityStream) -> None:
    text = activity(PAYLOAD).replace("0.48", "0.4800000000000000001").replace("12.5", "12.500001")
    seen = activity_stream.read(text)
    assert seen is not None
    assert (seen.price, seen.shares, seen.wallet) == ("0.4800000000000000001", "12.500001", "0xabc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"topic":"comments","type":"x","payload":{}}',
        '{"connection_id":"x","payload":null}',
    ],
)
async def test_frames_about_something_else_are_passed_over(activity_stream: ActivityStream, text: str) -> None:
    assert activity_stream.read(text) is None
    assert activity_stream.bad_frames == 0


@pytest.mark.parametrize(
    "text",
    [
        "garbage",
        "[1,2]",
        activity({"asset": "1"}),
        activity({**PAYLOAD, "side": "HOLD"}),
        activity({**PAYLOAD, "price": "cheap"}),
        activity({**PAYLOAD, "size": None}),
        activity({**PAYLOAD, "size": -5}),
        activity({**PAYLOAD, "timestamp": "now"}),
    ],
)
async def test_what_cannot_be_a_trade_is_counted_and_never_fatal(activity_stream: ActivityStream, text: str) -> None:
    assert activity_stream.read(text) is None
    assert activity_stream.bad_frames == 1
    assert activity_stream.read(activity(PAYLOAD)) is not None


# -- books -------------------------------------------------------------------------------------------------------


async def test_a_subscribed_book_comes_whole_and_then_by_changes(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with connected(sandbox) as (transport, _):
        stream = registry.open_market_stream(transport=transport, chance=random.Random(1))
        await stream.subscribe([market.yes])
        async with collecting(stream) as events:
            await until(events, lambda event: isinstance(event, BookSnapshot))
            book = next(event for event in events if isinstance(event, BookSnapshot))
            assert [(level.price_units, level.share_units) for level in book.asks] == [
                (5200, 50_000_000),
                (5300, 100_000_000),
            ]
            assert book.bids[0].price_units == 4800
            sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.52", size="20")
            await until(events, lambda event: isinstance(event, LevelChange) and event.token_id == market.yes)
            await until(events, lambda event: isinstance(event, LastTrade) and event.price_units == 5200)
            sandbox.change_tick(market.condition_id, "0.001")
            await until(events, lambda event: isinstance(event, TickChange) and event.tick_units == 10)


async def test_tokens_can_be_added_and_dropped_while_connected(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with connected(sandbox) as (transport, _):
        stream = registry.open_market_stream(transport=transport, chance=random.Random(1))
        async with collecting(stream) as events:
            await until(events, is_connected)
            await stream.subscribe([market.yes])
            await until(events, lambda event: isinstance(event, BookSnapshot) and event.token_id == market.yes)
            await stream.subscribe([market.no])
            await until(events, lambda event: isinstance(event, BookSnapshot) and event.token_id == market.no)
            await stream.unsubscribe([market.yes, market.no])
            await stream.subscribe([market.no])
            await until(events, lambda event: isinstance(event, BookSnapshot) and event.token_id == market.no, times=2)


async def test_after_a_reconnect_every_book_is_sent_again(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with connected(sandbox) as (transport, _):
        stream = registry.open_market_stream(transport=transport, chance=random.Random(1))
        await stream.subscribe([market.yes])
        async with collecting(stream) as events:
            await until(events, lambda event: isinstance(event, BookSnapshot))
            sandbox.fault("close_socket", channel="market", count=1)
            await until(events, is_connected, times=2)
            await until(events, lambda event: isinstance(event, BookSnapshot), times=2)


async def test_a_market_socket_that_answers_no_ping_is_replaced(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with connected(sandbox) as (transport, _):
        quick = Watch(ping_s=0.05, silence_s=0.2, pong_counts=True)
        stream = MarketStream(transport, chance=random.Random(1), watch=quick)
        await stream.subscribe([market.yes])
        async with collecting(stream) as events:
            await until(events, is_connected)
            with fault(sandbox, "silent_socket", channel="market", pong=False):
                await until(events, is_lost)
            await until(events, is_connected, times=2)
            sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.52", size="20")
            await until(events, lambda event: isinstance(event, LastTrade))


async def test_one_bad_entry_spoils_neither_the_frame_nor_the_stream(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (transport, _):
        stream = MarketStream(transport, chance=random.Random(1))
        good = {"event_type": "book", "asset_id": "1", "timestamp": "1790000000000", "bids": [], "asks": []}
        bad = {**good, "bids": [{"price": "nan", "size": "1"}]}
        doubt, book = stream.read(json.dumps([bad, good]))
        # Whoever keeps books must know that one of them missed something.
        assert doubt == FeedStatus(connected=True, reason="unreadable frame", tokens=("1",))
        assert isinstance(book, BookSnapshot)
        for text in ("INVALID OPERATION", "", "[", '{"event_type":"new_market","id":5}', "{}"):
            assert all(isinstance(event, FeedStatus) for event in stream.read(text))
        assert stream.bad_frames >= 4


async def test_prices_without_a_leading_zero_and_removed_levels_are_read(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (transport, _):
        stream = MarketStream(transport, chance=random.Random(1))
        frame = {
            "event_type": "price_change",
            "market": "0xc",
            "timestamp": "1790000000000",
            "price_changes": [
                {"asset_id": "1", "price": ".48", "size": "0", "side": "BUY", "hash": ""},
                {"asset_id": "2", "price": "0.52", "size": "10.5", "side": "SELL", "best_bid": ""},
            ],
        }
        first, second = stream.read(json.dumps(frame))
        assert isinstance(first, LevelChange)
        assert isinstance(second, LevelChange)
        assert first == LevelChange("1", Side.BUY, 4800, 0, 1_790_000_000_000, first.received_ms)
        assert second == LevelChange("2", Side.SELL, 5200, 10_500_000, 1_790_000_000_000, first.received_ms)


async def test_any_number_of_sockets_leaves_room_for_requests(sandbox: RunningSandbox) -> None:
    """Each live account keeps a socket open: more of them than the request pool holds must not starve it."""
    async with connected(sandbox) as (transport, _), asyncio.timeout(20):
        url = f"{transport.urls.ws_market}"
        opened = [await transport.socket(url) for _ in range(MAX_CONNECTIONS + 1)]
        answer = await transport.read(f"{transport.urls.clob}/time")
        for socket in opened:
            await socket.close()
    assert answer.status == 200
