"""What the venue says about a market, parsed: the adapter makes these, the catalogue stores them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class OutcomeFacts:
    token_id: str
    outcome: str
    outcome_index: int


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """One market with its outcomes. `fee_rate` None means unknown (no order is sent), zero means free."""

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
