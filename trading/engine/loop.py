"""One account, strictly in order: open the venue, reconcile, then take orders and cancels as they come.

What the venue tells is booked beside that by a task of its own: booking is the same in any order, and an order must not
wait for it. Live, paper and backtest run this same loop; venue, journal, clock and lease differ.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
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
CROWDED_S = 2.0


class ReconcileNow:
    """Compare everything with the venue as soon as it is this item's turn."""


Action = PendingOrder | CancelWanted
News = UserEvent | ReconcileNow


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
        self._actions: deque[Action] = deque()
        self._news: deque[News] = deque()
        self._act_now, self._book_now = asyncio.Event(), asyncio.Event()
        self._failure: Exception | None = None
        self._offered: set[int] = set()
        self._cancels: dict[int, float] = {}
        self._stopping = asyncio.Event()
        self._reconcile_due = 0.0

    def offer(self, work: Action | ReconcileNow) -> None:
        """Queue work; an order or cancel that is queued already is not queued twice."""
        if isinstance(work, ReconcileNow):
            self._hear(work)
            return
        if isinstance(work, PendingOrder):
            if work.order_id in self._offered:
                return
            self._offered.add(work.order_id)
        else:
            if self._cancels.get(work.order_id, 0.0) > self._now_s():
                return
            self._cancels[work.order_id] = self._now_s() + CANCEL_RETRY_S
        self._actions.append(work)
        self._act_now.set()

    def stop(self) -> None:
        """Finish the order under way and leave; orders not yet claimed stay for the next owner."""
        self._stopping.set()
        self._act_now.set()
        self._book_now.set()

    async def run(self) -> None:
        """Raises LeaseLost; every other failure is this account's own: it recovers and goes on."""
        attempt = 0
        try:
            while not self._stopping.is_set():
                opened_at = self._now_s()
                try:
                    await self._session()
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
                    if self._now_s() - opened_at > self._policy.steady_s:
                        # What went well for so long and fails now is a new trouble.
                        attempt = 0
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
        self._failure = None
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._beside(self._pump))]
                try:
                    await self._stream_opens()
                    await self._reconcile()
                    beside.append(group.create_task(self._beside(self._keep_books)))
                    await self._act()
                finally:
                    for task in beside:
                        task.cancel()
        except BaseExceptionGroup as broken:
            raise broken.exceptions[0] from None

    async def _beside(self, work: Callable[[], Awaitable[None]]) -> None:
        """A failure beside the orders ends the session after the order under way, never in the middle of it."""
        try:
            await work()
        except Exception as error:
            self._failure = error
            self._act_now.set()
            self._book_now.set()

    async def _stream_opens(self) -> None:
        """Let the private stream connect first: then one reconciliation covers all that came before it."""
        try:
            async with asyncio.timeout(self._policy.connect_wait_s):
                while not self._stopping.is_set() and self._failure is None:
                    self._book_now.clear()
                    opened = next((item for item in self._news if isinstance(item, StreamStatus)), None)
                    if opened is not None:
                        self._news.remove(opened)
                        return
                    await self._book_now.wait()
        except TimeoutError:
            return

    # -- orders and cancels --------------------------------------------------------------------------------------

    async def _act(self) -> None:
        """One after the other, as they came."""
        await self._tell(EngineState.RUNNING)
        while not self._stopping.is_set():
            if self._failure is not None:
                raise self._failure
            if not self._actions:
                self._act_now.clear()
                await self._act_now.wait()
                continue
            match self._actions.popleft():
                case PendingOrder() as order:
                    await self._send(order)
                case CancelWanted() as wanted:
                    await self._cancel(wanted)

    async def _send(self, order: PendingOrder) -> None:
        try:
            unknown = await self._sender.send(order)
        finally:
            self._offered.discard(order.order_id)
        if unknown is not None:
            self._recovery.follow(unknown)
            self._book_now.set()

    async def _cancel(self, wanted: CancelWanted) -> None:
        try:
            if await self._recovery.cancel(wanted.order_hash, wanted.order_id):
                self._cancels.pop(wanted.order_id, None)
        except VenueError as error:
            logger.info("A cancel has no answer", extra={"order": wanted.order_id, "code": error.code})

    # -- what the venue tells ------------------------------------------------------------------------------------

    async def _keep_books(self) -> None:
        """Book events, look up what is unknown, and reconcile when it is time."""
        while True:
            if self._news:
                await self._book(self._news.popleft())
            else:
                self._book_now.clear()
                wait = max(0.0, self._reconcile_due - self._now_s())
                due = self._recovery.next_due_s()
                await _wait(self._book_now, wait if due is None else min(wait, due))
            await self._recovery.look_up_due()
            if self._now_s() >= self._reconcile_due:
                await self._reconcile_again()

    async def _book(self, news: News) -> None:
        match news:
            case VenueTrade():
                trades = [news, *self._more_trades()]
                await self._journal.trades(self.account_id, trades)
                if any(trade.status is TradeStatus.FAILED for trade in trades):
                    # What became of its order, only the venue can tell.
                    self._reconcile_due = 0.0
            case StreamStatus():
                # What happened while the stream was away is only known by asking.
                if news.connected:
                    await self._reconcile_again()
            case ReconcileNow():
                await self._reconcile_again()
            case _:
                seen = OrderSeen(news.order_hash, news.status, news.trade_ids, news.matched_share_units)
                await self._journal.seen(self.account_id, [seen])

    def _more_trades(self) -> list[VenueTrade]:
        """Trades that wait right behind this one: they are booked together."""
        trades: list[VenueTrade] = []
        while self._news and isinstance(self._news[0], VenueTrade):
            trades.append(self._news.popleft())  # type: ignore[arg-type]
        return trades

    def _hear(self, news: News) -> None:
        self._news.append(news)
        self._book_now.set()

    async def _reconcile(self) -> None:
        await self._recovery.reconcile()
        # The first wait differs by account, so that those of one shard do not all come due together.
        share = 1.0 if self._reconcile_due else 0.5 + self.account_id.int % 1000 / 2000
        self._reconcile_due = self._now_s() + self._policy.reconcile_every_s * share
        await self._journal.state(self.account_id, self.state, detail=self.detail, reconciled=True)

    async def _reconcile_again(self) -> None:
        """Looking back may wait its turn: orders go on while the venue's rate limit has no room for it."""
        try:
            await self._reconcile()
        except Unavailable as error:
            if error.code != "RATE_LIMITED":
                raise
            self._reconcile_due = self._now_s() + max(error.retry_after_s or 0.0, CROWDED_S)

    async def _pump(self) -> None:
        """Own events of the venue, in the order they come."""
        async with aclosing(self._venue.user_events()) as events:  # type: ignore[type-var]
            async for event in events:
                self._hear(event)

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
