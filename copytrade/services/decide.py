"""The copy decider of one engine shard: whatever is undecided for its accounts is decided, in batches."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from copytrade.domain.decide import BookView
from copytrade.services import commit, exits, work
from copytrade.services.exits import DueExit
from copytrade.services.work import PendingFill
from markets.books import BookCache, TrustedBook, Untrusted
from polyhub.lib.threads import DatabaseThread

# How long a fill may wait for its market's fee or for a book before that is its verdict.
PATIENCE = timedelta(seconds=1)
_POLL_S = 0.02
NO_ORDERBOOK = "NO_ORDERBOOK"


class CopyDecider:
    """Woken by `leader_trade` notifications and by the shard's tick.

    `need(token_ids)` asks for books, `view(token_id)` is the newest one (a copy: it is read on another thread).
    """

    channel = "leader_trade"

    def __init__(
        self,
        *,
        shard: int,
        shards: int,
        need: Callable[[Sequence[str]], None],
        view: Callable[[str], BookView],
    ) -> None:
        self._shard, self._shards = shard, shards
        self._need, self._view = need, view
        self._db = DatabaseThread(f"copy-{shard}")

    @classmethod
    def over(cls, *, books: BookCache, shard: int, shards: int) -> "CopyDecider":
        """A decider on the books of its process."""
        return cls(shard=shard, shards=shards, need=books.need, view=lambda token_id: view_of(books.view(token_id)))

    async def decide(self, *, now: datetime) -> None:
        """Give every verdict that can be given; waits at most `PATIENCE` for books and fees still under way."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while True:
            at = now + timedelta(seconds=loop.time() - started)
            fills, sales = await self._db.run(self._load, at)
            if not fills and not sales:
                return
            views = self._views([fill.token_id for fill in fills] + [sale.token_id for sale in sales])
            is_late = at - now >= PATIENCE
            ready = [fill for fill in fills if is_late or _is_ready(fill, views[fill.token_id], now=at)]
            await self._db.run(self._commit, ready, views, bool(sales), at)
            if is_late or len(ready) == len(fills) < work.MAX_FILLS:
                # What arrived meanwhile has its own notification.
                return
            if len(ready) < len(fills):
                await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        await self._db.close()

    def _views(self, token_ids: Sequence[str]) -> dict[str, BookView]:
        wanted = sorted(set(token_ids))
        self._need(wanted)
        return {token_id: self._view(token_id) for token_id in wanted}

    def _load(self, now: datetime) -> tuple[list[PendingFill], list[DueExit]]:
        fills = work.pending(shard=self._shard, shards=self._shards)
        sales = exits.due(shard=self._shard, shards=self._shards, now=now)
        if not fills:
            work.finish(now=now)
        return fills, sales

    def _commit(self, fills: Sequence[PendingFill], views: dict[str, BookView], has_sales: bool, now: datetime) -> None:
        if fills:
            commit.decide_fills(fills=fills, views=views, shard=self._shard, shards=self._shards, now=now)
        if has_sales:
            exits.retry(views=views, shard=self._shard, shards=self._shards, now=now)


def view_of(book: TrustedBook | Untrusted) -> BookView:
    """A cached book as the rules see it."""
    if isinstance(book, TrustedBook):
        return BookView(book.book, age_ms=book.age_ms)
    return BookView(None, book.reason, book.age_ms)


def _is_ready(fill: PendingFill, view: BookView, *, now: datetime) -> bool:
    """A book (or the venue's word that there is none), and a fee or no more patience for it."""
    is_fee_settled = fill.market.is_fee_known or now - fill.received_at >= PATIENCE
    return is_fee_settled and (view.book is not None or view.reason == NO_ORDERBOOK)
