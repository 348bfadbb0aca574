"""One shard of accounts in one asyncio loop: their engines, what wakes them, and what is written down beside them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.db import InterfaceError, OperationalError

from accounts.models import TradingAccount
from markets.venue.ports import Venue
from polyhub.lib.clock import Clock
from polyhub.lib.listen import listen
from trading.domain.orders import EngineState
from trading.domain.reports import LeaseLost, PendingOrder
from trading.engine.database import Database
from trading.engine.journal import DatabaseJournal
from trading.engine.loop import AccountLoop
from trading.engine.ports import JournalUnavailable, LeaseView, Policy
from trading.services import balances, outcomes, work
from trading.services.work import Shard

logger = logging.getLogger(__name__)

ORDERS = "orders"
POLL_S = 1.0
ACCOUNTS_EVERY_S = 2.0
EQUITY_EVERY_S = 10.0
BEAT_EVERY_S = 5.0
RETRY_S = 0.5
DRAIN_S = 20.0
BACKGROUND_THREADS = 2


class Decider(Protocol):
    """Turns news into orders for the shard's accounts. `channel` is the notification that wakes it."""

    channel: str

    async def decide(self, *, now: datetime, send: Callable[[Sequence[PendingOrder]], None]) -> None:
        """Handle everything undecided, in batches; safe to call again at any time.

        `send` takes orders of this shard's accounts that were just stored.
        """


OpenVenue = Callable[[TradingAccount], Awaitable[Venue]]


class EngineShard:
    """One instance per lease. `run` ends when `stop` is set and what was under way is done, or with LeaseLost."""

    def __init__(
        self,
        *,
        lease: LeaseView,
        shard: Shard,
        open_venue: OpenVenue,
        deciders: Sequence[Decider],
        clock: Clock,
        policy: Policy,
        database: Database | None = None,
    ) -> None:
        self._lease = lease
        self._shard = shard
        self._open_venue = open_venue
        self._deciders = deciders
        self._clock = clock
        self._policy = policy
        self._database = database or Database()
        self._background = Database(threads=BACKGROUND_THREADS)
        self._journal = DatabaseJournal(database=self._database, background=self._background, lease=lease, clock=clock)
        self._loops: dict[UUID, AccountLoop] = {}
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._news = {channel: asyncio.Event() for channel in {ORDERS, *(one.channel for one in deciders)}}
        self._database_away = False

    async def run(self, *, stop: asyncio.Event) -> None:
        """Run until `stop`. Every loop outlives a database or venue that is away."""
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(self._listen()),
                    group.create_task(self._forever(self._dispatch_when_told)),
                    group.create_task(self._forever(self._equity)),
                    group.create_task(self._forever(self._beat)),
                    group.create_task(self._forever(lambda: self._accounts(group))),
                    *(group.create_task(self._forever(self._decider(decider))) for decider in self._deciders),
                ]
                await stop.wait()
                for helper in helpers:
                    helper.cancel()
                await self._drain()
        except BaseExceptionGroup as broken:
            lost, other = broken.split(LeaseLost)
            if other is not None:
                raise other from None
            raise lost.exceptions[0] from None  # type: ignore[union-attr]
        finally:
            for database in (self._database, self._background):
                await asyncio.get_running_loop().run_in_executor(None, database.close)

    def detail(self) -> dict[str, Any]:
        """What the service's row shows."""
        states = [loop.state for loop in self._loops.values()]
        troubled = [loop.detail for loop in self._loops.values() if loop.state is EngineState.RECOVERY]
        return {
            "accounts": len(states),
            **{str(state).lower(): states.count(state) for state in sorted(set(states))},
            **({"trouble": troubled[0][:200]} if troubled else {}),
            **({"database": "away"} if self._database_away else {}),
        }

    # -- accounts ------------------------------------------------------------------------------------------------

    async def _accounts(self, group: asyncio.TaskGroup) -> None:
        """Start the engines of new accounts, stop those of stopped ones, and clear what no engine sent in time."""
        wanted = {account.id: account for account in await self._call(work.running_accounts, shard=self._shard)}
        for account_id in [one for one in self._loops if one not in wanted]:
            self._loops[account_id].stop()
        for account_id, account in wanted.items():
            if account_id not in self._running:
                self._running[account_id] = group.create_task(self._host(account))
        await self._call(outcomes.deny_stale, shard=self._shard, actor=self._lease.name, now=self._clock.now())
        await asyncio.sleep(ACCOUNTS_EVERY_S)

    async def _host(self, account: TradingAccount) -> None:
        """One account's engine from first to last; its failures stay its own."""
        try:
            venue = await self._open_venue(account)
            loop = self._loops[account.id] = AccountLoop(
                account_id=account.id,
                venue=venue,
                journal=self._journal,
                clock=self._clock,
                lease=self._lease,
                policy=self._policy,
            )
            self._news[ORDERS].set()
            await loop.run()
        except LeaseLost:
            raise
        except Exception:
            logger.exception("An account's engine could not be started", extra={"account": str(account.id)})
            await asyncio.sleep(self._policy.open_wait(3))
        finally:
            self._loops.pop(account.id, None)
            self._running.pop(account.id, None)

    async def _drain(self) -> None:
        for loop in self._loops.values():
            loop.stop()
        tasks = list(self._running.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in late:
                task.cancel()

    # -- what wakes them -----------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for channel, _ in listen(sorted(self._news)):
            self._news[channel].set()

    def _decider(self, decider: Decider) -> Callable[[], Awaitable[None]]:
        async def turn() -> None:
            await self._told(decider.channel)
            await decider.decide(now=self._clock.now(), send=self._offer)

        return turn

    async def _dispatch_when_told(self) -> None:
        await self._told(ORDERS)
        await self._dispatch_orders()
        await self._dispatch_cancels()

    async def _dispatch_orders(self) -> None:
        """Hand every account its pending orders."""
        if self._loops:
            self._offer(await self._call(work.pending_orders, shard=self._shard))

    def _offer(self, orders: Sequence[PendingOrder]) -> None:
        """An account whose engine is not there yet finds its orders when it starts."""
        for order in orders:
            loop = self._loops.get(order.account_id)
            if loop is not None:
                loop.offer(order)

    async def _dispatch_cancels(self) -> None:
        for account_id, cancel in await self._call(work.cancels_wanted, shard=self._shard):
            loop = self._loops.get(account_id)
            if loop is not None:
                loop.offer(cancel)

    async def _told(self, channel: str) -> None:
        """Wait for news; look anyway after a second, for a notification may be lost."""
        event = self._news[channel]
        try:
            async with asyncio.timeout(POLL_S):
                await event.wait()
        except TimeoutError:
            return
        finally:
            event.clear()

    # -- beside them ---------------------------------------------------------------------------------------------

    async def _equity(self) -> None:
        await asyncio.sleep(EQUITY_EVERY_S)
        await self._call(balances.record_equity, shard=self._shard, now=self._clock.now())

    async def _beat(self) -> None:
        await self._call(work.beat, account_ids=list(self._loops), now=self._clock.now())
        await asyncio.sleep(BEAT_EVERY_S)

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            self._require_lease()
            try:
                await step()
                self._database_away = False
            except (JournalUnavailable, OperationalError, InterfaceError) as error:
                self._database_away = True
                logger.warning("Work waits for the database: %s", " ".join(str(error).split())[:200])
                await asyncio.sleep(RETRY_S)
            except LeaseLost:
                raise
            except Exception:
                logger.exception("A step of the engine failed")
                await asyncio.sleep(RETRY_S)

    def _require_lease(self) -> None:
        """A process that was stopped for a while finds itself replaced, and must not write beside its successor."""
        if not self._lease.alive():
            raise LeaseLost("The lease has ended.", details={"service": self._lease.name})

    async def _call(self, function: Callable[..., Any], **kwargs: Any) -> Any:
        self._require_lease()
        return await self._database.call(function, **kwargs)
