"""The long-running services and what each is made of. This is where the apps are put together."""

import asyncio
import random
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol

from django.conf import settings

from accounts.models import TradingAccount
from copytrade.services.decide import CopyDecider
from markets import feed
from markets.books import BookCache
from markets.catalogue_sync import CatalogueSync, Listing
from markets.ledger import Ledger
from markets.recorder import Recorder
from markets.services.budgets import BudgetKeeper
from markets.venue import registry
from markets.venue.ports import Venue
from markets.venue.signers import SignRequest, VenueAccount
from polyhub.lib.clock import SystemClock
from polyhub.lib.held_lease import HeldLease
from trading.engine.database import Database
from trading.engine.ports import Policy
from trading.engine.runner import EngineShard
from trading.services import booked, restore
from trading.services.work import Shard
from trading.signer.client import SignerClient
from trading.signer.launch import socket_path

FEED = "feed"
THREAD_SWITCH_S = 0.0005


class Runner(Protocol):
    """A service while it runs."""

    async def run(self, *, stop: asyncio.Event) -> None:
        """Return once `stop` is set and what was under way is done."""

    def detail(self) -> Mapping[str, Any]:
        """What the service's row shows."""


Factory = Callable[[HeldLease], AbstractAsyncContextManager[Runner]]


def engine_name(index: int) -> str:
    return f"engine-{index}"


def factories() -> dict[str, Factory]:
    """Every service this installation runs, by name."""
    engines = {engine_name(index): _engine_factory(index) for index in range(settings.ENGINE_SHARDS)}
    return {FEED: _feed, **engines}


def names() -> list[str]:
    return sorted(factories())


class Beside(Protocol):
    """What runs next to a runner until it ends, and ends with it."""

    async def run(self) -> None: ...

    def detail(self) -> Mapping[str, Any]: ...


class WithBooks:
    """A runner beside the book cache it reads, and whatever else its process keeps."""

    def __init__(self, runner: Runner, books: BookCache, *others: Beside) -> None:
        self._runner = runner
        self._books = books
        self._others = others

    async def run(self, *, stop: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._books.run())]
                beside += [group.create_task(one.run()) for one in self._others]
                try:
                    await self._runner.run(stop=stop)
                finally:
                    for task in beside:
                        task.cancel()
        except BaseExceptionGroup as broken:
            # One of the two failed and the other was canceled: the host knows the failure by its own type.
            raise broken.exceptions[0] from None

    def detail(self) -> Mapping[str, Any]:
        shown = {**self._runner.detail(), "books_connected": self._books.connected}
        for one in self._others:
            shown.update(one.detail())
        return shown


@asynccontextmanager
async def _feed(lease: HeldLease) -> AsyncGenerator[Runner, None]:
    clock, chance = SystemClock(), random.SystemRandom()
    transport = registry.open_transport(urls=settings.VENUE_URLS, clock=clock, scale=settings.VENUE_LIMIT_SCALE)
    public = registry.open_public_client(transport=transport)
    books = registry.open_books(transport=transport, public=public, chance=chance)
    activity = registry.open_activity_stream(transport=transport, chance=chance)
    sources = feed.sources_of(
        public=public,
        activity=activity,
        books=books,
        tokens_in_play=booked.tokens_in_play,
        clock=clock,
        chain=registry.open_chain_reader(transport=transport, public=public, chance=chance),
    )
    listing = Listing(
        page=lambda cursor, order: public.market_page(cursor=cursor, order=order),
        closed=lambda conditions: public.markets(condition_ids=conditions, closed=True),
    )
    sync = CatalogueSync(source=listing, clock=clock)
    recorder = Recorder(
        books=books,
        past=lambda token, since, until, minutes: public.price_history(
            token_id=token, since=since, until=until, minutes=minutes
        ),
        trades=lambda condition, after: public.market_trades(condition_id=condition, after=after),
        clock=clock,
    )
    try:
        yield WithBooks(
            feed.FeedService(sources=sources, clock=clock),
            books,
            sync,
            recorder,
            Ledger(books=books, clock=clock),
            _keeper(transport, lease),
        )
    finally:
        await transport.close()


def _keeper(transport: registry.Transport, lease: HeldLease, *groups: str) -> BudgetKeeper:
    return BudgetKeeper(transport=transport, holder=lease.name, monotonic=SystemClock().monotonic, groups=groups)


def _engine_factory(index: int) -> Factory:
    def factory(lease: HeldLease) -> AbstractAsyncContextManager[Runner]:
        return engine(lease, index=index, count=settings.ENGINE_SHARDS)

    return factory


def engine_policy() -> Policy:
    return Policy(horizon=timedelta(seconds=settings.ORDER_HORIZON_S))


@asynccontextmanager
async def engine(
    lease: HeldLease,
    *,
    index: int,
    count: int,
    policy: Policy | None = None,
    on_order_sent: Callable[[str], None] | None = None,
    on_sign: Callable[[SignRequest], None] | None = None,
) -> AsyncGenerator[Runner, None]:
    """One engine shard on the configured venue, with the copy decider.

    `on_sign` hears of each order before it is signed, `on_order_sent` of each whose bytes were written.
    """
    # Database threads hand results to the loop many times per order; the default lets each wait 5 ms for its turn.
    sys.setswitchinterval(THREAD_SWITCH_S)
    clock, chance = SystemClock(), random.SystemRandom()
    transport = registry.open_transport(
        urls=settings.VENUE_URLS, clock=clock, on_order_sent=on_order_sent, scale=settings.VENUE_LIMIT_SCALE
    )
    public = registry.open_public_client(transport=transport)
    books = registry.open_books(transport=transport, public=public, chance=chance)
    signer, database = SignerClient(socket_path(), on_sign=on_sign), Database()

    async def open_venue(account: TradingAccount) -> Venue:
        return registry.open_venue(
            mode=account.mode,
            account=VenueAccount(
                account_id=account.id,
                signature_type=account.signature_type or 0,
                signer_address=account.signer_address,
                trading_address=account.trading_address,
            ),
            restored=await database.call(restore.state_of, account_id=account.id),
            transport=transport,
            public=public,
            books=books,
            signer=signer,
            chance=chance,
        )

    decider = CopyDecider.over(books=books, shard=index, shards=count)
    shard = EngineShard(
        lease=lease,
        shard=Shard(index=index, count=count),
        open_venue=open_venue,
        deciders=[decider],
        clock=clock,
        policy=policy or engine_policy(),
        database=database,
    )
    try:
        yield WithBooks(
            shard,
            books,
            Ledger(books=books, clock=clock),
            _keeper(transport, lease, registry.TRADING, registry.READING),
        )
    finally:
        await decider.close()
        await signer.close()
        await transport.close()
