"""The feed: watched wallets' trades from the activity socket, gaps closed by the Data API, quotes for pages.

Every loop guards itself: an outage of the venue or of the database stops nothing, and what was received meanwhile
waits in a bounded queue. Nothing here decides or trades.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import InterfaceError, OperationalError

from markets import selectors
from markets.books import BookCache, Untrusted
from markets.domain.catalogue import MarketFacts
from markets.services import catalogue, chain_trades, leader_trades, quotes, watch
from markets.services.leader_trades import Recorded
from markets.services.quotes import TopOfBook
from markets.venue.errors import VenueError
from markets.venue.ports import ActivityEvent, FeedStatus, LeaderTradeSeen
from markets.venue.registry import ActivityStream, ChainReader, PublicClient
from polyhub.lib import clock as clocks
from polyhub.lib import money
from polyhub.lib.clock import Clock
from polyhub.lib.listen import listen
from polyhub.lib.threads import DatabaseThread

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 5.0
RECONCILE_EVERY = timedelta(seconds=20)
# The Data API answers some seconds late: each look reaches back behind the last one.
RECONCILE_OVERLAP = timedelta(seconds=90)
POSITIONS_EVERY = timedelta(minutes=5)
# Where the venue does not say how fresh a holding is.
POSITIONS_LAG = timedelta(seconds=10)
CATALOGUE_EVERY_S = 60.0
QUOTES_EVERY_S = 1.0
# A quote that did not change is written again after this, so that its age stays honest.
QUOTE_REFRESH = timedelta(seconds=10)
RETRY_S = 0.5
CALL_TIMEOUT_S = 15.0
DRAIN_S = 5.0
# How long the chain's word waits for the other sources to tell the same fill first.
CHAIN_PATIENCE_MS = 3_000
QUEUE_SIZE = 20_000
BATCH = 500
MARKETS_PER_CALL = 50
WALLETS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class FeedSources:
    """Where the feed looks. `positions` gives shares and the time of the last event they contain, by token id."""

    activity: Callable[[], AsyncIterator[ActivityEvent]]
    trades: Callable[[str, datetime], Awaitable[Sequence[LeaderTradeSeen]]]
    positions: Callable[[str], Awaitable[Mapping[str, tuple[Decimal, datetime]]]]
    markets: Callable[[Sequence[str]], Awaitable[Sequence[MarketFacts]]]
    need_books: Callable[[Sequence[str]], None]
    top_of_book: Callable[[str], TopOfBook | None]
    # Tokens that accounts hold or have orders in; read on a database thread.
    tokens_in_play: Callable[[], Sequence[str]]
    # Fills from the chain, of the wallets last named; None where no node is configured.
    chain: Callable[[], AsyncIterator[ActivityEvent]] | None = None
    watch_chain: Callable[[Iterable[str]], None] = lambda wallets: None


class FeedService:
    """One instance per lease. `run` returns once `stop` is set and what was received is recorded."""

    def __init__(self, *, sources: FeedSources, clock: Clock) -> None:
        self._sources, self._clock = sources, clock
        self._queue: asyncio.Queue[LeaderTradeSeen] = asyncio.Queue(QUEUE_SIZE)
        self._watched: dict[str, datetime | None] = {}
        self._undescribed: set[str] = set()
        self._describe_now = asyncio.Event()
        self._positions_at: dict[str, datetime] = {}
        self._stored: dict[str, tuple[TopOfBook, datetime]] = {}
        # The hot path has a connection of its own.
        self._hot, self._slow = DatabaseThread("feed-hot"), DatabaseThread("feed-slow")
        self._connected = False
        self._last_event_at: datetime | None = None
        self._chain_connected = False
        self._from_chain: list[LeaderTradeSeen] = []
        self._counts = {
            "seen": 0,
            "chain_seen": 0,
            "chain_differing": 0,
            "recorded": 0,
            "unreadable": 0,
            "late_found": 0,
        }
        self._lag_ms: int | None = None

    async def run(self, *, stop: asyncio.Event) -> None:
        steps = {
            "read": self._read,
            "watch": self._follow_watch_list,
            "watch-poll": self._poll_watch_list,
            "reconcile": self._reconcile,
            "describe": self._describe,
            "catalogue": self._refresh_catalogue,
            "quotes": self._quote,
        }
        if self._sources.chain is not None:
            steps |= {"chain": self._read_chain, "confirm": self._confirm}
        recorder = asyncio.create_task(self._forever("record", self._record), name="feed-record")
        tasks = [asyncio.create_task(self._forever(name, step), name=f"feed-{name}") for name, step in steps.items()]
        try:
            await stop.wait()
        finally:
            await _cancel(tasks)
            await self._drain()
            await _cancel([recorder])
            await self._hot.close()
            await self._slow.close()

    def detail(self) -> dict[str, Any]:
        """The state shown to people; `lag_ms` is the newest watched trade's venue second to its arrival."""
        return {
            "connected": self._connected,
            "chain_connected": self._chain_connected,
            "last_event_at": self._last_event_at.isoformat() if self._last_event_at else None,
            "lag_ms": self._lag_ms,
            "watched": len(self._watched),
            "waiting": self._queue.qsize(),
            **self._counts,
        }

    async def _forever(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except (OperationalError, InterfaceError, TimeoutError) as error:
                logger.warning("Feed step %s interrupted: %s", name, " ".join(str(error).split())[:200])
                await asyncio.sleep(RETRY_S)
            except VenueError as error:
                logger.warning("Feed step %s waits for the venue: %s", name, error.code)
                await asyncio.sleep(RETRY_S)
            except Exception:
                logger.exception("Feed step failed", extra={"step": name})
                await asyncio.sleep(RETRY_S)

    # -- hot path: socket frame to committed row -----------------------------------------------------------------

    async def _read(self) -> None:
        async for event in self._sources.activity():
            if isinstance(event, FeedStatus):
                self._connected = event.connected
                continue
            self._connected = True
            self._last_event_at = clocks.from_ms(event.received_ms)
            self._counts["seen"] += 1
            if event.wallet.lower() in self._watched:
                self._lag_ms = event.received_ms - event.traded_s * 1000
                await self._queue.put(event)
        self._connected = False
        await asyncio.sleep(RETRY_S)

    async def _read_chain(self) -> None:
        """The chain's own word for the same fills: a little later, and complete."""
        assert self._sources.chain is not None
        async for event in self._sources.chain():
            if isinstance(event, FeedStatus):
                self._chain_connected = event.connected
                continue
            self._counts["chain_seen"] += 1
            # A database that is away for so long costs nothing for good: the Data API is asked again.
            if len(self._from_chain) < QUEUE_SIZE:
                self._from_chain.append(event)

    async def _confirm(self) -> None:
        """The chain's fills after the other sources had their time: at once while the activity stream is away."""
        await asyncio.sleep(RETRY_S)
        patience_ms = CHAIN_PATIENCE_MS if self._connected else 0
        due_ms = clocks.to_ms(self._clock.now()) - patience_ms
        due = list(itertools.takewhile(lambda event: event.received_ms <= due_ms, self._from_chain[:BATCH]))
        if not due:
            return
        confirmed = await self._slow.run(chain_trades.record, seen=due, now=self._clock.now())
        # Only what is stored is forgotten: a database that is away gets it again.
        del self._from_chain[: len(due)]
        self._counts["chain_differing"] += confirmed.differing
        self._note(confirmed.recorded)

    async def _record(self) -> None:
        batch = [await self._queue.get()]
        while len(batch) < BATCH and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        try:
            await self._store(batch)
        finally:
            for _ in batch:
                self._queue.task_done()

    async def _store(self, batch: Sequence[LeaderTradeSeen]) -> None:
        """Record a batch, however long the database is away. A trade the database refuses is set aside, alone."""
        while True:
            try:
                self._note(await self._hot.run(leader_trades.record, seen=batch, now=self._clock.now()))
                return
            except (OperationalError, InterfaceError) as error:
                logger.warning("Trades wait for the database", extra={"reason": str(error)[:200], "trades": len(batch)})
                await asyncio.sleep(RETRY_S)
            except Exception:
                if len(batch) == 1:
                    logger.exception("Trade set aside", extra={"transaction": batch[0].transaction_hash})
                    self._counts["unreadable"] += 1
                    return
                break
        for trade in batch:
            await self._store([trade])

    def _note(self, recorded: Recorded) -> None:
        self._counts["recorded"] += len(recorded.new_ids)
        self._counts["unreadable"] += recorded.unreadable
        if recorded.undescribed_tokens:
            self._undescribed.update(recorded.undescribed_tokens)
            self._describe_now.set()

    async def _drain(self) -> None:
        try:
            await asyncio.wait_for(self._queue.join(), DRAIN_S)
        except TimeoutError:
            logger.warning("Trades left for reconciliation", extra={"trades": self._queue.qsize()})

    # -- whom to watch -------------------------------------------------------------------------------------------

    async def _follow_watch_list(self) -> None:
        async for _ in listen(["watch"]):
            await self._load_watch_list()

    async def _poll_watch_list(self) -> None:
        await self._load_watch_list()
        await asyncio.sleep(WATCH_EVERY_S)

    async def _load_watch_list(self) -> None:
        self._watched = await self._slow.run(selectors.watched_wallets)
        self._sources.watch_chain(self._watched)

    # -- gaps ----------------------------------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        now = self._clock.now()
        due = sorted(
            (address for address, at in self._watched.items() if at is None or now - at >= RECONCILE_EVERY),
            key=lambda address: (self._watched[address] is not None, self._watched[address] or now, address),
        )
        await asyncio.gather(*(self._reconcile_guarded(address) for address in due[:WALLETS_AT_ONCE]))
        await asyncio.sleep(0 if len(due) > WALLETS_AT_ONCE else RETRY_S)

    async def _reconcile_guarded(self, address: str) -> None:
        """One wallet's failure is its own; the others go first before it is tried again."""
        try:
            await self._reconcile_wallet(address)
        except VenueError as error:
            logger.warning("Wallets not reconciled: %s", error.code, extra={"wallet": address})
            self._watched[address] = self._clock.now()
        except Exception:
            logger.exception("Wallet not reconciled", extra={"wallet": address})
            self._watched[address] = self._clock.now()

    async def _reconcile_wallet(self, address: str) -> None:
        started = self._clock.now()
        after = (self._watched.get(address) or started) - RECONCILE_OVERLAP
        if started - self._positions_at.get(address, started - POSITIONS_EVERY) >= POSITIONS_EVERY:
            await self._snapshot(address)
            self._positions_at[address] = started
        trades = await asyncio.wait_for(self._sources.trades(address, after), CALL_TIMEOUT_S)
        if trades:
            recorded = await self._slow.run(leader_trades.record, seen=trades, now=self._clock.now())
            self._counts["late_found"] += len(recorded.new_ids)
            self._note(recorded)
        await self._slow.run(watch.mark_reconciled, address=address, now=started)
        self._watched[address] = started

    async def _snapshot(self, address: str) -> None:
        held = await asyncio.wait_for(self._sources.positions(address), CALL_TIMEOUT_S)
        unknown = await self._slow.run(selectors.unknown_tokens, token_ids=list(held))
        for token_ids in _chunks(unknown, MARKETS_PER_CALL):
            await self._look_up(token_ids)
        await self._slow.run(watch.store_positions, wallet=address, shares=held)

    # -- the catalogue -------------------------------------------------------------------------------------------

    async def _describe(self) -> None:
        if not self._undescribed:
            self._undescribed.update(await self._slow.run(selectors.undescribed_tokens))
        wanted = sorted(self._undescribed)[:MARKETS_PER_CALL]
        self._describe_now.clear()
        if wanted:
            self._undescribed.difference_update(wanted)
            await self._look_up(wanted)
        if not self._undescribed:
            try:
                await asyncio.wait_for(self._describe_now.wait(), WATCH_EVERY_S)
            except TimeoutError:
                return

    async def _refresh_catalogue(self) -> None:
        """Markets close and change their tick: those in play are read again each minute."""
        for token_ids in _chunks(await self._tokens_in_need(), MARKETS_PER_CALL):
            await self._look_up(token_ids)
        await asyncio.sleep(CATALOGUE_EVERY_S)

    async def _look_up(self, token_ids: Sequence[str]) -> None:
        facts = await asyncio.wait_for(self._sources.markets(token_ids), CALL_TIMEOUT_S)
        await self._slow.run(catalogue.upsert_markets, markets=facts, now=self._clock.now())

    # -- quotes --------------------------------------------------------------------------------------------------

    async def _quote(self) -> None:
        wanted = await self._tokens_in_need()
        self._sources.need_books(wanted)
        for _ in range(int(WATCH_EVERY_S / QUOTES_EVERY_S)):
            await self._store_quotes(wanted)
            await asyncio.sleep(QUOTES_EVERY_S)

    async def _store_quotes(self, token_ids: Sequence[str]) -> None:
        now = self._clock.now()
        tops = [top for token_id in token_ids if (top := self._sources.top_of_book(token_id)) is not None]
        news = [top for top in tops if self._is_news(top, now=now)]
        if news:
            await self._slow.run(quotes.store, tops=news, now=now)
            self._stored.update({top.token_id: (top, now) for top in news})

    def _is_news(self, top: TopOfBook, *, now: datetime) -> bool:
        was = self._stored.get(top.token_id)
        return was is None or now - was[1] >= QUOTE_REFRESH or was[0].prices != top.prices

    async def _tokens_in_need(self) -> list[str]:
        return await self._slow.run(
            lambda: sorted({*selectors.followed_tokens(), *self._sources.tokens_in_play()}),
        )


def sources_of(
    *,
    public: PublicClient,
    activity: ActivityStream,
    books: BookCache,
    tokens_in_play: Callable[[], Sequence[str]],
    clock: Clock,
    chain: ChainReader | None = None,
) -> FeedSources:
    """The venue as the feed sees it. `tokens_in_play` comes from the app that knows orders and positions."""

    async def positions(wallet: str) -> Mapping[str, tuple[Decimal, datetime]]:
        unsaid = clock.now() - POSITIONS_LAG
        held = await public.wallet_positions(wallet=wallet)
        return {one.token_id: (one.shares, one.as_of or unsaid) for one in held}

    async def described(token_ids: Sequence[str]) -> Sequence[MarketFacts]:
        """Open markets first; what is not among them may have closed."""
        found = await public.markets(token_ids=token_ids)
        known = {outcome.token_id for facts in found for outcome in facts.outcomes}
        missing = [token_id for token_id in token_ids if token_id not in known]
        return [*found, *await public.markets(token_ids=missing, closed=True)] if missing else found

    def top_of_book(token_id: str) -> TopOfBook | None:
        view = books.view(token_id)
        if isinstance(view, Untrusted):
            return None
        confirmed = clock.now() - timedelta(milliseconds=view.age_ms)
        return TopOfBook(token_id, _price(view.book.best_bid), _price(view.book.best_ask), None, confirmed)

    return FeedSources(
        activity=activity.events,
        trades=lambda wallet, after: public.wallet_trades(wallet=wallet, after=after),
        positions=positions,
        markets=described,
        need_books=books.need,
        top_of_book=top_of_book,
        tokens_in_play=tokens_in_play,
        chain=chain.events if chain is not None else None,
        watch_chain=chain.watch if chain is not None else lambda wallets: None,
    )


def _price(units: int | None) -> Decimal | None:
    return None if units is None else money.price_from_units(units)


def _chunks(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
