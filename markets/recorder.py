"""Writes down what the kept books say: ticks and candles, and the books people look at.

Beside the feed and its book cache. An outage of the database keeps what fits in bounded queues; what does not is
counted as lost, never guessed.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import InterfaceError, OperationalError

from markets.books import BookCache, Top, TrustedBook
from markets.services import history, interest, quotes
from markets.services.history import QuoteTick, TradeTick
from markets.services.interest import ShownBook
from markets.services.quotes import TopOfBook
from markets.venue.errors import VenueError
from markets.venue.ports import LastTrade, LeaderTradeSeen, Side
from polyhub.lib import clock as clocks
from polyhub.lib import money
from polyhub.lib.clock import Clock
from polyhub.lib.listen import listen
from polyhub.lib.threads import DatabaseThread

logger = logging.getLogger(__name__)

RECORD_EVERY_S = 1.0
# What people see is at most this old; a book that changes more often is shown in its newest state.
PUBLISH_EVERY_S = 0.3
LOOK_EVERY_S = 5.0
IMPORT_EVERY_S = 1.0
RETRY_S = 1.0
CALL_TIMEOUT_S = 15.0
QUEUE_SIZE = 20_000
# A print older than this on arrival is history told as news: it is counted and dropped.
TOO_OLD = timedelta(seconds=300)
SHOWN_LEVELS = 50
PAST = timedelta(days=30)
# A print without its size is looked up among the public trades, this near in time and this often.
SIZES_EVERY_S = 2.0
SAME_MOMENT_S = 5
MOST_LOOKS = 5
# An unchanged book is written again after this, so that its age stays honest.
SHOWN_AGAIN = timedelta(seconds=5)
Trades = Callable[[str, datetime], Awaitable[Sequence[LeaderTradeSeen]]]
History = Callable[[str, datetime, datetime, int], Awaitable[Sequence[tuple[datetime, Decimal]]]]


class Recorder:
    """`run` goes on until it is cancelled.

    `past` asks the venue for a token's prices (since, until, minutes), `trades` for a market's public trades since.
    """

    def __init__(self, *, books: BookCache, past: History, trades: Trades, clock: Clock) -> None:
        self._books, self._past, self._trades, self._clock = books, past, trades, clock
        # Prints the stream told without a size, and how often each was looked for.
        self._unsized: deque[tuple[LastTrade, int]] = deque(maxlen=QUEUE_SIZE)
        self._prints: deque[LastTrade] = deque(maxlen=QUEUE_SIZE)
        self._tops: dict[str, Top] = {}
        self._keys: dict[str, int] = {}
        self._looked_at: dict[str, int] = {}
        self._shown: dict[str, tuple[ShownBook, datetime]] = {}
        self._changed: set[str] = set()
        self._unwatch: dict[str, Callable[[], None]] = {}
        self._database = DatabaseThread("recorder")
        self._counts = {"ticks": 0, "prints": 0, "stale_prints": 0, "lost_prints": 0, "unsized_prints": 0}
        books.on_trade(self._heard)

    async def run(self) -> None:
        steps = {
            "record": (self.record, RECORD_EVERY_S),
            "publish": (self.publish, PUBLISH_EVERY_S),
            "look": (self.look, LOOK_EVERY_S),
            "import": (self.import_past, IMPORT_EVERY_S),
            "sizes": (self.find_sizes, SIZES_EVERY_S),
        }
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_interest())
                for name, (step, every_s) in steps.items():
                    group.create_task(self._forever(name, step, every_s))
        finally:
            await self.close()

    async def close(self) -> None:
        for unwatch in self._unwatch.values():
            unwatch()
        await self._database.close()

    def detail(self) -> dict[str, Any]:
        return {**self._counts, "books": len(self._books.token_ids), "looked_at": len(self._looked_at)}

    # -- ticks ---------------------------------------------------------------------------------------------------

    def _heard(self, trade: LastTrade) -> None:
        """Hot path: only kept, sorted out later."""
        if len(self._prints) == QUEUE_SIZE:
            self._counts["lost_prints"] += 1
        self._prints.append(trade)

    async def record(self) -> None:
        """Copy what is new since the last time."""
        now = self._clock.now()
        told = [self._prints.popleft() for _ in range(len(self._prints))]
        fresh = [one for one in told if now - clocks.from_ms(one.venue_ms) <= TOO_OLD]
        self._counts["stale_prints"] += len(told) - len(fresh)
        self._unsized.extend((one, 0) for one in fresh if not one.share_units)
        fresh = [one for one in fresh if one.share_units]
        tops = {token: top for token in self._books.token_ids if (top := self._books.top(token)) is not None}
        news = {token: top for token, top in tops.items() if self._tops.get(token) != top}
        if not fresh and not news:
            return
        try:
            await self._database.run(self._store, fresh, news, now)
        except (OperationalError, InterfaceError):
            self._prints.extendleft(reversed(fresh))
            raise
        self._tops.update(news)
        self._tops = {token: top for token, top in self._tops.items() if token in tops}
        self._counts["ticks"] += len(news)
        self._counts["prints"] += len(fresh)

    def _store(self, fresh: Sequence[LastTrade], news: dict[str, Top], now: datetime) -> None:
        self._learn_keys({*(one.token_id for one in fresh), *news})
        ticks = [
            QuoteTick(self._keys[token], now, top.bid_units, top.ask_units, top.bid_share_units, top.ask_share_units)
            for token, top in news.items()
            if token in self._keys
        ]
        prints = [
            TradeTick(
                self._keys[one.token_id],
                clocks.from_ms(one.venue_ms),
                now,
                one.side is Side.BUY,
                one.price_units,
                one.share_units,
            )
            for one in fresh
            if one.token_id in self._keys and 0 < one.price_units < money.PRICE_UNITS
        ]
        history.record(quotes=ticks, trades=prints)
        last = {one.token_id: one for one in fresh}
        quotes.store(
            tops=[self._quote(token, last.get(token), now) for token in {*last, *(self._looked_at.keys() & news)}],
            now=now,
        )
        interest.announce_trades(tokens=[one.token for one in prints])

    async def find_sizes(self) -> None:
        """The stream may leave a print's size out: the venue's list of public trades has it a little later."""
        wanted = [self._unsized.popleft() for _ in range(len(self._unsized))]
        if not wanted:
            return
        markets = await self._database.run(interest.conditions_of, token_ids=[one.token_id for one, _ in wanted])
        since = clocks.from_ms(min(one.venue_ms for one, _ in wanted)) - timedelta(seconds=SAME_MOMENT_S)
        seen: list[LeaderTradeSeen] = []
        for condition_id in sorted(set(markets.values())):
            seen += await asyncio.wait_for(self._trades(condition_id, since), CALL_TIMEOUT_S)
        for one, looks in wanted:
            found = next((trade for trade in seen if _is_same(one, trade)), None)
            if found is not None:
                seen.remove(found)
                shares = money.floor_units(Decimal(found.shares))
                self._prints.append(LastTrade(one.token_id, one.side, one.price_units, shares, one.venue_ms))
            elif looks + 1 < MOST_LOOKS:
                self._unsized.append((one, looks + 1))
            else:
                self._counts["unsized_prints"] += 1

    def _quote(self, token_id: str, trade: LastTrade | None, now: datetime) -> TopOfBook:
        top = self._books.top(token_id)
        return TopOfBook(
            token_id,
            _price(top.bid_units) if top else None,
            _price(top.ask_units) if top else None,
            _price(trade.price_units) if trade else None,
            now,
        )

    def _learn_keys(self, token_ids: set[str]) -> None:
        unknown = [token for token in token_ids if token not in self._keys]
        if unknown:
            self._keys.update(interest.keys_of(token_ids=unknown))

    # -- what people look at -------------------------------------------------------------------------------------

    async def _follow_interest(self) -> None:
        async for _ in listen([interest.INTEREST_CHANNEL]):
            await self._guarded("look", self.look)

    async def look(self) -> None:
        """Keep the books of what people look at, and of nothing else for their sake."""
        found = await self._database.run(interest.looked_at, now=self._clock.now())
        for token_id in self._looked_at.keys() - found.keys():
            self._unwatch.pop(token_id)()
            self._shown.pop(token_id, None)
        for token_id in found.keys() - self._looked_at.keys():
            self._unwatch[token_id] = self._books.watch(token_id, lambda token_id=token_id: self._touch(token_id))  # type: ignore[misc]
            self._changed.add(token_id)
        self._looked_at = found
        self._books.need(list(found))

    def _touch(self, token_id: str) -> None:
        self._changed.add(token_id)

    async def publish(self) -> None:
        """Show the newest state of every looked-at book that changed, however often it did."""
        now = self._clock.now()
        changed, self._changed = self._changed & self._looked_at.keys(), set()
        changed |= {
            token for token in self._looked_at if token not in self._shown or now - self._shown[token][1] >= SHOWN_AGAIN
        }
        books = {token: self._show(token, now) for token in sorted(changed)}
        if not books:
            return
        try:
            await self._database.run(interest.publish, books=list(books.values()), now=now)
        except (OperationalError, InterfaceError):
            self._changed |= changed
            raise
        self._shown.update({token: (book, now) for token, book in books.items()})

    def _show(self, token_id: str, now: datetime) -> ShownBook:
        view, key = self._books.view(token_id), self._looked_at[token_id]
        if not isinstance(view, TrustedBook):
            return ShownBook(key, (), (), doubt=view.reason)
        return ShownBook(
            key,
            bids=_words(view.book.levels(Side.BUY.value)),
            asks=_words(view.book.levels(Side.SELL.value)),
            tick_size=money.price_from_units(view.tick_units),
            venue_at=now - timedelta(milliseconds=view.age_ms),
        )

    # -- the past ------------------------------------------------------------------------------------------------

    async def import_past(self) -> None:
        """The venue's own prices of one token that somebody began to look at."""
        now = self._clock.now()
        for key, token_id in await self._database.run(interest.without_history, now=now, limit=1):
            points = await asyncio.wait_for(self._past(token_id, now - PAST, now, 10), CALL_TIMEOUT_S)
            await self._database.run(history.import_prices, token=key, points=points)
            await self._database.run(interest.history_imported, token=key, now=now)

    async def _forever(self, name: str, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            await self._guarded(name, step)
            await asyncio.sleep(every_s)

    async def _guarded(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except (OperationalError, InterfaceError, TimeoutError, VenueError) as error:
            logger.warning("Recorder step %s interrupted: %s", name, " ".join(str(error).split())[:200])
            await asyncio.sleep(RETRY_S)
        except Exception:
            logger.exception("Recorder step failed", extra={"step": name})
            await asyncio.sleep(RETRY_S)


def _is_same(told: LastTrade, seen: LeaderTradeSeen) -> bool:
    """One trade, told by the stream and listed by the Data API: its average price may differ by a rounding."""
    return (
        seen.token_id == told.token_id
        and seen.side is told.side
        and abs(Decimal(seen.price) - money.price_from_units(told.price_units)) < Decimal("0.0005")
        and abs(seen.traded_s - told.venue_ms // 1000) <= SAME_MOMENT_S
    )


def _price(units: int | None) -> Decimal | None:
    return None if units is None else money.price_from_units(units)


def _words(levels: Sequence[tuple[int, int]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{money.price_from_units(price):f}", f"{money.from_units(shares):f}")
        for price, shares in levels[:SHOWN_LEVELS]
    )
