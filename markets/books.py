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
from typing import Protocol

from markets.domain.book import BUY, SELL, Book
from markets.domain.continuity import Notebook, Subject, Trouble
from markets.kept_book import REST_TRUST_MS, UNCONFIRMED_MS, KeptBook, Top, TrustedBook, Untrusted, merged
from markets.venue.errors import VenueError
from markets.venue.ports import (
    BestTold,
    BookSnapshot,
    FeedStatus,
    LastTrade,
    LevelChange,
    MarketEvent,
    Side,
    TickChange,
)
from polyhub.lib import clock
from polyhub.lib.clock import Clock

__all__ = ["REST_TRUST_MS", "UNCONFIRMED_MS", "BookCache", "BookStream", "Top", "TrustedBook", "Untrusted"]

logger = logging.getLogger(__name__)

# A token without news is compared with REST this often, and disbelieved when that failed for long.
COMPARE_MS = 30_000
# A token nobody asked for any more is dropped.
KEEP_MS = 600_000
RETRY_MS = 1_000
ABSENT_RETRY_MS = 10_000
# Doubtful books are fetched eagerly only for tokens asked for this recently.
WANTED_MS = 60_000
# A token whose changes do not add up is asked for anew on the stream at most this often.
RESUBSCRIBE_MS = 5_000
# The recipe of the venue's checksum is believed once it has agreed this often.
AGREED_OFTEN = 20
FETCHES = 8
SAMPLE_MS = 1_000
_TURN_S = 0.25


class BookStream(Protocol):
    """What the cache wants of a market stream."""

    async def subscribe(self, token_ids: Iterable[str]) -> None: ...

    async def unsubscribe(self, token_ids: Iterable[str]) -> None: ...

    def events(self) -> AsyncGenerator[MarketEvent, None]: ...


class BookCache:
    """`need` and `view` never wait. `run` feeds the cache until it is cancelled."""

    def __init__(
        self,
        *,
        stream: BookStream,
        fetch: Callable[[str], Awaitable[BookSnapshot | None]],
        clock: Clock,
        notebook: Notebook | None = None,
    ) -> None:
        self._stream = stream
        self._fetch = fetch
        self._clock = clock
        self._entries: dict[str, KeptBook] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self._is_up: bool | None = None
        self._notes = notebook or Notebook()
        self._on_trade: list[Callable[[LastTrade], None]] = []
        self._hashes_agreed = 0
        self._sampled_ms = 0
        self._fresh: list[str] = []
        self._wake = asyncio.Event()
        self._gate = asyncio.Semaphore(FETCHES)
        self.mismatches = 0

    @property
    def connected(self) -> bool:
        """Every token's stream is."""
        return bool(self._is_up) and all(entry.is_connected for entry in self._entries.values() if entry.was_dumped)

    @property
    def notebook(self) -> Notebook:
        return self._notes

    @property
    def token_ids(self) -> list[str]:
        """Tokens whose books are kept."""
        return list(self._entries)

    def on_trade(self, told: Callable[[LastTrade], None]) -> None:
        """Hear of every trade the stream prints in the kept tokens."""
        self._on_trade.append(told)

    def need(self, token_ids: Sequence[str]) -> None:
        """Keep books of these tokens from now on (until nobody asks for them for ten minutes)."""
        now = self._now()
        for token_id in token_ids:
            entry = self._entries.get(token_id)
            if entry is None:
                entry = self._entries[token_id] = KeptBook()
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
        reason = entry.doubt(now)
        if reason:
            return Untrusted(reason, age)
        if entry.copy is None:
            entry.copy = Book()
            entry.copy.replace(bids=entry.book.levels("BUY"), asks=entry.book.levels("SELL"))
        return TrustedBook(entry.copy, age, entry.tick_units, entry.min_share_units)

    def top(self, token_id: str) -> Top | None:
        """The best prices of a trusted book, None otherwise; no copy is made."""
        entry = self._entries.get(token_id)
        if entry is None or not entry.has_book or entry.doubt(self._now()):
            return None
        bid, ask = entry.book.best_bid, entry.book.best_ask
        bid_size = 0 if bid is None else entry.book.size_at(Side.BUY.value, bid)
        ask_size = 0 if ask is None else entry.book.size_at(Side.SELL.value, ask)
        return Top(bid, ask, bid_size, ask_size)

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
        """One event of the stream. Hot path: 1 us for a change of one level."""
        if type(event) is LevelChange:
            self._change(event)
            return
        if type(event) is BestTold:
            self._compare(event)
            return
        match event:
            case LastTrade():
                for told in self._on_trade:
                    told(event)
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
            case FeedStatus():
                self._status(event)

    def _status(self, status: FeedStatus) -> None:
        """Something was missed: each book is told anew (a new connection does) or fetched, or not believed."""
        now = self._now()
        if not status.connected and self._is_up:
            self._notes.note(Trouble.RECONNECT, Subject.STREAM, "market", at_ms=now, detail=status.reason)
        elif status.connected and status.reason:
            self._notes.note(Trouble.UNREADABLE, Subject.STREAM, "market", at_ms=now, detail=status.reason)
        self._is_up = status.connected
        for token_id in self._entries if status.tokens is None else status.tokens:
            entry = self._entries.get(token_id)
            if entry is None:
                continue
            if entry.is_streamed:
                self._notes.note(Trouble.GAP, Subject.ASSET, token_id, at_ms=now, detail=status.reason)
            is_new = not (status.connected and entry.is_connected)
            entry.is_connected = status.connected
            entry.is_streamed = False
            entry.was_dumped = entry.was_dumped and not is_new

    def _compare(self, told: BestTold) -> None:
        """The venue names the best prices beside each change: another answer of ours means that one was missed."""
        entry = self._entries.get(told.token_id)
        if entry is None or not entry.has_book or told.venue_ms < entry.venue_ms:
            return
        entry.hash = told.hash
        if entry.book.is_best(told.bid_units, told.ask_units) or entry.disagrees or not entry.is_streamed:
            return
        ours = (entry.book.best_bid, entry.book.best_ask)
        entry.disagrees = True
        detail = f"best {ours[0]}/{ours[1]}, the venue says {told.bid_units}/{told.ask_units}"
        self._notes.note(Trouble.DISAGREEMENT, Subject.ASSET, told.token_id, at_ms=self._now(), detail=detail)
        self._tell(told.token_id)

    def _is_credible(self, snapshot: BookSnapshot) -> bool:
        """False for a book that does not give its own checksum, once checksums have proven to agree at all."""
        if snapshot.is_hash_right is not False:
            self._hashes_agreed += snapshot.is_hash_right is True
            return True
        self._notes.note(Trouble.CHECKSUM, Subject.ASSET, snapshot.token_id, at_ms=self._now())
        return self._hashes_agreed < AGREED_OFTEN

    def _change(self, change: LevelChange) -> None:
        entry = self._entries.get(change.token_id)
        at, price = change.venue_ms, change.price_units
        # Older than the whole book we have: already in it.
        if entry is None or not entry.has_book or at < entry.snapshot_ms:
            return
        side, level = (BUY, price) if change.side is Side.BUY else (SELL, -price)
        told = entry.told
        if told.get(level, 0) > at:
            return
        told[level] = at
        entry.book.apply_level(side, price, change.share_units)
        if at > entry.venue_ms:  # noqa: PLR1730 - twice as fast as max
            entry.venue_ms = at
        if entry.is_streamed:
            entry.confirmed_ms = change.received_ms or self._now()
        entry.copy = None
        if change.token_id in self._watchers:
            self._tell(change.token_id)

    def _take(self, entry: KeptBook, snapshot: BookSnapshot, *, streamed: bool) -> None:
        """Take a whole book, but for levels of which newer was told since; one older than the last is left out."""
        # The same checksum as the stream told last is the same state, whatever the two clocks say.
        is_same_state = bool(snapshot.hash) and snapshot.hash == entry.hash
        newest = entry.snapshot_ms if streamed or entry.disagrees else entry.venue_ms
        if entry.is_streamed and snapshot.venue_ms < newest and not is_same_state:
            return
        if not self._is_credible(snapshot):
            if streamed:
                entry.is_streamed = entry.was_dumped = False
            return
        if streamed and not entry.is_streamed:
            # What a connection tells first is how things are now, also for a venue whose clock went back.
            entry.told.clear()
            entry.venue_ms = entry.snapshot_ms = 0
        bids, asks = merged(entry, snapshot)
        if not streamed and entry.is_streamed and (bids, asks) != (entry.book.levels("BUY"), entry.book.levels("SELL")):
            self.mismatches += 1
            detail = "another book over REST"
            self._notes.note(Trouble.DISAGREEMENT, Subject.ASSET, snapshot.token_id, at_ms=self._now(), detail=detail)
        entry.book.replace(bids=bids, asks=asks)
        entry.has_book, entry.is_absent, entry.copy, entry.disagrees = True, False, None, False
        entry.is_connected = entry.is_connected or streamed
        # The stream's changes continue a fetched book as well as its own, if nothing newer than it was heard.
        continues = streamed or is_same_state or (entry.was_dumped and snapshot.venue_ms >= entry.venue_ms)
        entry.was_dumped = entry.was_dumped or streamed
        entry.is_streamed = entry.is_streamed or (continues and entry.is_connected)
        entry.hash = snapshot.hash or entry.hash
        entry.venue_ms = max(entry.venue_ms, snapshot.venue_ms)
        entry.snapshot_ms = max(entry.snapshot_ms, snapshot.venue_ms)
        entry.confirmed_ms = self._now()
        entry.tick_units, entry.min_share_units = snapshot.tick_units, snapshot.min_share_units

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
            await self._resubscribe()
            await self._drop()
            self._sample()
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
        if since_fetch < 0:
            # Our clock went back: what was planned by it is due now.
            return True
        if entry.is_absent:
            return since_fetch >= ABSENT_RETRY_MS
        if entry.doubt(now):
            wanted_now = now - entry.needed_ms <= WANTED_MS or token_id in self._watchers
            return since_fetch >= (RETRY_MS if wanted_now else COMPARE_MS)
        return now - entry.confirmed_ms >= COMPARE_MS and since_fetch >= COMPARE_MS

    async def _resubscribe(self) -> None:
        """Have the stream tell anew what it told wrongly: what was missed is not repeated otherwise."""
        now = self._now()
        doubtful = [
            token_id
            for token_id, entry in self._entries.items()
            if (entry.disagrees or entry.book.crossed)
            and entry.is_connected
            and now - entry.resubscribed_ms >= RESUBSCRIBE_MS
        ]
        for token_id in doubtful:
            self._entries[token_id].resubscribed_ms = now
            self._notes.note(Trouble.RESUBSCRIBED, Subject.ASSET, token_id, at_ms=now)
        if doubtful:
            await self._stream.unsubscribe(doubtful)
            await self._stream.subscribe(doubtful)

    def _sample(self) -> None:
        """How long each needed book was trusted, once a second."""
        now = self._now()
        passed = now - self._sampled_ms
        if 0 <= passed < SAMPLE_MS:
            return
        if self._sampled_ms and 0 < passed < 10 * SAMPLE_MS:
            for token_id, entry in self._entries.items():
                if not entry.is_absent:
                    trusted = passed if entry.has_book and not entry.doubt(now) else 0
                    self._notes.watched(Subject.ASSET, token_id, needed_ms=passed, trusted_ms=trusted)
        self._sampled_ms = now

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
