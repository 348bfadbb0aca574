"""What ends the trust in a book, and that the same news in any order ends in the same book (cards W-02, W-03, W-07)."""

import asyncio
import gzip
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markets import books
from markets.domain.continuity import Subject, Trouble
from markets.tests.test_books import START, Kept, change, running, snapshot
from markets.tests.venue_fixtures import connected
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.polymarket import parse, wire
from markets.venue.ports import BestTold, BookLevel, BookSnapshot, FeedStatus, LevelChange, MarketEvent, Side
from markets.venue.registry import open_market_stream
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib.clock import to_ms
from polyhub.tests.eventually import eventually_async


def best(bid: int | None, ask: int | None, *, after_s: float, hash_: str = "") -> BestTold:
    return BestTold("1", bid, ask, to_ms(START + timedelta(seconds=after_s)), hash_)


def troubles(kept: Kept) -> dict[Trouble, int]:
    return dict(kept.cache.notebook.totals)


async def test_w02_a_missed_change_is_noticed_at_the_next_one() -> None:
    kept = Kept().streamed()
    at = kept.later(1)
    kept.cache.apply(change(4700, 5_000_000, at=at))
    kept.cache.apply(best(4900, 5200, after_s=1))
    assert kept.reason() == "DISAGREES", "the venue has a better bid than the book we kept"
    kept.cache.apply(snapshot(bid=4900, at=kept.later(1)))
    assert kept.reason() == ""
    assert troubles(kept)[Trouble.DISAGREEMENT] == 1


async def test_w02_the_same_best_prices_are_no_doubt() -> None:
    kept = Kept().streamed()
    kept.cache.apply(change(4900, 5_000_000, at=kept.later(1)))
    kept.cache.apply(best(4900, 5200, after_s=1))
    kept.cache.apply(best(1, 9999, after_s=0.5))
    assert kept.reason() == "", "an older word says nothing of the book now"


async def test_w02_a_doubtful_token_is_asked_for_anew_on_the_stream() -> None:
    kept = Kept()
    kept.shelf.books["1"] = snapshot()
    async with running(kept.cache):
        kept.cache.need(["1"])

        async def subscribed() -> bool:
            return bool(kept.stream.subscribed)

        assert await eventually_async(subscribed)
        kept.streamed()
        kept.shelf.is_down = True
        kept.cache.apply(best(4900, 5200, after_s=1))

        async def asked_anew() -> bool:
            return troubles(kept).get(Trouble.RESUBSCRIBED) == 1

        assert await eventually_async(asked_anew)
        assert kept.stream.subscribed == {"1"}


async def test_a_rest_book_with_the_streams_own_checksum_settles_a_difference() -> None:
    kept = Kept().streamed()
    kept.cache.apply(change(4700, 5_000_000, at=kept.later(1)))
    kept.cache.apply(best(4800, 5200, after_s=1, hash_="aa"))
    answer = snapshot(bid=4800, at=START)
    kept.shelf.books["1"] = BookSnapshot("1", answer.bids, answer.asks, answer.venue_ms, answer.received_ms, hash="aa")
    await kept.cache.refresh("1")
    assert kept.cache.mismatches == 0
    kept.shelf.books["1"] = BookSnapshot(
        "1", (BookLevel(4800, 7),), answer.asks, to_ms(kept.clock.now()), answer.received_ms, hash="aa"
    )
    await kept.cache.refresh("1")
    assert kept.cache.mismatches == 1, "one checksum, two books: ours was wrong"


@pytest.mark.parametrize("agreed", [0, books.AGREED_OFTEN])
async def test_w02_a_book_that_fails_its_checksum_is_refused_once_checksums_are_known_to_hold(agreed: int) -> None:
    kept = Kept().streamed()
    for number in range(agreed):
        right = snapshot(at=kept.later(1 + number % 2))
        kept.cache.apply(BookSnapshot("1", right.bids, right.asks, right.venue_ms, 0, is_hash_right=True))
    wrong = snapshot(bid=1000, at=kept.later(1))
    kept.cache.apply(BookSnapshot("1", wrong.bids, wrong.asks, wrong.venue_ms, 0, is_hash_right=False))
    kept.later(books.REST_TRUST_MS / 1000 + 1)
    if agreed:
        assert kept.reason() == "FEED_DOWN"
    else:
        assert kept.best() == (1000, 5200), "a recipe that never agreed may itself be wrong"
    assert troubles(kept)[Trouble.CHECKSUM] == 1


def recorded_rows() -> list[dict[str, Any]]:
    """Real answers of the venue, with its own hashes."""
    path = Path(__file__).parent / "recordings" / "clob-books-fed-2026.json.gz"
    return list(json.loads(gzip.decompress(path.read_bytes())))


def test_w02_the_checksum_of_recorded_books_is_the_venues_own() -> None:
    for row in recorded_rows():
        read = msgspec.json.decode(json.dumps(row), type=wire.BookRow)
        assert parse.book(read, received_ms=0).is_hash_right is True


@pytest.mark.parametrize("part", ["bids", "asks", "timestamp", "last_trade_price"])
def test_w02_a_recorded_book_with_one_thing_changed_fails_its_checksum(part: str) -> None:
    row = recorded_rows()[0]
    row[part] = row[part][1:] if isinstance(row[part], list) else row[part] + "1"
    read = msgspec.json.decode(json.dumps(row), type=wire.BookRow)
    assert parse.book(read, received_ms=0).is_hash_right is False


async def test_w07_an_unreadable_frame_costs_only_the_tokens_it_names() -> None:
    kept = Kept().streamed()
    kept.cache.need(["2"])
    kept.cache.apply(FeedStatus(connected=True))
    for token_id in ("1", "2"):
        kept.cache.apply(snapshot(token_id, at=kept.later(1)))
    kept.cache.apply(FeedStatus(connected=True, reason="unreadable frame", tokens=("2",)))
    kept.later(books.REST_TRUST_MS / 1000 + 1)
    assert kept.reason() == ""
    assert kept.cache.view("2") == books.Untrusted("FEED_DOWN", 3000)
    told = kept.cache.notebook.take()
    assert told.counts[Subject.ASSET, "2", Trouble.GAP] == 1
    assert told.counts[Subject.STREAM, "market", Trouble.UNREADABLE] == 1


@pytest.mark.parametrize("step_s", [-10, -3_600])
async def test_c01_a_clock_that_goes_back_ends_the_trust_until_the_book_is_confirmed_anew(step_s: float) -> None:
    kept = Kept().streamed()
    kept.later(5)
    await kept.cache.refresh("1")
    kept.shelf.books["1"] = snapshot(at=kept.clock.now())
    kept.cache.apply(snapshot(at=kept.clock.now()))
    kept.clock._now += timedelta(seconds=step_s)
    assert kept.reason() == "UNCONFIRMED"
    assert kept.cache._is_due("1", kept.cache._now()), "and it is looked at at once, not when the clock has caught up"
    await kept.cache.refresh("1")
    assert kept.reason() == ""


@pytest.mark.parametrize("step_s", [30, 3_600])
async def test_c01_a_clock_that_jumps_ahead_never_makes_a_book_look_fresh(step_s: float) -> None:
    kept = Kept().streamed()
    kept.later(step_s)
    view = kept.cache.view("1")
    if step_s > books.UNCONFIRMED_MS / 1000:
        assert kept.reason() == "UNCONFIRMED"
    else:
        assert isinstance(view, books.TrustedBook)
        assert view.age_ms == step_s * 1000


async def test_trusted_and_needed_time_are_counted_for_each_token() -> None:
    kept = Kept()
    kept.shelf.is_down = True
    async with running(kept.cache):
        kept.cache.need(["1"])
        kept.streamed()

        async def counted(part: str) -> bool:
            kept.later(0.5)
            told = kept.cache.notebook.take()
            spans = told.watched.get((Subject.ASSET, "1"))
            return spans is not None and spans.needed_ms > 0 and (spans.trusted_ms > 0) is (part == "trusted")

        assert await eventually_async(lambda: counted("trusted"))
        kept.cache.apply(FeedStatus(connected=False))
        kept.later(books.REST_TRUST_MS / 1000)
        assert await eventually_async(lambda: counted("doubted"))


async def test_w07_what_no_book_can_hold_is_refused_by_the_decoder(sandbox: RunningSandbox) -> None:
    async with connected(sandbox) as (transport, _):
        stream = open_market_stream(transport=transport, chance=random.Random(1))
        for price, size in (
            ("-0.1", "1"),
            ("nan", "1"),
            ("1.5", "1"),
            ("0.5", "-1"),
            ("0.5", "inf"),
            ("0.5", "9" * 41),
        ):
            frame = (
                '{"event_type":"price_change","market":"0xc","timestamp":"1790000000000","price_changes":'
                f'[{{"asset_id":"7","price":"{price}","size":"{size}","side":"BUY"}}]}}'
            )
            assert list(stream.read(frame)) == [FeedStatus(connected=True, reason="unreadable frame", tokens=("7",))]


async def test_w08_a_huge_frame_and_deep_json_neither_block_nor_break_the_decoder(sandbox: RunningSandbox) -> None:
    levels = ",".join(f'{{"price":"0.{number:04d}","size":"{number}"}}' for number in range(1, 10_000))
    bids = ",".join([levels] * 10)
    huge = f'{{"event_type":"book","asset_id":"7","timestamp":"1790000000000","bids":[{bids}],"asks":[]}}'
    async with connected(sandbox) as (transport, _):
        stream = open_market_stream(transport=transport, chance=random.Random(1))
        (book,) = stream.read(huge)
        assert isinstance(book, BookSnapshot)
        kept = Kept()
        kept.cache.need(["7"])
        kept.cache.apply(book)
        assert len(kept.cache._entries["7"].book.levels("BUY")) == 9_999, "a price is one level, however often told"
        (doubt,) = stream.read("[" * 100_000)
        assert doubt == FeedStatus(connected=True, reason="unreadable frame")


NEWS = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 40), st.integers(0, 5), st.booleans()), min_size=1, max_size=25
)


@given(NEWS, st.randoms(use_true_random=False))
@settings(max_examples=2_000, deadline=None)
def test_w03_duplicates_and_any_order_end_in_the_same_book(
    news: list[tuple[Side, int, int, bool]], chance: random.Random
) -> None:
    """Every change twice, shuffled, with whole books among them, and the oldest hour told again at the end."""
    asyncio.run(_any_order(news, chance))


async def _any_order(news: list[tuple[Side, int, int, bool]], chance: random.Random) -> None:
    oracle, events = Kept().streamed(), list[MarketEvent]()
    for number, (side, price, shares, is_whole) in enumerate(news):
        event: MarketEvent = LevelChange("1", side, price, shares, to_ms(START) + number + 1)
        oracle.cache.apply(event)
        if is_whole:
            ours = oracle.cache._entries["1"].book
            bids = tuple(BookLevel(*level) for level in ours.levels("BUY"))
            asks = tuple(BookLevel(*level) for level in ours.levels("SELL"))
            event = BookSnapshot("1", bids, asks, to_ms(START) + number + 1, 0)
        events.append(event)
    told = [*events, *events]
    chance.shuffle(told)
    kept = Kept().streamed()
    for event in [*told, *events[: len(events) // 2]]:
        kept.cache.apply(event)
    truth, mine = oracle.cache._entries["1"].book, kept.cache._entries["1"].book
    assert (mine.levels("BUY"), mine.levels("SELL")) == (truth.levels("BUY"), truth.levels("SELL"))
