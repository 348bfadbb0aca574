"""What every venue promises the engine, asked of the live adapter (on a local Polymarket) and of the paper venue."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest

from markets.tests.local_signer import LocalSigner
from markets.tests.venue_fixtures import approved, connected, live_session
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import registry
from markets.venue.errors import Refused
from markets.venue.ports import OrderType, PreparedOrder, Side, SubmitReport, Venue, VenueOrderStatus, VenueTrade
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from markets.venue.signers import VenueAccount
from markets.venue.simulator.paper import RestoredState
from polyhub.lib.clock import SystemClock
from polyhub.tests.eventually import eventually_async

START = 1_000_000_000
_slugs = count()


@dataclass(slots=True)
class Party:
    """One account at one venue, with a market of its own."""

    venue: Venue
    market: SandboxMarket

    async def submit(
        self, side: Side, order_type: OrderType, *, price: int, shares: int
    ) -> tuple[PreparedOrder, SubmitReport]:
        order = approved(self.market.yes, side, order_type, price=price, shares=shares, now=SystemClock().now())
        prepared = await self.venue.prepare(order)
        return prepared, await self.venue.send(prepared)

    async def fills(self, order_hash: str) -> list[VenueTrade]:
        after = SystemClock().now() - timedelta(minutes=1)
        return [trade for trade in await self.venue.trades(after=after) if trade.order_hash == order_hash]


Opening = Callable[[RunningSandbox], AbstractAsyncContextManager[Venue]]


@asynccontextmanager
async def live(sandbox: RunningSandbox) -> AsyncIterator[Venue]:
    async with live_session(sandbox, usdc=1_000) as session:
        yield session.venue


@asynccontextmanager
async def paper(sandbox: RunningSandbox) -> AsyncIterator[Venue]:
    async with connected(sandbox) as (transport, public):
        chance = random.Random(2)
        books = registry.open_books(transport=transport, public=public, chance=chance)
        feeding = asyncio.ensure_future(books.run())
        venue = registry.open_venue(
            mode=registry.PAPER,
            account=VenueAccount(uuid4()),
            restored=RestoredState(cash_units=START),
            transport=transport,
            public=public,
            books=books,
            signer=LocalSigner(),
            chance=chance,
            paper_latency_s=0,
        )
        await venue.open()
        try:
            yield venue
        finally:
            await venue.close()
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding


@pytest.fixture(params=[live, paper], ids=["live", "paper"])
async def party(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> AsyncIterator[Party]:
    opening: Opening = request.param
    market = sandbox.create_market(
        f"contract-{next(_slugs)}",
        bids=[("0.48", "100"), ("0.47", "200")],
        asks=[("0.52", "50"), ("0.53", "100")],
        fee_rate="0.05",
    )
    async with opening(sandbox) as venue:
        yield Party(venue, market)


async def test_a_new_account_owns_its_cash_and_no_shares(party: Party) -> None:
    owned = await party.venue.balances([party.market.yes])
    assert (owned.cash_units, owned.shares) == (START, {party.market.yes: 0})


async def test_preparing_is_deterministic_and_sends_nothing(party: Party) -> None:
    order = approved(party.market.yes, Side.BUY, OrderType.GTC, price=40, shares=10, now=SystemClock().now())
    first, second = await party.venue.prepare(order), await party.venue.prepare(order)
    assert first == second
    assert await party.venue.order_by_hash(first.order_hash) is None


async def test_a_market_buy_walks_the_book_and_pays_the_markets_fee(party: Party) -> None:
    prepared, report = await party.submit(Side.BUY, OrderType.FAK, price=53, shares=60)
    assert report.order_hash == prepared.order_hash
    assert report.status is VenueOrderStatus.MATCHED
    fills = await party.fills(prepared.order_hash)
    assert {trade.trade_id for trade in fills} == set(report.trade_ids)
    assert sorted((trade.price_units, trade.share_units) for trade in fills)[0] == (5200, 50_000_000)
    assert all(trade.fee_units > 0 and not trade.is_maker for trade in fills)
    cost = sum(trade.price_units * trade.share_units // 10_000 + trade.fee_units for trade in fills)
    shares = sum(trade.share_units for trade in fills)

    async def settled() -> bool:
        owned = await party.venue.balances([party.market.yes])
        return (owned.cash_units, owned.shares[party.market.yes]) == (START - cost, shares)

    assert await eventually_async(settled)


async def test_bought_shares_can_be_sold(party: Party) -> None:
    await party.submit(Side.BUY, OrderType.FAK, price=52, shares=20)

    async def owned() -> bool:
        return (await party.venue.balances([party.market.yes])).shares[party.market.yes] == 20_000_000

    assert await eventually_async(owned)
    prepared, report = await party.submit(Side.SELL, OrderType.FAK, price=48, shares=20)
    assert report.status is VenueOrderStatus.MATCHED
    (fill,) = await party.fills(prepared.order_hash)
    assert (fill.side, fill.price_units, fill.share_units) == (Side.SELL, 4800, 20_000_000)


async def test_a_fill_or_kill_that_cannot_be_whole_is_refused_and_leaves_nothing(party: Party) -> None:
    with pytest.raises(Refused) as refused:
        await party.submit(Side.BUY, OrderType.FOK, price=52, shares=80)
    assert refused.value.code == "FOK_NOT_FILLED"
    assert (await party.venue.balances([])).cash_units == START


async def test_a_fill_and_kill_without_a_counterpart_is_refused(party: Party) -> None:
    with pytest.raises(Refused) as refused:
        await party.submit(Side.BUY, OrderType.FAK, price=50, shares=10)
    assert refused.value.code == "FAK_NOT_FILLED"


async def test_a_fill_and_kill_takes_what_is_there_and_rests_nothing(party: Party) -> None:
    prepared, report = await party.submit(Side.BUY, OrderType.FAK, price=52, shares=80)
    assert sum(trade.share_units for trade in await party.fills(prepared.order_hash)) == 50_000_000
    assert report.status is VenueOrderStatus.MATCHED
    assert await party.venue.open_orders() == []


async def test_a_limit_order_rests_until_it_is_canceled(party: Party) -> None:
    prepared, report = await party.submit(Side.BUY, OrderType.GTC, price=45, shares=10)
    assert report.status is VenueOrderStatus.LIVE
    (resting,) = await party.venue.open_orders()
    assert (resting.order_hash, resting.share_units, resting.price_units) == (prepared.order_hash, 10_000_000, 4500)
    assert (await party.venue.cancel(prepared.order_hash)).canceled
    assert await party.venue.open_orders() == []
    known = await party.venue.order_by_hash(prepared.order_hash)
    assert known is not None
    assert known.status is VenueOrderStatus.CANCELED


async def test_a_second_cancel_says_why_it_did_nothing(party: Party) -> None:
    prepared, _ = await party.submit(Side.BUY, OrderType.GTC, price=45, shares=10)
    await party.venue.cancel(prepared.order_hash)
    again = await party.venue.cancel(prepared.order_hash)
    assert not again.canceled
    assert "already" in again.reason


async def test_a_marketable_limit_order_fills_in_part_and_rests_the_rest(party: Party) -> None:
    prepared, _ = await party.submit(Side.BUY, OrderType.GTC, price=52, shares=70)
    order = await party.venue.order_by_hash(prepared.order_hash)
    assert order is not None
    assert (order.matched_share_units, order.status) == (50_000_000, VenueOrderStatus.LIVE)
    assert (await party.venue.cancel(prepared.order_hash)).canceled


async def test_the_same_bytes_sent_twice_are_one_order(party: Party) -> None:
    prepared, first = await party.submit(Side.BUY, OrderType.FAK, price=52, shares=10)
    again = await party.venue.send(prepared)
    assert again.order_hash == first.order_hash
    assert set(again.trade_ids) == set(first.trade_ids)
    assert sum(trade.share_units for trade in await party.fills(prepared.order_hash)) == 10_000_000


async def test_an_order_nobody_sent_is_unknown(party: Party) -> None:
    assert await party.venue.order_by_hash("0x" + "ab" * 32) is None
    assert not (await party.venue.cancel("0x" + "ab" * 32)).canceled


async def test_more_than_the_account_owns_is_refused(party: Party) -> None:
    with pytest.raises(Refused) as poor:
        await party.submit(Side.BUY, OrderType.GTC, price=45, shares=10_000)
    with pytest.raises(Refused) as empty:
        await party.submit(Side.SELL, OrderType.GTC, price=60, shares=10)
    assert {poor.value.code, empty.value.code} == {"NOT_ENOUGH_BALANCE"}


async def test_an_order_below_the_minimum_size_is_refused(party: Party) -> None:
    with pytest.raises(Refused) as refused:
        await party.submit(Side.BUY, OrderType.GTC, price=45, shares=4)
    assert refused.value.code == "MIN_SIZE"
