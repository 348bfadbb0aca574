"""What the venue says about a market, parsed: the adapter makes these, the catalogue stores them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum


class Resolution(StrEnum):
    """How far the answer is. Only RESOLVED and SETTLED are final; the order of the words says nothing."""

    NONE = "none"
    REQUESTED = "requested"
    PROPOSED = "proposed"
    DISPUTED = "disputed"
    RESOLVED = "resolved"
    SETTLED = "settled"


FINAL = frozenset({Resolution.RESOLVED, Resolution.SETTLED})


@dataclass(frozen=True, slots=True)
class OutcomeFacts:
    token_id: str
    outcome: str
    outcome_index: int


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """One market with its outcomes. `fee_rate` None means unknown (no order is sent), zero means free.

    `payout_of_first` is what a share of the first outcome pays once resolved; None while open and where unknown.
    """

    condition_id: str
    outcomes: tuple[OutcomeFacts, ...]
    slug: str = ""
    question: str = ""
    category: str = ""
    event_id: str = ""
    event_slug: str = ""
    event_title: str = ""
    neg_risk: bool = False
    tick_size: Decimal = Decimal("0.01")
    min_order_shares: Decimal = Decimal(5)
    fee_rate: Decimal | None = None
    fee_exponent: int = 1
    fee_taker_only: bool = True
    active: bool = True
    closed: bool = False
    accepting_orders: bool = True
    ends_at: datetime | None = None
    rules: str = ""
    group_title: str = ""
    neg_risk_group: str = ""
    resolution: Resolution = Resolution.NONE
    payout_of_first: Decimal | None = None
    # The first outcome's price as the listing has it, minutes old: to look at, never to act on.
    listed_price: Decimal | None = None
    volume_usdc: Decimal | None = None
    volume_24h_usdc: Decimal | None = None
    liquidity_usdc: Decimal | None = None
    taker_delay_s: int = 0


@dataclass(frozen=True, slots=True)
class MarketPage:
    """One page of the venue's listing; an empty `next_cursor` is the end. `unreadable` rows were left out."""

    markets: tuple[MarketFacts, ...]
    next_cursor: str = ""
    unreadable: int = 0


def listed_price(*, closed: bool, prices: list[str]) -> Decimal | None:
    """The listing's price of the first outcome, four decimals; None where it says nothing believable."""
    pair = None if closed else _pair(prices)
    if pair is None:
        return None
    first, second = pair
    believable = 0 < first < 1 and abs(first + second - 1) <= Decimal("0.05")
    return first.quantize(Decimal("0.0001")) if believable else None


def payout_of_first(*, closed: bool, resolution: Resolution, prices: list[str]) -> Decimal | None:
    """What the first outcome pays, from the prices of a closed and resolved market.

    Only a pair that adds up to one is a result: old markets say ["0", "0"], which is unknown and not "No".
    """
    pair = _pair(prices) if closed and resolution in FINAL else None
    if pair is None:
        return None
    first, second = pair
    return first if first + second == 1 and first in (Decimal(0), Decimal("0.5"), Decimal(1)) else None


def _pair(prices: list[str]) -> tuple[Decimal, Decimal] | None:
    """Two finite numbers; None for anything else."""
    try:
        first, second = (Decimal(price) for price in prices)
    except (ValueError, InvalidOperation):
        return None
    return (first, second) if first.is_finite() and second.is_finite() else None
