"""Newest books and prints of this process's listeners: read once, whatever the number of clients.

The feed writes books to a table and says which changed; one listener per process reads those that somebody here
follows. A client keeps only the names of what changed, so one that falls behind gets the newest state, never a queue.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.db import DatabaseError, InterfaceError

from markets import selectors
from markets.services.interest import BOOKS_CHANNEL
from polyhub.lib.listen import listen

logger = logging.getLogger(__name__)

# Prints kept for clients that are a little behind; who is further behind is told that some are missing.
PRINTS_KEPT = 200
Payload = dict[str, Any]


class Follower:
    """What one client follows, and which of it has news. `wake` is set when there are any."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.books: set[int] = set()
        self.trades: set[int] = set()
        self.changed_books: set[int] = set()
        self.changed_trades: set[int] = set()

    def tell(self, books: Iterable[int], trades: Iterable[int]) -> None:
        self.changed_books |= self.books.intersection(books)
        self.changed_trades |= self.trades.intersection(trades)
        if self.changed_books or self.changed_trades:
            self.wake.set()


class LiveMarkets:
    """Runs while anybody follows anything."""

    def __init__(self) -> None:
        self.books: dict[int, Payload] = {}
        # By token: (number, print), numbers without holes; oldest first.
        self.prints: dict[int, deque[tuple[int, Payload]]] = {}
        self._numbers: dict[int, int] = {}
        self._followers: set[Follower] = set()
        self._task: asyncio.Task[None] | None = None
        # Two readings of one tape at a time would number its prints twice.
        self._reading = asyncio.Lock()

    def join(self, follower: Follower) -> Callable[[], None]:
        """Give a follower news from now on; the answer ends it."""
        self._followers.add(follower)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="live-markets")

        def leave() -> None:
            self._followers.discard(follower)
            if not self._followers and self._task is not None:
                self._task.cancel()
                self._task = None
                self.books.clear()
                self.prints.clear()

        return leave

    async def load(self, tokens: Iterable[int]) -> None:
        """Read the books and the tape of these tokens now, if nobody here follows them yet."""
        wanted = list(tokens)
        async with self._reading:
            await self._read(
                [key for key in wanted if key not in self.books], [key for key in wanted if key not in self.prints]
            )

    def number(self, token: int) -> int:
        """The number of the newest print of a token that is known here."""
        return self._numbers.get(token, 0)

    async def _run(self) -> None:
        async for _, payload in listen([BOOKS_CHANNEL]):
            books, trades = _told(payload)
            followed_books = {key for follower in self._followers for key in follower.books}
            followed_trades = {key for follower in self._followers for key in follower.trades}
            # Without a list anything may have changed.
            wanted = sorted(followed_books if books is None else followed_books.intersection(books))
            traded = sorted(followed_trades if trades is None else followed_trades.intersection(trades))
            if not wanted and not traded:
                continue
            try:
                async with self._reading:
                    await self._read(wanted, traded)
            except (DatabaseError, InterfaceError):
                logger.exception("Books not read for clients")
                continue
            for follower in list(self._followers):
                follower.tell(wanted, traded)

    async def _read(self, books: list[int], trades: list[int]) -> None:
        if books:
            self.books.update(await database_sync_to_async(selectors.book_payloads)(tokens=books))
        for token in trades:
            known = self.prints.setdefault(token, deque(maxlen=PRINTS_KEPT))
            newest = known[-1][1]["received_at"] if known else None
            for one in await database_sync_to_async(selectors.print_payloads)(token=token, after=newest):
                self._numbers[token] = self.number(token) + 1
                known.append((self._numbers[token], one))


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, LiveMarkets] = WeakKeyDictionary()


def here() -> LiveMarkets:
    """The one of the running loop."""
    return _of_loop.setdefault(asyncio.get_running_loop(), LiveMarkets())


def _told(payload: str) -> tuple[list[int] | None, list[int] | None]:
    if not payload:
        return None, None
    said = json.loads(payload)
    return said.get("books", []), said.get("trades", [])
