"""The decider of a shard: at once when it can, patient for a moment when a fee or a book is still under way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from copytrade.domain.decide import BookView
from copytrade.models import CopyDecision
from copytrade.services.decide import PATIENCE, CopyDecider
from copytrade.tests.factories import book, fill, follow, leader_does, orders_of
from markets.models import LeaderTrade, Market
from markets.tests.factories import NOW, make_token
from markets.venue.ports import Side
from polyhub.lib.threads import DatabaseThread
from polyhub.tests.eventually import eventually_async
from trading.domain.reports import PendingOrder
from trading.tests import factories as trading

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Books:
    """Books in memory, and which were asked for."""

    views: dict[str, BookView] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    sent: list[PendingOrder] = field(default_factory=list)

    def view(self, token_id: str) -> BookView:
        return self.views.get(token_id, BookView(None, "NOT_SUBSCRIBED"))


def run(scenario: Callable[[CopyDecider, Books, DatabaseThread], Awaitable[None]]) -> Books:
    async def beside() -> Books:
        books, database = Books(), DatabaseThread("test")
        decider = CopyDecider(shard=0, shards=1, need=books.needed.update, view=books.view)
        try:
            await asyncio.wait_for(scenario(decider, books, database), 10)
        finally:
            await decider.close()
            await database.close()
        return books

    return asyncio.run(beside())


def codes() -> list[str]:
    return list(CopyDecision.objects.order_by("id").values_list("code", flat=True))


def test_a_trade_is_decided_with_the_book_of_its_token() -> None:
    token, _ = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)

    async def scenario(decider: CopyDecider, books: Books, database: DatabaseThread) -> None:
        books.views[token.token_id] = book()
        await decider.decide(now=NOW + timedelta(seconds=1), send=books.sent.extend)

    assert run(scenario).needed == {token.token_id}
    assert codes() == ["COPIED"]


def test_a_book_that_never_comes_is_a_verdict_after_a_moment() -> None:
    token, _ = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)

    async def scenario(decider: CopyDecider, books: Books, database: DatabaseThread) -> None:
        started = asyncio.get_running_loop().time()
        await decider.decide(now=NOW + timedelta(seconds=1), send=books.sent.extend)
        assert asyncio.get_running_loop().time() - started >= PATIENCE.total_seconds() * 0.9

    run(scenario)
    assert codes() == ["BOOK_UNTRUSTED"]
    assert CopyDecision.objects.get().numbers["reason"] == "NOT_SUBSCRIBED"


def test_a_book_or_a_fee_that_comes_in_time_is_used_and_others_do_not_wait_for_it() -> None:
    ready, late, free = make_token(), make_token(), make_token(fee_rate=None)
    follow(trading.account())
    for token in (late, free, ready):
        leader_does(Side.BUY, token)

    async def scenario(decider: CopyDecider, books: Books, database: DatabaseThread) -> None:
        books.views = {ready.token_id: book(), free.token_id: book()}
        deciding = asyncio.create_task(decider.decide(now=NOW + timedelta(seconds=0.5), send=books.sent.extend))

        async def one_is_decided() -> bool:
            return await database.run(CopyDecision.objects.exists)

        await eventually_async(one_is_decided, poll_s=0.01)
        assert await database.run(LeaderTrade.objects.filter(decided_at=None).count) == 2
        books.views[late.token_id] = book()
        await database.run(Market.objects.filter(pk=free.market_id).update, fee_rate=0)
        await deciding

    run(scenario)
    assert codes() == ["COPIED"] * 3


def test_a_fee_that_stays_unknown_is_a_skip() -> None:
    token, _ = make_token(fee_rate=None), follow(trading.account())
    leader_does(Side.BUY, token)

    async def scenario(decider: CopyDecider, books: Books, database: DatabaseThread) -> None:
        books.views[token.token_id] = book()
        await decider.decide(now=NOW + timedelta(seconds=1), send=books.sent.extend)

    run(scenario)
    assert codes() == ["FEE_UNKNOWN"]


def test_owed_exits_are_tried_when_their_time_comes() -> None:
    token, rule = make_token(), follow(trading.account())
    leader_does(Side.BUY, token)

    async def scenario(decider: CopyDecider, books: Books, database: DatabaseThread) -> None:
        books.views[token.token_id] = book()
        await decider.decide(now=NOW, send=books.sent.extend)
        await database.run(lambda: fill(orders_of(rule)[0]))
        books.views[token.token_id] = book(bid="0.30", ask="0.31")
        await database.run(lambda: leader_does(Side.SELL, token, at=NOW + timedelta(seconds=1)))
        await decider.decide(now=NOW + timedelta(seconds=1), send=books.sent.extend)
        books.views[token.token_id] = book()
        await decider.decide(now=NOW + timedelta(seconds=5), send=books.sent.extend)

    run(scenario)
    assert codes() == ["COPIED", "EXIT_OWED"]
    assert [order.side for order in orders_of(rule)] == ["BUY", "SELL"]


def test_a_trade_nobody_follows_is_finished() -> None:
    leader_does(Side.BUY, make_token())

    async def scenario(decider: CopyDecider, books: Books, database: DatabaseThread) -> None:
        await decider.decide(now=NOW, send=books.sent.extend)

    run(scenario)
    assert LeaderTrade.objects.get().decided_at == NOW
