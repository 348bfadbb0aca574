"""The copy decider of one engine shard: whatever is undecided for its accounts is decided, in batches."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from copytrade.domain.decide import BookView
from copytrade.services import commit, exits, work
from copytrade.services.work import PendingFill
from markets.books import BookCache, TrustedBook, Untrusted
from polyhub.lib.threads import DatabaseThread
from trading.domain.reports import PendingOrder

# How long a fill may wait for its market's fee or for a book before that is its verdict.
PATIENCE = timedelta(seconds=1)
_POLL_S = 0.02
EXITS_EVERY_S = 0.5
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
        self._exits_due = 0.0

    @classmethod
    def over(cls, *, books: BookCache, shard: int, shards: int) -> "CopyDecider":
        """A decider on the books of its process."""
        return cls(shard=shard, shards=shards, need=books.need, view=lambda token_id: view_of(books.view(token_id)))

    async def decide(self, *, now: datetime, send: Callable[[Sequence[PendingOrder]], None]) -> None:
        """Give every verdict that can be given; waits at most `PATIENCE` for books and fees still under way.

        `send` gets the orders as soon as they are stored. Leaders' fills go first: an exit that is due has waited
        for seconds already.
        """
        had_fills = await self._decide_fills(now, send)
        if not had_fills or asyncio.get_running_loop().time() >= self._exits_due:
            await self._retry_exits(now, send)
            self._exits_due = asyncio.get_running_loop().time() + EXITS_EVERY_S

    async def _decide_fills(self, now: datetime, send: Callable[[Sequence[PendingOrder]], None]) -> bool:
        """Whether there was something to decide."""
        loop = asyncio.get_running_loop()
        started, at, had_fills = loop.time(), now, False
        while True:
            fills = await self._db.run(self._pending, at)
            if not fills:
                return had_fills
            had_fills = True
            views = self._views([fill.token_id for fill in fills])
            is_late = at - now >= PATIENCE
            ready = [fill for fill in fills if is_late or _is_ready(fill, views[fill.token_id], now=at)]
            if ready:
                written = await self._db.run(
                    commit.decide_fills, fills=ready, views=views, shard=self._shard, shards=self._shards, now=at
                )
                send(written.orders)
            if is_late or len(ready) == len(fills) < work.MAX_FILLS:
                # What arrived meanwhile has its own notification.
                return True
            if len(ready) < len(fills):
                await asyncio.sleep(_POLL_S)
            at = now + timedelta(seconds=loop.time() - started)

    async def _retry_exits(self, now: datetime, send: Callable[[Sequence[PendingOrder]], None]) -> None:
        sales = await self._db.run(exits.due, shard=self._shard, shards=self._shards, now=now)
        if sales:
            views = self._views([sale.token_id for sale in sales])
            send(await self._db.run(exits.retry, views=views, shard=self._shard, shards=self._shards, now=now))

    async def close(self) -> None:
        await self._db.close()

    def _views(self, token_ids: Sequence[str]) -> dict[str, BookView]:
        wanted = sorted(set(token_ids))
        self._need(wanted)
        return {token_id: self._view(token_id) for token_id in wanted}

    def _pending(self, now: datetime) -> list[PendingFill]:
        fills = work.pending(shard=self._shard, shards=self._shards)
        if not fills:
            work.finish(now=now)
        return fills


def view_of(book: TrustedBook | Untrusted) -> BookView:
    """A cached book as the rules see it."""
    if isinstance(book, TrustedBook):
        return BookView(book.book, age_ms=book.age_ms)
    return BookView(None, book.reason, book.age_ms)


def _is_ready(fill: PendingFill, view: BookView, *, now: datetime) -> bool:
    """A book (or the venue's word that there is none), and a fee or no more patience for it."""
    is_fee_settled = fill.market.is_fee_known or now - fill.received_at >= PATIENCE
    return is_fee_settled and (view.book is not None or view.reason == NO_ORDERBOOK)
