"""What the kept books say is written down: ticks, the books people look at, the ledger."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError

from markets import selectors
from markets.books import BookCache
from markets.domain.continuity import Subject, Trouble
from markets.ledger import Ledger
from markets.models import BookView, Candle, ContinuityDay, Incident, Interest, Quote, Token
from markets.recorder import Recorder
from markets.services import catalogue, continuity, interest
from markets.tests.factories import NOW, make_token, seen
from markets.tests.test_books import HandFedStream, Shelf
from markets.tests.venue_fixtures import connected
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.ports import (
    BookLevel,
    BookSnapshot,
    FeedStatus,
    LastTrade,
    LeaderTradeSeen,
    LevelChange,
    Side,
)
from markets.venue.registry import open_books
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib.clock import ReplayClock, SystemClock, to_ms
from polyhub.lib.threads import DatabaseThread
from polyhub.tests.eventually import eventually_async

pytestmark = pytest.mark.django_db(transaction=True)


class Desk:
    """A recorder over a book cache fed by hand."""

    def __init__(self, token: Token) -> None:
        self.clock, self.token = ReplayClock(NOW), token
        self.books = BookCache(stream=HandFedStream(), fetch=Shelf().fetch, clock=self.clock)
        self.asked: list[str] = []
        self.listed: list[LeaderTradeSeen] = []
        self.recorder = Recorder(books=self.books, past=self.past, trades=self.trades, clock=self.clock)
        self.ledger = Ledger(books=self.books, clock=self.clock)
        self.books.need([token.token_id])
        self.books.apply(FeedStatus(connected=True))
        self.whole(4800, 5200)

    def whole(self, bid: int, ask: int) -> None:
        at = to_ms(self.clock.now())
        bids, asks = (BookLevel(bid, 10**8),), (BookLevel(ask, 2 * 10**8),)
        self.books.apply(BookSnapshot(self.token.token_id, bids, asks, at, at))

    def prints(self, price: int, *, seconds_ago: float = 0, shares: int = 10**7) -> None:
        at = self.clock.now() - timedelta(seconds=seconds_ago)
        self.books.apply(LastTrade(self.token.token_id, Side.BUY, price, shares, to_ms(at)))

    async def trades(self, condition_id: str, after: datetime) -> Sequence[LeaderTradeSeen]:
        assert condition_id == self.token.market.condition_id
        return [one for one in self.listed if one.traded_s >= int(after.timestamp())]

    async def past(
        self, token_id: str, since: datetime, until: datetime, minutes: int
    ) -> Sequence[tuple[datetime, Decimal]]:
        self.asked.append(token_id)
        return [(until - timedelta(days=2), Decimal("0.30"))]


def at_the_desk(work: Callable[[Desk], Awaitable[None]], token: Token | None = None) -> Desk:
    at = token or make_token()

    async def scenario() -> Desk:
        desk = Desk(at)
        try:
            await work(desk)
        finally:
            await desk.recorder.close()
            await desk.ledger.close()
        return desk

    return asyncio.run(scenario())


def test_a_changed_top_and_each_print_is_recorded_once() -> None:
    async def work(desk: Desk) -> None:
        await desk.recorder.record()
        await desk.recorder.record()
        desk.prints(5200)
        desk.clock.advance(timedelta(seconds=1))
        desk.whole(4900, 5200)
        await desk.recorder.record()

    desk = at_the_desk(work)
    detail = desk.recorder.detail()
    assert (detail["ticks"], detail["prints"]) == (2, 1)
    assert [one.price for one in selectors.tape(token=desk.token, limit=9)] == [Decimal("0.52")]
    assert Candle.objects.get(token=desk.token, span_s=86_400).close == Decimal("0.52")
    quote = Quote.objects.get(token=desk.token)
    assert (quote.best_bid, quote.last_price) == (Decimal("0.49"), Decimal("0.52"))


def test_g1_and_w06_old_prints_told_as_news_are_dropped_and_counted() -> None:
    async def work(desk: Desk) -> None:
        desk.prints(9500, seconds_ago=3_600)
        desk.prints(500, seconds_ago=301)
        desk.prints(5200, seconds_ago=299)
        await desk.recorder.record()

    desk = at_the_desk(work)
    assert desk.recorder.detail()["stale_prints"] == 2
    assert [one.price for one in selectors.tape(token=desk.token, limit=9)] == [Decimal("0.52")]
    assert Quote.objects.get(token=desk.token).last_price == Decimal("0.52")


def test_g3_a_print_without_its_size_is_looked_up_among_the_public_trades() -> None:
    async def work(desk: Desk) -> None:
        desk.prints(5200, shares=0)
        await desk.recorder.record()
        await desk.recorder.find_sizes()
        assert desk.recorder.detail()["prints"] == 0, "nothing is recorded with a guessed size"
        token_id = desk.token.token_id
        desk.listed = [
            seen(token_id=token_id, price="0.52", shares="7.5", side=Side.SELL),
            seen(token_id=token_id, price="0.60", shares="8"),
            seen(token_id=token_id, price="0.52", shares="9", at=NOW - timedelta(minutes=1)),
            seen(token_id=token_id, price="0.5200001", shares="12.5"),
        ]
        await desk.recorder.find_sizes()
        await desk.recorder.record()

    desk = at_the_desk(work)
    assert [one.shares for one in selectors.tape(token=desk.token, limit=9)] == [Decimal("12.5")]


def test_g3_a_size_nobody_tells_is_given_up_and_counted() -> None:
    async def work(desk: Desk) -> None:
        desk.prints(5200, shares=0)
        await desk.recorder.record()
        for _ in range(9):
            await desk.recorder.find_sizes()

    desk = at_the_desk(work)
    assert desk.recorder.detail()["unsized_prints"] == 1
    assert selectors.tape(token=desk.token, limit=9) == []


def test_w01_nothing_is_recorded_of_a_book_that_is_not_trusted() -> None:
    async def work(desk: Desk) -> None:
        desk.books.apply(FeedStatus(connected=False))
        desk.clock.advance(timedelta(seconds=10))
        await desk.recorder.record()

    assert at_the_desk(work).recorder.detail()["ticks"] == 0


def test_what_people_look_at_is_kept_shown_and_given_up() -> None:
    token = make_token()
    no = Token.objects.get(market=token.market, outcome_index=1)
    interest.look(token_ids=[no.pk], now=NOW)

    async def work(desk: Desk) -> None:
        await desk.recorder.look()
        assert no.token_id in desk.books.token_ids, "an open page makes the subscription"
        await desk.recorder.publish()
        shown = await on_a_thread(lambda: BookView.objects.get(token=no))
        assert (shown.doubt, shown.bids) == ("NO_BOOK", [])
        at = to_ms(desk.clock.now())
        desk.books.apply(BookSnapshot(no.token_id, (BookLevel(4800, 10**8),), (), at, at))
        for shares in range(1, 50):
            desk.books.apply(LevelChange(no.token_id, Side.BUY, 4700, shares * 10**6, at + shares))
        await desk.recorder.publish()
        shown = await on_a_thread(lambda: BookView.objects.get(token=no))
        assert (shown.doubt, shown.bids) == ("", [["0.4800", "100.000000"], ["0.4700", "49.000000"]])
        desk.clock.advance(interest.KEPT + timedelta(seconds=1))
        await desk.recorder.look()
        assert desk.recorder.detail()["looked_at"] == 0

    at_the_desk(work, token)
    assert Interest.objects.count() == 1


def test_the_venues_past_is_imported_once_for_what_people_look_at() -> None:
    token = make_token()
    interest.look(token_ids=[token.pk], now=NOW)

    async def work(desk: Desk) -> None:
        for _ in range(3):
            await desk.recorder.import_past()

    assert at_the_desk(work, token).asked == [token.token_id]
    assert Candle.objects.get(token=token, span_s=3_600).close == Decimal("0.30")


def test_the_ledger_adds_up_per_day_keeps_incidents_and_forgets_only_those() -> None:
    token = make_token()

    async def work(desk: Desk) -> None:
        notes = desk.books.notebook
        notes.watched(Subject.ASSET, token.token_id, needed_ms=1_000, trusted_ms=750)
        notes.note(Trouble.GAP, Subject.ASSET, token.token_id, at_ms=to_ms(NOW), detail="lost")
        await desk.ledger.write()
        notes.watched(Subject.ASSET, token.token_id, needed_ms=1_000, trusted_ms=1_000)
        notes.note(Trouble.RECONNECT, Subject.STREAM, "market", at_ms=to_ms(NOW))
        await desk.ledger.write()
        await desk.ledger.write()

    at_the_desk(work, token)
    asset = ContinuityDay.objects.get(subject="asset")
    assert (asset.needed_ms, asset.coverage, asset.gaps) == (2_000, 0.875, 1)
    assert ContinuityDay.objects.get(subject="stream").reconnects == 1
    assert set(Incident.objects.values_list("trouble", "detail")) == {("gap", "lost"), ("reconnect", "")}
    assert continuity.forget(before=NOW + timedelta(days=1)) == 2
    assert ContinuityDay.objects.count() == 2


def test_what_could_not_be_written_is_kept_for_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is away for one turn; patched, as cutting it also cuts the test's own connection."""
    token = make_token()

    def away(**_: object) -> int:
        raise OperationalError("away")

    async def work(desk: Desk) -> None:
        desk.books.notebook.note(Trouble.GAP, Subject.ASSET, token.token_id, at_ms=to_ms(NOW))
        desk.prints(5200)
        with monkeypatch.context() as broken:
            broken.setattr("markets.services.history.record", away)
            broken.setattr("markets.services.continuity.store", away)
            with pytest.raises(OperationalError):
                await desk.ledger.write()
            with pytest.raises(OperationalError):
                await desk.recorder.record()
        desk.books.notebook.note(Trouble.GAP, Subject.ASSET, token.token_id, at_ms=to_ms(NOW))
        await desk.ledger.write()
        await desk.recorder.record()

    desk = at_the_desk(work, token)
    assert ContinuityDay.objects.get(subject="asset").gaps == 2
    assert len(selectors.tape(token=desk.token, limit=9)) == 1


async def on_a_thread(read: Callable[[], BookView]) -> BookView:
    database = DatabaseThread("test")
    try:
        return await database.run(read)
    finally:
        await database.close()


async def test_g1_and_g3_the_public_trades_of_a_market_are_asked_for_with_an_age(sandbox: RunningSandbox) -> None:
    market = sandbox.create_market("tape-of-a-market", bids=[("0.48", "100")], asks=[("0.52", "50")])
    sandbox.leader_trade(wallet="0x" + "3f" * 20, token_id=market.yes, side="BUY", price="0.52", size="20")
    now = SystemClock().now()
    async with connected(sandbox) as (_, public):

        async def listed() -> bool:
            found = await public.market_trades(condition_id=market.condition_id, after=now - timedelta(minutes=1))
            return [(one.token_id, Decimal(one.shares)) for one in found] == [(market.yes, 20)]

        assert await eventually_async(listed)
        later = now + timedelta(minutes=5)
        assert await public.market_trades(condition_id=market.condition_id, after=later) == []


async def test_from_the_venue_to_the_page_and_the_tape(sandbox: RunningSandbox) -> None:
    """Somebody looks; the socket is subscribed, the book shown, and a trade of the venue becomes tape and candle."""
    market = sandbox.create_market("looked-at", bids=[("0.48", "100")], asks=[("0.52", "50")])
    database = DatabaseThread("test")
    async with connected(sandbox) as (transport, public):
        books = open_books(transport=transport, public=public, chance=random.Random(1))
        recorder = Recorder(
            books=books,
            past=lambda token, since, until, minutes: public.price_history(
                token_id=token, since=since, until=until, minutes=minutes
            ),
            trades=lambda condition, after: public.market_trades(condition_id=condition, after=after),
            clock=transport.clock,
        )
        running = [asyncio.create_task(books.run()), asyncio.create_task(recorder.run())]
        try:
            facts = await public.markets(condition_ids=[market.condition_id])
            await database.run(catalogue.upsert_markets, markets=facts, now=SystemClock().now())
            token = await database.run(lambda: Token.objects.get(token_id=market.yes))
            await database.run(interest.look, token_ids=[token.pk], now=SystemClock().now())

            async def shown() -> bool:
                view = await database.run(lambda: BookView.objects.filter(token=token, doubt="").first())
                return view is not None and view.bids[0] == ["0.4800", "100.000000"]

            assert await eventually_async(shown, timeout_s=15)
            sandbox.leader_trade(wallet="0x" + "4f" * 20, token_id=market.yes, side="BUY", price="0.52", size="20")

            async def told() -> bool:
                prints = await database.run(selectors.tape, token=token, limit=5)
                candles = await database.run(lambda: list(Candle.objects.filter(token=token, span_s=60, trades__gt=0)))
                return [one.shares for one in prints] == [20] and candles[0].close == Decimal("0.52")

            assert await eventually_async(told, timeout_s=15)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await database.close()
