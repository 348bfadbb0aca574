"""A paper account trades at public prices, conserves its money, and keeps to what it says about itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets.books import BookCache
from markets.domain import fees
from markets.tests.test_books import HandFedStream, Shelf
from markets.tests.venue_fixtures import approved
from markets.venue.errors import Refused, Unavailable
from markets.venue.ports import (
    BookLevel,
    BookSnapshot,
    FeedStatus,
    OrderTerms,
    OrderType,
    PreparedOrder,
    Side,
    StreamStatus,
    SubmitReport,
    UserEvent,
    VenueOrder,
    VenueOrderStatus,
    VenueTrade,
)
from markets.venue.simulator.external import FeeSchedule
from markets.venue.simulator.paper import MarketTerms, PaperVenue, RestoredOrder, RestoredState
from polyhub.lib.clock import ReplayClock, to_ms

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
CASH = 1_000_000_000
TOKEN = "1"
RATE = Decimal("0.05")


async def terms_of(token_id: str) -> MarketTerms:
    return MarketTerms("0xc", FeeSchedule(RATE))


async def at_once(seconds: float) -> None:
    return None


class Paper:
    """A paper account and the public book it trades on."""

    def __init__(
        self,
        *,
        cash: int = CASH,
        shares: dict[str, int] | None = None,
        orders: tuple[RestoredOrder, ...] = (),
        sleep: Callable[[float], Awaitable[None]] = at_once,
        terms: Callable[[str], Awaitable[MarketTerms]] = terms_of,
    ) -> None:
        self.clock = ReplayClock(START)
        self.cache = BookCache(stream=HandFedStream(), fetch=Shelf().fetch, clock=self.clock)
        self.cache.need([TOKEN])
        self.cache.apply(FeedStatus(connected=True))
        self.venue = PaperVenue(
            account_id=UUID(int=7),
            books=self.cache,
            market_terms=terms,
            clock=self.clock,
            restored=RestoredState(cash, shares or {}, orders),
            sleep=sleep,
        )

    def book(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        """{price in cents: whole shares}."""
        self.cache.apply(
            BookSnapshot(
                TOKEN,
                tuple(BookLevel(price * 100, size * 1_000_000) for price, size in bids.items()),
                tuple(BookLevel(price * 100, size * 1_000_000) for price, size in asks.items()),
                to_ms(self.clock.now()),
                to_ms(self.clock.now()),
            )
        )

    async def prepared(self, side: Side, order_type: OrderType, price: int, shares: int, **extra: Any) -> PreparedOrder:
        order = approved(TOKEN, side, order_type, price=price, shares=shares, now=self.clock.now())
        return await self.venue.prepare(replace(order, terms=replace(order.terms, **extra)))

    async def submit(self, side: Side, order_type: OrderType, price: int, shares: int, **extra: Any) -> SubmitReport:
        return await self.venue.send(await self.prepared(side, order_type, price, shares, **extra))

    async def next_events(self, number: int) -> list[UserEvent]:
        events: list[UserEvent] = []
        async with asyncio.timeout(5):
            async for event in self.venue.user_events():
                events.append(event)
                if len(events) == number:
                    break
        return events

    async def cash(self) -> int:
        return (await self.venue.balances([])).cash_units

    async def shares(self) -> int:
        return (await self.venue.balances([TOKEN])).shares[TOKEN]


def fee(price: int, shares: int) -> int:
    return fees.fee_units(share_units=shares * 1_000_000, price_units=price * 100, rate=RATE)


async def test_a_taker_pays_each_level_its_price_and_its_fee() -> None:
    paper = Paper()
    paper.book(bids={48: 100}, asks={52: 50, 53: 100})
    report = await paper.submit(Side.BUY, OrderType.GTC, 53, 60)
    assert [(trade.price_units, trade.share_units) for trade in report.trades] == [
        (5200, 50_000_000),
        (5300, 10_000_000),
    ]
    assert [trade.fee_units for trade in report.trades] == [fee(52, 50), fee(53, 10)]
    spent = 50 * 520_000 + 10 * 530_000 + fee(52, 50) + fee(53, 10)
    assert (await paper.cash(), await paper.shares()) == (CASH - spent, 60_000_000)


async def test_a_resting_order_fills_at_its_own_price_without_fee_once_the_public_book_crosses_it() -> None:
    paper = Paper()
    paper.book(bids={48: 100}, asks={52: 50})
    resting = await paper.submit(Side.BUY, OrderType.GTC, 50, 30)
    assert resting.status is VenueOrderStatus.LIVE
    paper.book(bids={45: 1}, asks={49: 20})
    _, trade = await paper.next_events(2)
    assert isinstance(trade, VenueTrade)
    assert (trade.price_units, trade.share_units, trade.fee_units, trade.is_maker) == (5000, 20_000_000, 0, True)
    paper.book(bids={45: 1}, asks={50: 20})
    _, second, order = await paper.next_events(3)
    assert isinstance(second, VenueTrade)
    assert isinstance(order, VenueOrder)
    assert (second.share_units, order.status) == (10_000_000, VenueOrderStatus.MATCHED)
    assert second.trade_id != trade.trade_id
    assert await paper.cash() == CASH - 30 * 500_000


async def test_a_resting_order_ignores_a_book_that_cannot_be_trusted() -> None:
    paper = Paper()
    paper.book(bids={48: 100}, asks={52: 50})
    await paper.submit(Side.BUY, OrderType.GTC, 50, 30)
    paper.book(bids={51: 10}, asks={49: 20})
    assert (await paper.venue.open_orders())[0].matched_share_units == 0


async def test_resting_orders_hold_their_money_back_until_they_end() -> None:
    paper = Paper(cash=10_000_000)
    paper.book(bids={48: 100}, asks={52: 50})
    first = await paper.submit(Side.BUY, OrderType.GTC, 50, 15)
    with pytest.raises(Refused) as refused:
        await paper.submit(Side.BUY, OrderType.GTC, 50, 10)
    assert refused.value.code == "NOT_ENOUGH_BALANCE"
    await paper.venue.cancel(first.order_hash)
    assert (await paper.submit(Side.BUY, OrderType.GTC, 50, 10)).status is VenueOrderStatus.LIVE


async def test_resting_sales_hold_their_shares_back() -> None:
    paper = Paper(shares={TOKEN: 10_000_000})
    paper.book(bids={48: 100}, asks={52: 50})
    await paper.submit(Side.SELL, OrderType.GTC, 60, 6)
    with pytest.raises(Refused):
        await paper.submit(Side.SELL, OrderType.FAK, 48, 6)


async def test_an_order_meets_the_book_as_it_is_on_arrival() -> None:
    paper: Paper

    async def meanwhile(seconds: float) -> None:
        assert seconds == 0.25
        paper.book(bids={48: 100}, asks={55: 50})

    paper = Paper(sleep=meanwhile)
    paper.book(bids={48: 100}, asks={52: 50})
    with pytest.raises(Refused) as refused:
        await paper.submit(Side.BUY, OrderType.FAK, 52, 10)
    assert refused.value.code == "FAK_NOT_FILLED"


async def test_one_order_sent_twice_at_the_same_time_is_one_order() -> None:
    async def yielding(seconds: float) -> None:
        await asyncio.sleep(0)

    paper = Paper(sleep=yielding)
    paper.book(bids={48: 100}, asks={52: 50})
    prepared = await paper.prepared(Side.BUY, OrderType.FAK, 52, 10)
    first, second = await asyncio.gather(paper.venue.send(prepared), paper.venue.send(prepared))
    assert {first.note, second.note} == {"", "duplicate"}
    assert await paper.shares() == 10_000_000


async def test_without_a_trusted_book_nothing_arrives_and_the_order_may_be_sent_again() -> None:
    paper = Paper()
    paper.book(bids={48: 100}, asks={52: 50})
    paper.cache.apply(FeedStatus(connected=False))
    paper.clock.advance(timedelta(minutes=1))
    prepared = await paper.prepared(Side.BUY, OrderType.FAK, 52, 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("markets.venue.simulator.paper.BOOK_WAIT_S", 0.01)
        with pytest.raises(Unavailable) as failed:
            await paper.venue.send(prepared)
    assert failed.value.code == "BOOK_UNTRUSTED"
    paper.cache.apply(FeedStatus(connected=True))
    paper.book(bids={48: 100}, asks={52: 50})
    assert (await paper.venue.send(prepared)).status is VenueOrderStatus.MATCHED


async def test_an_unknown_fee_stops_the_order_before_it_arrives() -> None:
    async def no_terms(token_id: str) -> MarketTerms:
        raise Unavailable("no terms")

    paper = Paper(terms=no_terms)
    paper.book(bids={48: 100}, asks={52: 50})
    with pytest.raises(Unavailable):
        await paper.submit(Side.BUY, OrderType.FAK, 52, 10)


async def test_a_post_only_order_that_would_take_is_refused() -> None:
    paper = Paper()
    paper.book(bids={48: 100}, asks={52: 50})
    with pytest.raises(Refused) as refused:
        await paper.submit(Side.BUY, OrderType.GTC, 52, 10, post_only=True)
    assert refused.value.code == "POST_ONLY_CROSSES"


async def test_a_good_till_date_order_ends_a_minute_before_its_time() -> None:
    paper = Paper()
    paper.book(bids={48: 100}, asks={52: 50})
    expires = int(START.timestamp()) + 600
    report = await paper.submit(Side.BUY, OrderType.GTD, 50, 10, expiration_s=expires)
    paper.clock.advance(timedelta(seconds=539))
    assert len(await paper.venue.open_orders()) == 1
    paper.clock.advance(timedelta(seconds=1))
    assert await paper.venue.open_orders() == []
    known = await paper.venue.order_by_hash(report.order_hash)
    assert known is not None
    assert known.status is VenueOrderStatus.CANCELED


async def test_what_was_resting_is_resting_again_after_a_restart_under_the_same_hash() -> None:
    before = Paper()
    before.book(bids={48: 100}, asks={52: 50})
    prepared = await before.prepared(Side.BUY, OrderType.GTC, 50, 30)
    await before.venue.send(prepared)
    after = Paper(cash=CASH - 10 * 500_000, orders=(RestoredOrder(prepared.terms, 10_000_000),))
    (order,) = await after.venue.open_orders()
    assert (order.order_hash, order.matched_share_units) == (prepared.order_hash, 10_000_000)
    after.book(bids={45: 1}, asks={50: 100})
    _, trade = await after.next_events(2)
    assert isinstance(trade, VenueTrade)
    assert trade.share_units == 20_000_000
    # No trade of before the restart can have had this id.
    assert trade.trade_id.endswith("-10000000")


async def test_the_hash_says_everything_the_order_says() -> None:
    paper = Paper()
    base = (await paper.prepared(Side.BUY, OrderType.GTC, 50, 30)).terms
    hashes = {paper.venue._hash(terms) for terms in (base, *_variations(base))}
    assert len(hashes) == 7


def _variations(base: OrderTerms) -> list[OrderTerms]:
    return [
        replace(base, client_order_id=UUID(int=1)),
        replace(base, token_id="2"),
        replace(base, side=Side.SELL),
        replace(base, order_type=OrderType.GTD),
        replace(base, maker_units=base.maker_units + 1),
        replace(base, timestamp_ms=base.timestamp_ms + 1),
    ]


async def test_the_stream_of_a_paper_account_is_always_connected() -> None:
    assert await Paper().next_events(1) == [StreamStatus(connected=True)]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(Side), st.sampled_from([OrderType.GTC, OrderType.FAK]), st.integers(30, 70), st.integers(5, 400)
    ),
    max_size=15,
)
BOOKS = st.lists(st.tuples(st.integers(30, 69), st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=15)


@given(ACTIONS, BOOKS)
@settings(max_examples=150, deadline=None)
def test_cash_and_shares_always_equal_what_the_fills_say(
    actions: list[tuple[Side, OrderType, int, int]], public: list[tuple[int, int, int]]
) -> None:
    asyncio.run(_conserve(actions, public))


async def _conserve(actions: list[tuple[Side, OrderType, int, int]], public: list[tuple[int, int, int]]) -> None:
    paper = Paper(cash=200_000_000, shares={TOKEN: 100_000_000})
    for number, (side, order_type, price, shares) in enumerate(actions):
        bid, below, above = public[number % len(public)]
        paper.book(bids={bid: below}, asks={bid + 1: above})
        try:
            await paper.submit(side, order_type, price, shares)
        except Refused:
            continue
    cash, held = 200_000_000, 100_000_000
    for trade in await paper.venue.trades(after=START):
        cost = trade.price_units * trade.share_units
        assert cost % 10_000 == 0
        sign = 1 if trade.side is Side.BUY else -1
        cash -= sign * cost // 10_000 + trade.fee_units
        held += sign * trade.share_units
    assert (await paper.cash(), await paper.shares()) == (cash, held)
    holdings = paper.venue._holdings
    assert 0 <= holdings.reserved_cash <= holdings.cash
    assert 0 <= holdings.reserved_shares.get(TOKEN, 0) <= holdings.shares[TOKEN]
