"""A book is believed only while there is a reason to."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from markets import books
from markets.books import BookCache, TrustedBook, Untrusted
from markets.tests.venue_fixtures import connected, fault
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import registry
from markets.venue.errors import Unavailable
from markets.venue.ports import (
    BookLevel,
    BookSnapshot,
    FeedStatus,
    LevelChange,
    MarketEvent,
    Side,
    TickChange,
)
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib.clock import ReplayClock, to_ms
from polyhub.tests.eventually import eventually_async

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
_slugs = count()


class HandFedStream:
    """A stream that says what it is told to."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[MarketEvent] = asyncio.Queue()
        self.subscribed: set[str] = set()

    async def subscribe(self, token_ids: Iterable[str]) -> None:
        self.subscribed.update(token_ids)

    async def unsubscribe(self, token_ids: Iterable[str]) -> None:
        self.subscribed.difference_update(token_ids)

    async def events(self) -> AsyncGenerator[MarketEvent, None]:
        while True:
            yield await self.queue.get()


class Shelf:
    """Books as REST would give them."""

    def __init__(self) -> None:
        self.books: dict[str, BookSnapshot | None] = {}
        self.fetched: list[str] = []
        self.is_down = False

    async def fetch(self, token_id: str) -> BookSnapshot | None:
        self.fetched.append(token_id)
        if self.is_down:
            raise Unavailable("down")
        return self.books.get(token_id)


def snapshot(token_id: str = "1", *, bid: int = 4800, ask: int = 5200, at: datetime = START) -> BookSnapshot:
    level = 100_000_000
    return BookSnapshot(token_id, (BookLevel(bid, level),), (BookLevel(ask, level),), to_ms(at), to_ms(at))


def change(price: int, shares: int, *, at: datetime, side: Side = Side.BUY) -> LevelChange:
    return LevelChange("1", side, price, shares, to_ms(at))


class Kept:
    """A cache with its parts, driven by hand."""

    def __init__(self) -> None:
        self.clock, self.stream, self.shelf = ReplayClock(START), HandFedStream(), Shelf()
        self.cache = BookCache(stream=self.stream, fetch=self.shelf.fetch, clock=self.clock)

    def streamed(self) -> "Kept":
        self.cache.need(["1"])
        self.cache.apply(FeedStatus(connected=True))
        self.cache.apply(snapshot())
        return self

    def later(self, seconds: float) -> datetime:
        self.clock.advance(timedelta(seconds=seconds))
        return self.clock.now()

    def reason(self) -> str:
        view = self.cache.view("1")
        return view.reason if isinstance(view, Untrusted) else ""

    def best(self) -> tuple[int | None, int | None]:
        view = self.cache.view("1")
        assert isinstance(view, TrustedBook)
        return view.book.best_bid, view.book.best_ask


async def test_a_token_nobody_asked_for_has_no_book() -> None:
    assert Kept().reason() == "NO_BOOK"


async def test_a_streamed_book_is_trusted_and_follows_its_changes() -> None:
    kept = Kept().streamed()
    assert kept.best() == (4800, 5200)
    at = kept.later(1)
    kept.cache.apply(change(4900, 5_000_000, at=at))
    assert kept.best() == (4900, 5200)
    kept.cache.apply(change(4900, 0, at=at))
    assert kept.best() == (4800, 5200)
    kept.cache.apply(TickChange("1", 10, to_ms(at)))
    view = kept.cache.view("1")
    assert isinstance(view, TrustedBook)
    assert view.tick_units == 10


async def test_a_change_older_than_the_whole_book_is_already_in_it() -> None:
    kept = Kept().streamed()
    kept.cache.apply(change(4900, 5_000_000, at=START - timedelta(seconds=1)))
    assert kept.best() == (4800, 5200)


async def test_a_view_never_changes_under_its_reader() -> None:
    kept = Kept().streamed()
    view = kept.cache.view("1")
    kept.cache.apply(change(4900, 5_000_000, at=kept.later(1)))
    assert isinstance(view, TrustedBook)
    assert view.book.best_bid == 4800


async def test_a_lost_stream_ends_the_trust_until_the_book_came_anew() -> None:
    kept = Kept().streamed()
    kept.later(5)
    kept.cache.apply(FeedStatus(connected=False))
    assert kept.reason() == "FEED_DOWN"
    kept.cache.apply(FeedStatus(connected=True))
    assert kept.reason() == "FEED_DOWN"
    kept.cache.apply(snapshot(at=kept.clock.now()))
    assert kept.reason() == ""


async def test_a_crossed_book_is_not_trusted() -> None:
    kept = Kept().streamed()
    kept.cache.apply(change(5300, 1_000_000, at=kept.later(1)))
    assert kept.reason() == "CROSSED"


async def test_a_fetched_book_is_believed_for_a_moment_without_a_stream() -> None:
    kept = Kept()
    kept.cache.need(["1"])
    kept.shelf.books["1"] = snapshot()
    await kept.cache.refresh("1")
    assert kept.best() == (4800, 5200)
    kept.later(books.REST_TRUST_MS / 1000 + 0.1)
    assert kept.reason() == "FEED_DOWN"


async def test_an_answer_older_than_what_the_stream_told_changes_nothing() -> None:
    kept = Kept().streamed()
    kept.cache.apply(change(4900, 5_000_000, at=kept.later(1)))
    kept.shelf.books["1"] = snapshot(bid=4000)
    await kept.cache.refresh("1")
    assert kept.best() == (4900, 5200)
    assert kept.cache.mismatches == 0


async def test_a_book_that_drifted_from_the_venues_is_replaced_and_counted() -> None:
    kept = Kept().streamed()
    kept.shelf.books["1"] = snapshot(bid=4500, at=kept.later(1))
    await kept.cache.refresh("1")
    assert kept.best() == (4500, 5200)
    assert kept.cache.mismatches == 1


async def test_a_quiet_book_nobody_could_confirm_is_not_trusted_for_ever() -> None:
    kept = Kept().streamed()
    kept.shelf.is_down = True
    kept.later(books.UNCONFIRMED_MS / 1000 + 1)
    await kept.cache.refresh("1")
    assert kept.reason() == "UNCONFIRMED"
    kept.shelf.is_down = False
    kept.shelf.books["1"] = snapshot(at=kept.clock.now())
    await kept.cache.refresh("1")
    assert kept.reason() == ""


async def test_a_token_without_an_order_book_says_so() -> None:
    kept = Kept()
    kept.cache.need(["1"])
    await kept.cache.refresh("1")
    assert kept.reason() == "NO_ORDERBOOK"


async def test_watchers_hear_of_their_token_until_they_stop() -> None:
    kept = Kept().streamed()
    heard: list[int] = []
    unwatch = kept.cache.watch("1", lambda: heard.append(1))
    kept.cache.apply(change(4900, 1, at=kept.later(1)))
    unwatch()
    kept.cache.apply(change(4900, 2, at=kept.later(1)))
    assert heard == [1]


@asynccontextmanager
async def running(cache: BookCache) -> AsyncIterator[None]:
    task = asyncio.ensure_future(cache.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_asking_for_a_token_subscribes_and_fetches_it_at_once() -> None:
    kept = Kept()
    kept.shelf.books["1"] = snapshot()
    async with running(kept.cache):
        view = await kept.cache.ready("1", timeout_s=5)
        assert isinstance(view, TrustedBook)

        async def subscribed() -> bool:
            return kept.stream.subscribed == {"1"}

        assert await eventually_async(subscribed)


async def test_waiting_for_a_book_ends_with_the_reason_there_is_none() -> None:
    kept = Kept()
    kept.shelf.is_down = True
    async with running(kept.cache):
        assert await kept.cache.ready("1", timeout_s=0.05) == Untrusted("NO_BOOK", 0)


async def test_tokens_nobody_needs_any_more_are_dropped() -> None:
    kept = Kept()
    kept.shelf.books["1"] = snapshot()
    async with running(kept.cache):
        await kept.cache.ready("1", timeout_s=5)

        async def subscribed() -> bool:
            return kept.stream.subscribed == {"1"}

        assert await eventually_async(subscribed)
        kept.later(books.KEEP_MS / 1000 + 1)

        async def dropped() -> bool:
            return not kept.stream.subscribed

        assert await eventually_async(dropped)
    assert kept.reason() == "NO_BOOK"


LEVELS = st.tuples(st.sampled_from(Side), st.integers(1, 9999), st.integers(0, 10**9))


@given(st.lists(LEVELS, max_size=60), st.integers(0, 60), st.randoms())
@settings(max_examples=150, deadline=None)
def test_a_stream_with_gaps_ends_equal_to_the_venue_once_a_whole_book_comes(
    changes: list[tuple[Side, int, int]], lost_from: int, chance: random.Random
) -> None:
    asyncio.run(_gaps(changes, lost_from, chance))


async def _gaps(changes: list[tuple[Side, int, int]], lost_from: int, chance: random.Random) -> None:
    kept, truth = Kept().streamed(), Kept().streamed()
    at = START
    for number, (side, price, shares) in enumerate(changes):
        at = START + timedelta(milliseconds=number + 1)
        event = change(price, shares, at=at, side=side)
        truth.cache.apply(event)
        if number < lost_from or chance.random() < 0.5:
            kept.cache.apply(event)
            if chance.random() < 0.2:
                kept.cache.apply(event)
    whole = truth.cache._entries["1"].book
    kept.cache.apply(
        BookSnapshot(
            "1",
            tuple(BookLevel(*level) for level in whole.levels("BUY")),
            tuple(BookLevel(*level) for level in whole.levels("SELL")),
            to_ms(at),
            to_ms(at),
        )
    )
    mine = kept.cache._entries["1"].book
    assert (mine.levels("BUY"), mine.levels("SELL")) == (whole.levels("BUY"), whole.levels("SELL"))


# -- on a local venue --------------------------------------------------------------------------------------------


async def test_a_book_follows_the_venue_through_a_silent_socket(sandbox: RunningSandbox) -> None:
    market = sandbox.create_market(f"books-{next(_slugs)}", bids=[("0.48", "100")], asks=[("0.52", "50")])
    async with connected(sandbox) as (transport, public):
        cache = registry.open_books(transport=transport, public=public, chance=random.Random(1))
        async with running(cache):
            assert isinstance(await cache.ready(market.yes, timeout_s=5), TrustedBook)

            async def is_live() -> bool:
                return cache.connected and cache._entries[market.yes].is_streamed

            assert await eventually_async(is_live)
            with fault(sandbox, "silent_socket", channel="market"):
                sandbox.leader_trade(wallet="0x" + "2f" * 20, token_id=market.yes, side="BUY", price="0.52", size="20")
            # Nothing was streamed; the comparison over REST finds it.
            await cache.refresh(market.yes)
            view = cache.view(market.yes)
            assert isinstance(view, TrustedBook)
            there = await public.book(market.yes)
            assert there is not None
            assert view.book.levels("SELL") == [(level.price_units, level.share_units) for level in there.asks]
            assert view.book.size_at("SELL", 5200) != 50_000_000


async def test_an_unknown_token_has_no_order_book(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (transport, public):
        cache = registry.open_books(transport=transport, public=public, chance=random.Random(1))
        async with running(cache):
            assert await public.book("12345") is None

            async def is_absent() -> bool:
                view = await cache.ready("12345", timeout_s=0.05)
                return isinstance(view, Untrusted) and view.reason == "NO_ORDERBOOK"

            assert await eventually_async(is_absent)


async def test_a_stream_that_missed_a_frame_is_believed_again_after_a_fetch() -> None:
    kept = Kept().streamed()
    at = kept.later(5)
    kept.cache.apply(FeedStatus(connected=True, reason="unreadable frame"))
    assert kept.reason() == "FEED_DOWN"
    kept.shelf.books["1"] = snapshot(bid=4700, at=at)
    await kept.cache.refresh("1")
    kept.later(10)
    assert kept.best() == (4700, 5200)


async def test_a_fetched_book_is_not_taken_for_a_streamed_one_before_the_stream_has_sent_it() -> None:
    kept = Kept()
    kept.cache.need(["1"])
    kept.cache.apply(FeedStatus(connected=True))
    kept.shelf.books["1"] = snapshot()
    await kept.cache.refresh("1")
    kept.later(10)
    assert kept.reason() == "FEED_DOWN"
