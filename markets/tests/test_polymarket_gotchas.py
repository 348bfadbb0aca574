"""Faults that cost others money, where the adapter stands in their way."""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from markets.tests.venue_fixtures import connected, live_session
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import registry
from markets.venue.polymarket import parse
from markets.venue.polymarket.streams import MarketStream
from markets.venue.ports import LastTrade
from markets.venue.registry import PublicClient
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib.clock import SystemClock
from polyhub.tests.eventually import eventually_async

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
WALLET = "0x" + "ab" * 20
_slugs = count()


def a_row(*, at: datetime, price: float = 0.5, size: float = 10) -> dict[str, Any]:
    return {
        "proxy_wallet": WALLET,
        "token_id": "1",
        "condition_id": "0x" + "c" * 64,
        "side": "BUY",
        "size": size,
        "price": price,
        "timestamp": int(at.timestamp()),
        "transaction_hash": "0x" + f"{int(at.timestamp()):064x}",
    }


@asynccontextmanager
async def data_api(rows: list[dict[str, Any]]) -> AsyncIterator[PublicClient]:
    """A venue whose idea of recent is its own: it answers with these rows whatever is asked."""

    async def trades(request: web.Request) -> web.Response:
        return web.json_response({"data": rows, "pagination": {"has_more": False}})

    application = web.Application()
    application.router.add_get("/v2/trades", trades)
    async with TestServer(application) as server:
        here = str(server.make_url("")).rstrip("/")
        urls = dict.fromkeys(("clob", "gamma", "data", "ws_market", "ws_user", "ws_rtds"), here)
        transport = registry.open_transport(urls=urls, clock=SystemClock(), share=1.0)
        try:
            yield registry.open_public_client(transport=transport)
        finally:
            await transport.close()


async def test_g1_trades_older_than_asked_for_are_left_out_whatever_the_venue_calls_recent() -> None:
    old, fresh = a_row(at=NOW - timedelta(days=60), price=0.95), a_row(at=NOW - timedelta(seconds=20), price=0.05)
    async with data_api([fresh, old]) as public:
        after = NOW - timedelta(seconds=300)
        of_wallet = await public.wallet_trades(wallet=WALLET, after=after)
        of_market = await public.market_trades(condition_id="0x" + "c" * 64, after=after)
        assert [trade.price for trade in of_wallet] == ["0.05"]
        assert [trade.price for trade in of_market] == ["0.05"]
        # Only who asks for everything gets everything.
        assert len(await public.wallet_trades(wallet=WALLET)) == 2


async def test_g3_a_price_without_a_size_says_so_and_the_size_is_had_from_the_list(sandbox: RunningSandbox) -> None:
    market = sandbox.create_market(f"g3-{next(_slugs)}", bids=[("0.48", "500")], asks=[("0.52", "500")])
    async with connected(sandbox) as (transport, public):
        stream = MarketStream(transport, chance=random.Random(1))
        frame = {
            "event_type": "last_trade_price",
            "asset_id": market.yes,
            "market": market.condition_id,
            "price": "0.52",
            "side": "BUY",
            "timestamp": "1790000000000",
        }
        (told,) = stream.read(json.dumps(frame))
        assert isinstance(told, LastTrade)
        assert told.share_units == 0
        start = SystemClock().now() - timedelta(seconds=5)
        sandbox.leader_trade(wallet=WALLET, token_id=market.yes, side="BUY", price="0.52", size="37")

        async def sized() -> bool:
            found = await public.market_trades(condition_id=market.condition_id, after=start)
            return [float(trade.shares) for trade in found if trade.token_id == market.yes] == [37.0]

        await eventually_async(sized)


async def test_g7_every_time_the_adapter_gives_is_aware_utc(sandbox: RunningSandbox) -> None:
    market = sandbox.create_market(
        f"g7-{next(_slugs)}", bids=[("0.48", "500")], asks=[("0.52", "500")], end_date="2026-12-31T12:00:00Z"
    )
    async with connected(sandbox) as (_, public):
        (facts,) = await public.markets(token_ids=[market.yes])
        assert facts.ends_at is not None
        assert facts.ends_at.utcoffset() == timedelta(0)
        for position in await public.wallet_positions(wallet=WALLET):
            assert position.as_of is None or position.as_of.utcoffset() == timedelta(0)
    async with live_session(sandbox) as session:
        for trade in await session.venue.trades(after=NOW - timedelta(days=1)):
            assert trade.venue_at.utcoffset() == timedelta(0)
    # A time without a zone is no time: better none than a wrong one.
    assert parse._moment("2026-12-31T12:00:00") is None


async def test_g8_a_start_reads_no_more_pages_than_it_was_allowed(sandbox: RunningSandbox) -> None:
    for _ in range(12):
        sandbox.create_market(f"g8-{next(_slugs)}", bids=[("0.48", "5")], asks=[("0.52", "5")])
    async with connected(sandbox) as (transport, public):
        found = await public.list_markets(limit=10)
        assert len(found) == 10
        assert transport.budget.taken["gamma /markets"] == 1
