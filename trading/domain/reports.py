"""What passes between the engine loop and its journal: orders to send, and what became of them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from markets.venue.amounts import IMMEDIATE
from markets.venue.ports import OrderTerms, VenueOrderStatus, VenueTrade
from polyhub.lib.errors import AppError


class LeaseLost(AppError):
    """This process no longer owns the service it writes for: it must stop at once."""

    code = "LEASE_LOST"


class AnswerKind(StrEnum):
    """NOT_SENT: proven that no attempt arrived. UNKNOWN: one may have."""

    ACCEPTED = "ACCEPTED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    NOT_SENT = "NOT_SENT"


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """An admitted order that has not left."""

    order_id: int
    account_id: UUID
    terms: OrderTerms
    verdict: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order that left and has no final word: SENT (unknown), live, or presumed not placed and watched."""

    order_id: int
    order_hash: str
    terms: OrderTerms
    sent_at: datetime
    attempts: int
    cancel_requested: bool
    wire: bytes = field(repr=False, default=b"")

    @property
    def immediate(self) -> bool:
        return self.terms.order_type in IMMEDIATE


@dataclass(frozen=True, slots=True)
class CancelWanted:
    """A live order somebody asked to cancel."""

    order_id: int
    order_hash: str


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What a reconciliation of one account has to look at."""

    unknown: tuple[SentOrder, ...]
    live: tuple[SentOrder, ...]
    watched: tuple[SentOrder, ...]
    trades_after: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """An order ready to leave: its hash and exact bytes go to disk before the wire."""

    order_id: int
    order_hash: str
    wire: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the venue said to one submission, or that it said nothing."""

    order_id: int
    kind: AnswerKind
    venue_status: VenueOrderStatus | None = None
    trade_ids: tuple[str, ...] = ()
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """An order as the venue showed it."""

    order_hash: str
    venue_status: VenueOrderStatus
    trade_ids: tuple[str, ...] = ()
    matched_share_units: int = 0


@dataclass(frozen=True, slots=True)
class SeenReport:
    """One order of one account, as the venue showed it."""

    account_id: UUID
    seen: OrderSeen


@dataclass(frozen=True, slots=True)
class TradeReport:
    """One fill of one account's order, as the venue reported it."""

    account_id: UUID
    trade: VenueTrade
