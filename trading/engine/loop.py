"""One account, one task, strictly in order: open the venue, reconcile, then take work as it comes.

Live, paper and backtest run this same loop; venue, journal, clock and lease differ.
"""

import asyncio
import logging
from collections import deque
from contextlib import aclosing
from uuid import UUID

from markets.venue.errors import Unavailable, VenueError
from markets.venue.ports import StreamStatus, TradeStatus, UserEvent, Venue, VenueTrade
from polyhub.lib.clock import Clock
from trading.domain.orders import EngineState
from trading.domain.reports import CancelWanted, LeaseLost, OrderSeen, PendingOrder
from trading.engine.ports import Journal, JournalUnavailable, LeaseView, Policy
from trading.engine.recovery import Recovery
from trading.engine.sending import Sender

logger = logging.getLogger(__name__)

CANCEL_RETRY_S = 1.0


class ReconcileNow:
    """Compare everything with the venue as soon as it is this item's turn."""


Work = PendingOrder | CancelWanted | UserEvent | ReconcileNow


class AccountLoop:
    """The engine of one account. `offer` gives it work; `run` ends when `stop` is called or the lease is lost."""

    def __init__(
        self, *, account_id: UUID, venue: Venue, journal: Journal, clock: Clock, lease: LeaseView, policy: Policy
    ) -> None:
        self.account_id = account_id
        self.state = EngineState.INIT
        self.detail = ""
        self._venue = venue
        self._journal = journal
        self._clock = clock
        self._policy = policy
        self._sender = Sender(
            account_id=account_id, venue=venue, journal=journal, clock=clock, lease=lease, policy=policy
        )
        self._recovery = Recovery(
            account_id=account_id, venue=venue, journal=journal, clock=clock, sender=self._sender, policy=policy
        )
        self._inbox: deque[Work] = deque()
        self._wake = asyncio.Event()
        self._offered: set[int] = set()
        self._cancels: dict[int, float] = {}
        self._stopping = asyncio.Event()
        self._reconcile_due = 0.0

    def offer(self, work: Work) -> None:
        """Queue work; an order or cancel that is queued already is not queued twice."""
        if isinstance(work, PendingOrder):
            if work.order_id in self._offered:
                return
            self._offered.add(work.order_id)
        elif isinstance(work, CancelWanted):
            if self._cancels.get(work.order_id, 0.0) > self._now_s():
                return
            self._cancels[work.order_id] = self._now_s() + CANCEL_RETRY_S
        self._inbox.append(work)
        self._wake.set()

    def stop(self) -> None:
        """Finish the item under way and leave; orders not yet claimed stay for the next owner."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Raises LeaseLost; every other failure is this account's own: it recovers and goes on."""
        attempt = 0
        try:
            while not self._stopping.is_set():
                try:
                    await self._session()
                    attempt = 0
                except LeaseLost:
                    raise
                except (VenueError, JournalUnavailable) as error:
                    await self._recover(f"{error.code}: {error.message}")
                except Exception:
                    logger.exception("An account's engine failed", extra={"account": str(self.account_id)})
                    await self._recover("INTERNAL_ERROR")
                if self._stopping.is_set():
                    break
                if self.state is EngineState.RECOVERY:
                    await _wait(self._stopping, self._policy.open_wait(attempt))
                    attempt += 1
        finally:
            await self._leave()

    async def _session(self) -> None:
        """Open, reconcile, then work until something breaks or we are stopped."""
        await self._tell(EngineState.LOADING)
        try:
            async with asyncio.timeout(self._policy.venue_timeout_s):
                await self._venue.open()
        except TimeoutError:
            raise Unavailable("The venue did not open in time.", code="TIMEOUT") from None
        try:
            async with asyncio.TaskGroup() as group:
                pump = group.create_task(self._pump())
                try:
                    await self._stream_opens()
                    await self._reconcile()
                    await self._work()
                finally:
                    pump.cancel()
        except BaseExceptionGroup as broken:
            raise broken.exceptions[0] from None

    async def _stream_opens(self) -> None:
        """Let the private stream connect first: then one reconciliation covers all that came before it."""
        try:
            async with asyncio.timeout(self._policy.connect_wait_s):
                while not self._stopping.is_set():
                    self._wake.clear()
                    opened = next((item for item in self._inbox if isinstance(item, StreamStatus)), None)
                    if opened is not None:
                        self._inbox.remove(opened)
                        return
                    await self._wake.wait()
        except TimeoutError:
            return

    async def _work(self) -> None:
        await self._tell(EngineState.RUNNING)
        while not self._stopping.is_set():
            work = await self._next()
            if work is not None:
                await self._do(work)
            await self._recovery.look_up_due()
            if self._now_s() >= self._reconcile_due:
                await self._reconcile()

    async def _next(self) -> Work | None:
        """The next item, or None when a look-up or the reconciliation is due or we are to stop."""
        if not self._inbox:
            self._wake.clear()
            wait = max(0.0, self._reconcile_due - self._now_s())
            due = self._recovery.next_due_s()
            await _wait(self._wake, wait if due is None else min(wait, due))
        return self._inbox.popleft() if self._inbox and not self._stopping.is_set() else None

    async def _do(self, work: Work) -> None:
        match work:
            case PendingOrder():
                await self._send(work)
            case CancelWanted():
                await self._cancel(work)
            case VenueTrade():
                trades = [work, *self._more_trades()]
                await self._journal.trades(self.account_id, trades)
                if any(trade.status is TradeStatus.FAILED for trade in trades):
                    # What became of its order, only the venue can tell.
                    self._reconcile_due = 0.0
            case StreamStatus():
                # What happened while the stream was away is only known by asking.
                if work.connected:
                    await self._reconcile()
            case ReconcileNow():
                await self._reconcile()
            case _:
                seen = OrderSeen(work.order_hash, work.status, work.trade_ids, work.matched_share_units)
                await self._journal.seen(self.account_id, [seen])

    async def _send(self, order: PendingOrder) -> None:
        try:
            unknown = await self._sender.send(order)
        finally:
            self._offered.discard(order.order_id)
        if unknown is not None:
            self._recovery.follow(unknown)

    async def _cancel(self, wanted: CancelWanted) -> None:
        try:
            if await self._recovery.cancel(wanted.order_hash, wanted.order_id):
                self._cancels.pop(wanted.order_id, None)
        except VenueError as error:
            logger.info("A cancel has no answer", extra={"order": wanted.order_id, "code": error.code})

    def _more_trades(self) -> list[VenueTrade]:
        """Trades that wait right behind this one: they are booked together."""
        trades: list[VenueTrade] = []
        while self._inbox and isinstance(self._inbox[0], VenueTrade):
            trades.append(self._inbox.popleft())  # type: ignore[arg-type]
        return trades

    async def _reconcile(self) -> None:
        await self._recovery.reconcile()
        # The first wait differs by account, so that those of one shard do not all come due together.
        share = 1.0 if self._reconcile_due else 0.5 + self.account_id.int % 1000 / 2000
        self._reconcile_due = self._now_s() + self._policy.reconcile_every_s * share
        await self._journal.state(self.account_id, self.state, detail=self.detail, reconciled=True)

    async def _pump(self) -> None:
        """Own events of the venue, into the same inbox: they wait their turn like everything else."""
        async with aclosing(self._venue.user_events()) as events:  # type: ignore[type-var]
            async for event in events:
                self._inbox.append(event)
                self._wake.set()

    async def _recover(self, detail: str) -> None:
        try:
            await self._tell(EngineState.RECOVERY, detail)
        except JournalUnavailable:
            self.state, self.detail = EngineState.RECOVERY, detail

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(self._policy.venue_timeout_s):
                await self._venue.close()
                await self._tell(EngineState.STOPPED)
        except (VenueError, JournalUnavailable, TimeoutError):
            self.state = EngineState.STOPPED

    async def _tell(self, state: EngineState, detail: str = "") -> None:
        self.state, self.detail = state, detail
        await self._journal.state(self.account_id, state, detail=detail)

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
