"""What a tape consists of: markets, and what happened in them, in the order of `at_ms`.

Prices and sizes are exact decimals of dollars and shares as recorded; `at_ms` is the recorded unix time in milliseconds
(only differences between events matter: the sandbox replays them as if they happened now).
"""

from decimal import Decimal
from typing import Literal

import msgspec

SideText = Literal["BUY", "SELL"]


class MarketDef(msgspec.Struct, frozen=True, kw_only=True):
    """One binary market. `token_ids` and `outcomes` are in the venue's order (first, second).

    `first_price` is the last known price of the first outcome before the tape begins; the depth model quotes around it.
    A marketable order waits `seconds_delay` as status delayed (sports), or `taker_delay_ms` before it is answered.
    Markets with the same `neg_risk_market_id` share an event of which one outcome wins.
    """

    condition_id: str
    token_ids: tuple[str, str]
    outcomes: tuple[str, str] = ("Yes", "No")
    question: str = ""
    slug: str = ""
    event_id: str = ""
    event_slug: str = ""
    event_title: str = ""
    category: str = ""
    tick_size: Decimal = Decimal("0.01")
    min_order_size: Decimal = Decimal(5)
    neg_risk: bool = False
    fee_rate: Decimal = Decimal(0)
    fee_exponent: int = 1
    start_date: str = ""
    end_date: str = ""
    first_price: Decimal = Decimal("0.5")
    seconds_delay: int = 0
    taker_delay_ms: int = 0
    description: str = ""
    question_id: str = ""
    neg_risk_market_id: str = ""
    group_item_title: str = ""
    series: str = ""
    tags: tuple[str, ...] = ()


class LeaderTradeEvent(msgspec.Struct, frozen=True, kw_only=True, tag="leader_trade"):
    """A wallet took liquidity. `price` is the average price of the recorded fill and may lie off the tick grid.

    An empty `tx_hash` lets the sandbox make one up. Events with the same wallet, token, side and tx_hash are one order.
    """

    at_ms: int
    wallet: str
    token_id: str
    condition_id: str
    side: SideText
    price: Decimal
    size: Decimal
    tx_hash: str = ""
    name: str = ""
    pseudonym: str = ""


class BookEvent(msgspec.Struct, frozen=True, kw_only=True, tag="book"):
    """The whole public book of one token as recorded: (price, size) pairs, any order. Replaces the model's quotes."""

    at_ms: int
    token_id: str
    bids: tuple[tuple[Decimal, Decimal], ...] = ()
    asks: tuple[tuple[Decimal, Decimal], ...] = ()


class TickSizeEvent(msgspec.Struct, frozen=True, kw_only=True, tag="tick_size"):
    """The market's tick changed."""

    at_ms: int
    condition_id: str
    tick_size: Decimal


class ResolveEvent(msgspec.Struct, frozen=True, kw_only=True, tag="resolve"):
    """The market closed in favour of one token: open orders are cancelled, each winning share pays one dollar."""

    at_ms: int
    condition_id: str
    winning_token_id: str


TapeEvent = LeaderTradeEvent | BookEvent | TickSizeEvent | ResolveEvent


class Tape(msgspec.Struct, frozen=True, kw_only=True):
    """A named recording. `source` says where it is from and under which licence."""

    name: str
    markets: tuple[MarketDef, ...]
    events: tuple[TapeEvent, ...]
    source: str = ""
