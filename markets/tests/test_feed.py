"""The feed records what watched wallets do, whoever tells it, through outages of everything around it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from markets import selectors
from markets.domain.catalogue import MarketFacts, OutcomeFacts
from markets.feed import FeedService, FeedSources
from markets.models import LeaderPosition, LeaderTrade, Market, Quote
from markets.services import watch
from markets.services.quotes import TopOfBook
from markets.tests.factories import LEADER, NOW, make_token, seen
from markets.venue.ports import ActivityEvent, FeedStatus, LeaderTradeSeen
from polyhub.lib.clock import SystemClock
from polyhub.lib.threads import DatabaseThread
from polyhub.tests.eventually import eventually_async

pytestmark = pytest.mark.django_db(transaction=True)

STRANGER = "0x" + "99" * 20


@dataclass
class MemoryVenue:
    """A venue in memory: what it says is put here by the test."""

    events: asyncio.Queue[ActivityEvent | Exception] = field(default_factory=asyncio.Queue)
    blocks: asyncio.Queue[ActivityEvent] = field(default_factory=asyncio.Queue)
    chain_watched: set[str] = field(default_factory=set)
    history: list[LeaderTradeSeen] = field(default_factory=list)
    held: dict[str, tuple[Decimal, datetime]] = field(default_factory=dict)
    facts: dict[str, MarketFacts] = field(default_factory=dict)
    tops: dict[str, TopOfBook] = field(default_factory=dict)
    in_play: list[str] = field(default_factory=list)
    is_down: bool = False

    def sources(self) -> FeedSources:
        return FeedSources(
            activity=self._activity,
            trades=self._trades,
            positions=self._positions,
            markets=self._markets,
            need_books=lambda token_ids: None,
            top_of_book=self.tops.get,
            tokens_in_play=lambda: self.in_play,
            chain=self._chain,
            watch_chain=self.chain_watched.update,
        )

    async def _chain(self) -> AsyncIterator[ActivityEvent]:
        yield FeedStatus(connected=True)
        while True:
            yield await self.blocks.get()

    async def _activity(self) -> AsyncIterator[ActivityEvent]:
        yield FeedStatus(connected=True)
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event

    async def _trades(self, wallet: str, after: datetime) -> Sequence[LeaderTradeSeen]:
        if self.is_down:
            raise ConnectionError("the venue is down")
        return [trade for trade in self.history if trade.wallet == wallet]

    async def _positions(self, wallet: str) -> Mapping[str, tuple[Decimal, datetime]]:
        return self.held

    async def _markets(self, token_ids: Sequence[str]) -> Sequence[MarketFacts]:
        return [self.facts[token_id] for token_id in token_ids if token_id in self.facts]


def run_feed(scenario: Callable[[MemoryVenue, FeedService, DatabaseThread], Awaitable[None]]) -> FeedService:
    """Run a scenario beside a running feed, then stop the feed cleanly."""

    async def beside() -> FeedService:
        venue, database, stop = MemoryVenue(), DatabaseThread("test"), asyncio.Event()
        feed = FeedService(sources=venue.sources(), clock=SystemClock())
        running = asyncio.create_task(feed.run(stop=stop))
        try:
            await scenario(venue, feed, database)
        finally:
            stop.set()
            await asyncio.wait_for(running, 10)
            await database.close()
        return feed

    return asyncio.run(beside())


async def recorded(database: DatabaseThread, count: int) -> None:
    async def check() -> bool:
        return await database.run(LeaderTrade.objects.count) == count

    await eventually_async(check)


async def watching(feed: FeedService) -> None:
    async def check() -> bool:
        return bool(feed.detail()["watched"])

    await eventually_async(check)


def test_trades_of_watched_wallets_are_recorded_and_of_others_not() -> None:
    token = make_token()
    watch.watch(addresses=[LEADER], now=NOW)

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        await watching(feed)
        venue.events.put_nowait(seen(token_id=token.token_id, wallet=STRANGER))
        venue.events.put_nowait(seen(token_id=token.token_id, wallet=LEADER.upper().replace("X", "x")))
        await recorded(database, 1)

    detail = run_feed(scenario).detail()
    assert (detail["connected"], detail["seen"], detail["recorded"]) == (True, 2, 1)
    assert detail["last_event_at"]


def test_a_wallet_watched_later_is_heard_of_at_once() -> None:
    token = make_token()

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        await asyncio.sleep(0)
        await database.run(watch.watch, addresses=[LEADER], now=NOW)
        await watching(feed)
        venue.events.put_nowait(seen(token_id=token.token_id))
        await recorded(database, 1)

    run_feed(scenario)


def test_a_trade_the_socket_missed_is_found_by_reconciliation() -> None:
    token = make_token()
    watch.watch(addresses=[LEADER], now=NOW)

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        venue.history.append(seen(token_id=token.token_id, source="data_api"))
        await recorded(database, 1)

    assert run_feed(scenario).detail()["late_found"] == 1
    assert LeaderTrade.objects.get().first_source == "data_api"
    assert selectors.watched_wallets()[LEADER] is not None


def test_the_chain_confirms_what_the_socket_told_and_tells_what_it_missed() -> None:
    token = make_token()
    watch.watch(addresses=[LEADER], now=NOW)

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        await watching(feed)
        assert venue.chain_watched == {LEADER}
        known = "0x" + "ab" * 32
        venue.events.put_nowait(seen(token_id=token.token_id, tx=known))
        await recorded(database, 1)
        # The same fill with the digits the chain gives, and one the socket never told.
        venue.blocks.put_nowait(seen(token_id=token.token_id, source="chain", tx=known, price="0.5000000000"))
        venue.blocks.put_nowait(seen(token_id=token.token_id, source="chain", tx="0x" + "ef" * 32))
        await recorded(database, 2)

    detail = run_feed(scenario).detail()
    assert (detail["chain_connected"], detail["chain_seen"]) == (True, 2)
    both = LeaderTrade.objects.get(first_source="rtds")
    assert both.rtds_at is not None
    assert both.chain_at is not None
    missed = LeaderTrade.objects.get(first_source="chain")
    assert (missed.rtds_at, missed.chain_at is not None) == (None, True)


def test_a_fill_the_chain_cuts_differently_is_not_told_twice() -> None:
    token = make_token()
    watch.watch(addresses=[LEADER], now=NOW)
    known = "0x" + "ab" * 32

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        await watching(feed)
        venue.events.put_nowait(seen(token_id=token.token_id, tx=known, shares="100"))
        await recorded(database, 1)
        for shares in ("60", "40"):
            venue.blocks.put_nowait(seen(token_id=token.token_id, source="chain", tx=known, shares=shares))

        async def told() -> bool:
            return bool(feed.detail()["chain_differing"] == 2)

        await eventually_async(told)

    run_feed(scenario)
    assert LeaderTrade.objects.count() == 1


def test_what_a_new_leader_holds_is_known_with_its_markets() -> None:
    watch.watch(addresses=[LEADER], now=NOW)

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        venue.held["555"] = (Decimal(40), NOW)
        venue.facts["555"] = MarketFacts("0x" + "5" * 64, (OutcomeFacts("555", "Yes", 0),), fee_rate=Decimal(0))

        async def check() -> bool:
            return await database.run(LeaderPosition.objects.filter(token__token_id="555", shares=40).exists)

        await eventually_async(check)

    run_feed(scenario)


def test_an_unknown_market_is_described_after_its_first_trade() -> None:
    watch.watch(addresses=[LEADER], now=NOW)
    condition = "0x" + "7" * 64

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        await watching(feed)
        outcomes = (OutcomeFacts("777", "Yes", 0), OutcomeFacts("778", "No", 1))
        venue.facts["777"] = MarketFacts(condition, outcomes, question="Rain?", fee_rate=Decimal("0.05"))
        venue.events.put_nowait(seen(token_id="777", condition_id=condition))

        async def check() -> bool:
            return await database.run(Market.objects.filter(question="Rain?", fee_rate="0.05").exists)

        await eventually_async(check)

    run_feed(scenario)


def test_a_broken_socket_and_a_venue_that_is_down_stop_nothing() -> None:
    token = make_token()
    watch.watch(addresses=[LEADER], now=NOW)

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        venue.is_down = True
        await watching(feed)
        venue.events.put_nowait(ConnectionError("socket lost"))
        venue.events.put_nowait(seen(token_id=token.token_id))
        await recorded(database, 1)

    run_feed(scenario)


def test_trades_received_while_the_database_is_away_are_recorded_when_it_returns() -> None:
    token = make_token()
    watch.watch(addresses=[LEADER], now=NOW)
    connection.close()  # the test's own must not be among those that are cut

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        await watching(feed)
        venue.events.put_nowait(seen(token_id=token.token_id))
        await recorded(database, 1)
        await database.run(_cut_other_connections)
        for _ in range(3):
            venue.events.put_nowait(seen(token_id=token.token_id))
        await recorded(database, 4)

    run_feed(scenario)


def test_quotes_of_tokens_in_play_are_written() -> None:
    token = make_token()

    async def scenario(venue: MemoryVenue, feed: FeedService, database: DatabaseThread) -> None:
        venue.in_play.append(token.token_id)
        venue.tops[token.token_id] = TopOfBook(token.token_id, Decimal("0.4"), Decimal("0.41"), None, NOW)

        async def check() -> bool:
            return await database.run(Quote.objects.filter(best_bid="0.4").exists)

        await eventually_async(check, timeout_s=15)

    run_feed(scenario)
    assert Quote.objects.get().venue_at == NOW


def _cut_other_connections() -> Any:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        return cursor.fetchone()
