"""The newest public book of every token somebody needs, and whether it may be believed.

One cache per process, fed by one stream, whatever the number of accounts. A book is trusted while the stream is
connected and has sent it whole since, or for a moment after it was fetched over REST; quiet books are compared with
REST now and then, because a single token can go silent on a healthy socket.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from markets.domain.book import Book
from markets.venue.errors import VenueError
from markets.venue.ports import BookLevel, BookSnapshot, FeedStatus, LevelChange, MarketEvent, TickChange
from polyhub.lib import clock
from polyhub.lib.clock import Clock

logger = logging.getLogger(__name__)

# A book fetched over REST is believed this long without the stream.
REST_TRUST_MS = 2_000
# A token without news is compared with REST this often, and disbelieved when that failed for so long.
COMPARE_MS = 30_000
UNCONFIRMED_MS = 90_000
# A token nobody asked for any more is dropped.
KEEP_MS = 600_000
RETRY_MS = 1_000
ABSENT_RETRY_MS = 10_000
# Doubtful books are fetched eagerly only for tokens asked for this recently.
WANTED_MS = 60_000
FETCHES = 8
_TURN_S = 0.25


class BookStream(Protocol):
    """What the cache wants of a market stream."""

    async def subscribe(self, token_ids: Iterable[str]) -> None: ...

    async def unsubscribe(self, token_ids: Iterable[str]) -> None: ...

    def events(self) -> AsyncGenerator[MarketEvent, None]: ...


@dataclass(frozen=True, slots=True)
class TrustedBook:
    """`book` is a copy of its own that never changes: it may be read on another thread.

    `age_ms` is the time since it was last confirmed.
    """

    book: Book
    age_ms: int
    tick_units: int
    min_share_units: int


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Why there is no book to act on: NO_BOOK, NO_ORDERBOOK, FEED_DOWN, CROSSED, UNCONFIRMED."""

    reason: str
    age_ms: int


@dataclass(slots=True)
class _Entry:
    book: Book = field(default_factory=Book)
    has_book: bool = False
    is_streamed: bool = False
    was_dumped: bool = False
    is_absent: bool = False
    venue_ms: int = 0
    snapshot_ms: int = 0
    confirmed_ms: int = 0
    needed_ms: int = 0
    fetched_ms: int = 0
    tick_units: int = 100
    min_share_units: int = 5_000_000
    copy: Book | None = None


class BookCache:
    """`need` and `view` never wait. `run` feeds the cache until it is cancelled."""

    def __init__(
        self, *, stream: BookStream, fetch: Callable[[str], Awaitable[BookSnapshot | None]], clock: Clock
    ) -> None:
        self._stream = stream
        self._fetch = fetch
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self._connected = False
        self._fresh: list[str] = []
        self._wake = asyncio.Event()
        self._gate = asyncio.Semaphore(FETCHES)
        self.mismatches = 0

    @property
    def connected(self) -> bool:
        return self._connected

    def need(self, token_ids: Sequence[str]) -> None:
        """Keep books of these tokens from now on (until nobody asks for them for ten minutes)."""
        now = self._now()
        for token_id in token_ids:
            entry = self._entries.get(token_id)
            if entry is None:
                entry = self._entries[token_id] = _Entry()
                self._fresh.append(token_id)
                self._wake.set()
            entry.needed_ms = now

    def view(self, token_id: str) -> TrustedBook | Untrusted:
        """The newest book, or why there is none to act on."""
        entry = self._entries.get(token_id)
        if entry is None or not (entry.has_book or entry.is_absent):
            return Untrusted("NO_BOOK", 0)
        now = self._now()
        age = max(now - entry.confirmed_ms, 0)
        reason = self._doubt(entry, now)
        if reason:
            return Untrusted(reason, age)
        if entry.copy is None:
            entry.copy = Book()
            entry.copy.replace(bids=entry.book.levels("BUY"), asks=entry.book.levels("SELL"))
        return TrustedBook(entry.copy, age, entry.tick_units, entry.min_share_units)

    def watch(self, token_id: str, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` after each change of a token's book; gives what ends it."""
        self._watchers[token_id].append(changed)

        def unwatch() -> None:
            watchers = self._watchers.get(token_id, [])
            if changed in watchers:
                watchers.remove(changed)
            if not watchers:
                self._watchers.pop(token_id, None)

        return unwatch

    async def ready(self, token_id: str, *, timeout_s: float) -> TrustedBook | Untrusted:
        """`need`, then the first trusted view; after the timeout whatever there is."""
        self.need([token_id])
        news = asyncio.Event()
        unwatch = self.watch(token_id, news.set)
        try:
            async with asyncio.timeout(timeout_s):
                while isinstance(view := self.view(token_id), Untrusted):
                    news.clear()
                    await news.wait()
                return view
        except TimeoutError:
            return self.view(token_id)
        finally:
            unwatch()

    async def run(self) -> None:
        """Feed the cache from the stream and from REST."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._look_after(group))

    async def refresh(self, token_id: str) -> None:
        """Fetch one book over REST now; a failure leaves what there is."""
        entry = self._entries.get(token_id)
        if entry is None:
            return
        entry.fetched_ms = self._now()
        async with self._gate:
            try:
                snapshot = await self._fetch(token_id)
            except VenueError as error:
                logger.info("A book could not be had over REST: %s", error.code, extra={"token": token_id})
                return
        entry.is_absent = snapshot is None
        if snapshot is not None:
            self._take(entry, snapshot, streamed=False)
        else:
            entry.confirmed_ms = self._now()
        self._tell(token_id)

    def apply(self, event: MarketEvent) -> None:
        """One event of the stream."""
        match event:
            case LevelChange():
                self._change(event)
            case BookSnapshot(token_id=token_id):
                entry = self._entries.get(token_id)
                if entry is not None:
                    self._take(entry, event, streamed=True)
                    self._tell(token_id)
            case TickChange(token_id=token_id, tick_units=tick):
                entry = self._entries.get(token_id)
                if entry is not None:
                    entry.tick_units = tick
                    self._tell(token_id)
            case FeedStatus(connected=connected):
                is_new = not (connected and self._connected)
                self._connected = connected
                # Something was missed: every book is told anew (a new connection does) or fetched, or not believed.
                for entry in self._entries.values():
                    entry.is_streamed = False
                    entry.was_dumped = entry.was_dumped and not is_new

    def _change(self, change: LevelChange) -> None:
        entry = self._entries.get(change.token_id)
        # Older than the whole book we have: already in it.
        if entry is None or not entry.has_book or change.venue_ms < entry.snapshot_ms:
            return
        entry.book.apply_level(change.side.value, change.price_units, change.share_units)
        entry.venue_ms = max(entry.venue_ms, change.venue_ms)
        if entry.is_streamed:
            entry.confirmed_ms = self._now()
        entry.copy = None
        self._tell(change.token_id)

    def _take(self, entry: _Entry, snapshot: BookSnapshot, *, streamed: bool) -> None:
        """Replace a book by a whole one, unless what the stream told since is newer."""
        if not streamed and entry.is_streamed and snapshot.venue_ms < entry.venue_ms:
            return
        bids, asks = _levels(snapshot.bids), _levels(snapshot.asks)
        if not streamed and entry.is_streamed and (bids, asks) != (entry.book.levels("BUY"), entry.book.levels("SELL")):
            self.mismatches += 1
        entry.book.replace(bids=bids, asks=asks)
        entry.has_book, entry.is_absent, entry.copy = True, False, None
        # The stream's changes continue a fetched book as well as its own, if nothing newer than it was heard.
        continues = streamed or (entry.was_dumped and snapshot.venue_ms >= entry.venue_ms)
        entry.was_dumped = entry.was_dumped or streamed
        entry.is_streamed = entry.is_streamed or (continues and self._connected)
        entry.venue_ms = max(entry.venue_ms, snapshot.venue_ms)
        entry.snapshot_ms = snapshot.venue_ms
        entry.confirmed_ms = self._now()
        entry.tick_units, entry.min_share_units = snapshot.tick_units, snapshot.min_share_units

    def _doubt(self, entry: _Entry, now: int) -> str:
        if entry.is_absent:
            return "NO_ORDERBOOK"
        if entry.book.crossed:
            return "CROSSED"
        age = now - entry.confirmed_ms
        if entry.is_streamed:
            return "UNCONFIRMED" if age > UNCONFIRMED_MS else ""
        return "" if age <= REST_TRUST_MS else "FEED_DOWN"

    async def _follow(self) -> None:
        async with aclosing(self._stream.events()) as events:
            async for event in events:
                self.apply(event)

    async def _look_after(self, group: asyncio.TaskGroup) -> None:
        """Subscribe what is new, fetch what is doubtful, compare what is quiet, drop what nobody needs."""
        while True:
            fresh, self._fresh = self._fresh, []
            self._wake.clear()
            for token_id in [*fresh, *self._due(set(fresh))]:
                self._entries[token_id].fetched_ms = self._now()
                group.create_task(self.refresh(token_id))
            if fresh:
                await self._stream.subscribe(fresh)
            await self._drop()
            try:
                async with asyncio.timeout(_TURN_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _due(self, fresh: set[str]) -> list[str]:
        now = self._now()
        return [token for token, entry in self._entries.items() if token not in fresh and self._is_due(token, now)]

    def _is_due(self, token_id: str, now: int) -> bool:
        entry = self._entries[token_id]
        since_fetch = now - entry.fetched_ms
        if entry.is_absent:
            return since_fetch >= ABSENT_RETRY_MS
        if self._doubt(entry, now):
            wanted_now = now - entry.needed_ms <= WANTED_MS or token_id in self._watchers
            return since_fetch >= (RETRY_MS if wanted_now else COMPARE_MS)
        return now - entry.confirmed_ms >= COMPARE_MS and since_fetch >= COMPARE_MS

    async def _drop(self) -> None:
        now = self._now()
        gone = [
            token_id
            for token_id, entry in self._entries.items()
            if now - entry.needed_ms > KEEP_MS and token_id not in self._watchers
        ]
        for token_id in gone:
            del self._entries[token_id]
        if gone:
            await self._stream.unsubscribe(gone)

    def _tell(self, token_id: str) -> None:
        for changed in list(self._watchers.get(token_id, ())):
            changed()

    def _now(self) -> int:
        return clock.to_ms(self._clock.now())


def _levels(levels: Iterable[BookLevel]) -> list[tuple[int, int]]:
    return [(level.price_units, level.share_units) for level in levels]
