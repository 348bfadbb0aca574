"""One book as it is kept: its levels, and everything that says whether it may be believed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from markets.domain.book import BUY, SELL, Book
from markets.venue.ports import BookLevel, BookSnapshot

# A book fetched over REST is believed this long without the stream.
REST_TRUST_MS = 2_000
UNCONFIRMED_MS = 90_000
# A confirmation later than now means that our clock went back: it says nothing any more.
CLOCK_SLACK_MS = 1_000


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
class Top:
    """Best prices of a book and what stands there; a side may be empty."""

    bid_units: int | None
    ask_units: int | None
    bid_share_units: int
    ask_share_units: int


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Why there is no book to act on: NO_BOOK, NO_ORDERBOOK, FEED_DOWN, CROSSED, DISAGREES, UNCONFIRMED."""

    reason: str
    age_ms: int


@dataclass(slots=True)
class KeptBook:
    """One token's book with what is known of it. Times are milliseconds of our clock, but for `venue_ms` and `told`."""

    book: Book = field(default_factory=Book)
    has_book: bool = False
    is_streamed: bool = False
    was_dumped: bool = False
    is_absent: bool = False
    # The stream that carries this token is connected, as far as we were told.
    is_connected: bool = False
    # The venue named other best prices than this book has, and no whole book came since.
    disagrees: bool = False
    hash: str = ""
    # When each level was told last, by its price, an ask's below zero: the newest word on a level stands, in whatever
    # order it comes.
    told: dict[int, int] = field(default_factory=dict)
    resubscribed_ms: int = 0
    venue_ms: int = 0
    snapshot_ms: int = 0
    confirmed_ms: int = 0
    needed_ms: int = 0
    fetched_ms: int = 0
    tick_units: int = 100
    min_share_units: int = 5_000_000
    copy: Book | None = None

    def doubt(self, now: int) -> str:
        """Why this book may not be believed now; empty for a trusted one."""
        if self.is_absent:
            return "NO_ORDERBOOK"
        if self.book.crossed:
            return "CROSSED"
        if self.disagrees:
            return "DISAGREES"
        age = now - self.confirmed_ms
        if self.is_streamed:
            return "UNCONFIRMED" if age > UNCONFIRMED_MS or age < -CLOCK_SLACK_MS else ""
        return "" if -CLOCK_SLACK_MS <= age <= REST_TRUST_MS else "FEED_DOWN"


def _levels(levels: Iterable[BookLevel]) -> list[tuple[int, int]]:
    return [(level.price_units, level.share_units) for level in levels]


def merged(entry: KeptBook, snapshot: BookSnapshot) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The snapshot's levels, best first, with those of which newer is known; forgets the older words."""
    bids, asks = _levels(snapshot.bids), _levels(snapshot.asks)
    entry.told = {level: at for level, at in entry.told.items() if at > snapshot.venue_ms}
    if not entry.told:
        return bids, asks
    sides = {BUY: dict(bids), SELL: dict(asks)}
    for level in entry.told:
        side, price = (BUY, level) if level > 0 else (SELL, -level)
        sides[side][price] = entry.book.size_at(side, price)
    known = {side: [level for level in sides[side].items() if level[1]] for side in sides}
    return sorted(known[BUY], reverse=True), sorted(known[SELL])
