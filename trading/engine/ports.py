"""What the engine loop needs besides the venue: a journal that remembers, a lease that may end, and its patience."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from markets.venue.ports import Balances, PreparedOrder, VenueTrade
from polyhub.lib.errors import AppError
from trading.domain.orders import EngineState, OrderStatus
from trading.domain.reports import Answer, OpenWork, OrderSeen, PendingOrder


class JournalUnavailable(AppError):
    """Nothing can be remembered now: nothing may be sent. What was asked may or may not be written."""

    code = "JOURNAL_UNAVAILABLE"
    http_status = 503


class Journal(Protocol):
    """What must survive this process. Two implementations: database and memory.

    Every method may raise JournalUnavailable; `claim` and `allow_resend` also LeaseLost.
    """

    async def claim(self, order: PendingOrder, prepared: PreparedOrder) -> bool:
        """Write hash and bytes; False when the order may not leave any more (its reason is then on record)."""

    async def deny(self, order: PendingOrder, *, code: str, message: str) -> None: ...

    async def answered(self, answer: Answer) -> None: ...

    async def allow_resend(self, order_id: int) -> bool:
        """Count one more sending of the same bytes; False when the order moved on or is to be canceled."""

    async def trades(self, account_id: UUID, trades: Sequence[VenueTrade]) -> int:
        """Book fills; the number that belongs to no order of ours."""

    async def seen(self, account_id: UUID, orders: Sequence[OrderSeen]) -> int:
        """Write orders as the venue shows them; the number that is not ours."""

    async def presume_not_placed(self, order_id: int, *, code: str) -> None: ...

    async def close(self, order_id: int, *, to: OrderStatus, code: str) -> None: ...

    async def open_work(self, account_id: UUID) -> OpenWork: ...

    async def balances(self, account_id: UUID, balances: Balances) -> None: ...

    async def state(self, account_id: UUID, state: EngineState, *, detail: str = "", reconciled: bool = False) -> None:
        """Tell people where the account's engine stands."""


class LeaseView(Protocol):
    """The right to act, as this process last knew it."""

    name: str
    token: int

    def alive(self) -> bool:
        """False as soon as the lease may have ended, by a clock that also runs while the process is stopped."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long to wait for what. All of it data, so that tests can be quick and operators can see it."""

    # An order may turn up at the venue this long after it was sent.
    horizon: timedelta = timedelta(seconds=120)
    # Waits between look-ups of an order without an answer; the last one repeats.
    lookups_s: tuple[float, ...] = (0.3, 0.7, 1, 2, 4, 8, 15)
    # Waits before the same bytes are sent again when no attempt arrived.
    send_backoff_s: tuple[float, ...] = (0.2, 0.5, 1, 2, 4)
    immediate_patience: timedelta = timedelta(seconds=10)
    resting_patience: timedelta = timedelta(seconds=60)
    max_resends: int = 3
    # A live order missing from the venue's list is looked up this often before it counts as gone.
    missing_limit: int = 3
    reconcile_every_s: float = 60
    watch_every_s: float = 300
    # How long the first reconciliation waits for the private stream to connect.
    connect_wait_s: float = 3
    open_backoff_s: tuple[float, ...] = (0.5, 1, 2, 5, 10, 30)
    # A session that lasted longer than this starts the backoff over.
    steady_s: float = 60
    venue_timeout_s: float = 20

    def send_wait(self, attempt: int) -> float:
        return self.send_backoff_s[min(attempt, len(self.send_backoff_s) - 1)]

    def lookup_wait(self, attempt: int) -> float:
        return self.lookups_s[min(attempt, len(self.lookups_s) - 1)]

    def open_wait(self, attempt: int) -> float:
        return self.open_backoff_s[min(attempt, len(self.open_backoff_s) - 1)]
