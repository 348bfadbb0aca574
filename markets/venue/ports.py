"""All the project knows of a venue. Amounts are integer base units (10^-6), prices integer 1/10,000."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """GTC and GTD rest in the book; FOK and FAK never do."""

    GTC = "GTC"
    GTD = "GTD"
    FOK = "FOK"
    FAK = "FAK"


class VenueOrderStatus(StrEnum):
    LIVE = "LIVE"
    MATCHED = "MATCHED"
    DELAYED = "DELAYED"
    UNMATCHED = "UNMATCHED"
    CANCELED = "CANCELED"
    INVALID = "INVALID"


class TradeStatus(StrEnum):
    """MATCHED is provisional, CONFIRMED final, FAILED means the fill did not happen."""

    MATCHED = "MATCHED"
    MINED = "MINED"
    RETRYING = "RETRYING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """Everything an order says, signed or wire-only. The same terms always give the same order hash.

    BUY: maker_units is pUSD spent at most, taker_units the shares received. SELL: the reverse.
    """

    client_order_id: UUID
    token_id: str
    side: Side
    order_type: OrderType
    price_units: int
    share_units: int
    maker_units: int
    taker_units: int
    salt: int
    timestamp_ms: int
    neg_risk: bool = False
    expiration_s: int = 0
    post_only: bool = False


@dataclass(frozen=True, slots=True)
class ApprovedOrder:
    """Terms that passed the risk gate; `Venue.prepare` takes nothing else."""

    terms: OrderTerms
    verdict: str
    fencing_token: int
    service: str


@dataclass(frozen=True, slots=True)
class PreparedOrder:
    """Ready to leave: its hash is known before it does. `wire` are the exact bytes, empty for a simulator."""

    terms: OrderTerms
    order_hash: str
    wire: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """One fill of one of our own orders. `trade_id` with `order_hash` names it; it is sent once per status.

    `fee_units` in pUSD. A maker's fill is given for the maker's own token, side, price and size.
    """

    trade_id: str
    order_hash: str
    token_id: str
    side: Side
    price_units: int
    share_units: int
    fee_units: int
    is_maker: bool
    status: TradeStatus
    venue_at: datetime
    transaction_hash: str = ""


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue holds it."""

    order_hash: str
    token_id: str
    side: Side
    order_type: OrderType
    price_units: int
    share_units: int
    matched_share_units: int
    status: VenueOrderStatus
    trade_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubmitReport:
    """The venue's answer to a submission; `trades` only where the venue tells them at once (simulator)."""

    order_hash: str
    status: VenueOrderStatus
    trade_ids: tuple[str, ...] = ()
    trades: tuple[VenueTrade, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class CancelReport:
    """`canceled` is true only when the venue says so; `reason` is its word otherwise."""

    order_hash: str
    canceled: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Balances:
    """What the venue says the account owns: pUSD and shares per token, base units."""

    cash_units: int
    allowance_units: int
    shares: dict[str, int]


@dataclass(frozen=True, slots=True)
class VenueCheck:
    """One thing an account needs before it can trade: is it so, and if not, the code and the venue's words.

    `ok` is None when it could not be looked at.
    """

    name: str
    ok: bool | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """A private stream connected or was lost; after each connect the caller reconciles."""

    connected: bool
    reason: str = ""


UserEvent = VenueTrade | VenueOrder | StreamStatus


class Venue(Protocol):
    """One trading account at one venue. Two implementations: polymarket and simulator (paper, backtest)."""

    name: str

    async def open(self) -> None:
        """Prove that the account can trade: credentials, balance, allowances. Raises Refused with the first fault."""

    async def prepare(self, order: ApprovedOrder) -> PreparedOrder:
        """Build and sign. Deterministic: the same terms give the same hash. Raises Refused."""

    async def send(self, prepared: PreparedOrder) -> SubmitReport:
        """Submit exactly `prepared.wire`. Raises Refused, Unavailable or OutcomeUnknown."""

    async def cancel(self, order_hash: str) -> CancelReport: ...

    async def order_by_hash(self, order_hash: str) -> VenueOrder | None:
        """None only when the venue answered that it does not know the order."""

    async def open_orders(self) -> Sequence[VenueOrder]: ...

    async def trades(self, *, after: datetime) -> Sequence[VenueTrade]: ...

    async def balances(self, token_ids: Sequence[str]) -> Balances: ...

    def user_events(self) -> AsyncIterator[UserEvent]:
        """Own orders and trades as they happen; reconnects by itself, each time announcing StreamStatus."""

    async def close(self) -> None: ...


class BookLevel(msgspec.Struct, frozen=True, gc=False):
    price_units: int
    share_units: int


class BookSnapshot(msgspec.Struct, frozen=True):
    """A whole book. Both sides best first."""

    token_id: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    venue_ms: int
    received_ms: int
    tick_units: int = 100
    min_share_units: int = 5_000_000
    # The venue's checksum of this book, and whether what was read gives the same; None where it was not told.
    hash: str = ""
    is_hash_right: bool | None = None


class LevelChange(msgspec.Struct, frozen=True, gc=False):
    """The new absolute size of one level; 0 removes it."""

    token_id: str
    side: Side
    price_units: int
    share_units: int
    venue_ms: int
    received_ms: int = 0


class BestTold(msgspec.Struct, frozen=True, gc=False):
    """What the venue says the best prices are once the changes just told are in; None is an empty side."""

    token_id: str
    bid_units: int | None
    ask_units: int | None
    venue_ms: int
    hash: str = ""


class TickChange(msgspec.Struct, frozen=True, gc=False):
    token_id: str
    tick_units: int
    venue_ms: int


class LastTrade(msgspec.Struct, frozen=True, gc=False):
    token_id: str
    side: Side
    price_units: int
    share_units: int
    venue_ms: int


class FeedStatus(msgspec.Struct, frozen=True):
    """The stream connected, was lost or went silent. `tokens` are those it concerns, None all of them."""

    connected: bool
    reason: str = ""
    tokens: tuple[str, ...] | None = None


class LeaderTradeSeen(msgspec.Struct, frozen=True):
    """One fill of one public wallet, as one source reported it. `traded_s` is the venue's own second."""

    wallet: str
    token_id: str
    condition_id: str
    side: Side
    price: str
    shares: str
    transaction_hash: str
    traded_s: int
    source: str
    received_ms: int
    title: str = ""
    slug: str = ""
    event_slug: str = ""
    outcome: str = ""
    outcome_index: int = 0


MarketEvent = BookSnapshot | LevelChange | BestTold | TickChange | LastTrade | FeedStatus
ActivityEvent = LeaderTradeSeen | FeedStatus
