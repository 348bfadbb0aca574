"""What the simulator is given (markets, orders) and what it tells (orders, trades, book levels)."""

from dataclasses import dataclass, field
from decimal import Decimal
from math import gcd

from markets.venue.ports import OrderType, Side, TradeStatus, VenueOrderStatus
from polyhub.lib import money
from polyhub.lib.errors import AppError


class OrderRejected(AppError):
    """The order was not accepted; `message` is the venue's own wording."""

    code = "ORDER_REJECTED"


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """A binary market. Token and outcome 0 is the one the engine quotes in; token 1 mirrors it."""

    condition_id: str
    token_ids: tuple[str, str]
    tick_units: int = 100
    min_share_units: int = 5_000_000
    fee_rate: Decimal = money.ZERO
    fee_exponent: int = 1


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as signed. FOK and FAK BUY are bounded by cash (`maker_units`), every other order by shares.

    `order_hash` names it for ever: a second order with the same hash is refused as a duplicate. `builder_bps` of
    what it takes go to whoever built the order, on top of the market's fee.
    """

    order_hash: str
    wallet: str
    token_id: str
    side: Side
    order_type: OrderType
    maker_units: int
    taker_units: int
    expiration_s: int = 0
    post_only: bool = False
    builder_bps: int = 0

    @property
    def share_units(self) -> int:
        return self.taker_units if self.side is Side.BUY else self.maker_units

    @property
    def cash_units(self) -> int:
        return self.maker_units if self.side is Side.BUY else self.taker_units

    @property
    def rests(self) -> bool:
        return self.order_type in (OrderType.GTC, OrderType.GTD)

    @property
    def by_budget(self) -> bool:
        return self.side is Side.BUY and not self.rests


@dataclass(slots=True)
class Order:
    """An accepted order. `book_side` and `book_price` are its place in terms of token 0."""

    new: NewOrder
    condition_id: str
    price_units: int
    book_side: Side
    book_price: int
    created_ms: int
    remaining_units: int
    status: VenueOrderStatus = VenueOrderStatus.LIVE
    reason: str = ""
    matched_units: int = 0
    matched_cost_units: int = 0
    reserved_units: int = 0
    trade_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Leg:
    """One party of a fill, in the terms of its own token, side and price."""

    wallet: str
    order_hash: str
    token_id: str
    side: Side
    price_units: int
    share_units: int
    fee_units: int = 0

    @property
    def cost_units(self) -> int:
        """Always whole: shares are cut to lots of the price."""
        return self.price_units * self.share_units // money.PRICE_UNITS


@dataclass(slots=True)
class Trade:
    """A taker's fill at one price against one or more makers, and where its settlement stands.

    Its transaction fails `retries` times and is sent again; that of a `doomed` trade is given up then.
    """

    trade_id: str
    condition_id: str
    transaction_hash: str
    taker: Leg
    makers: tuple[Leg, ...]
    matched_ms: int
    status: TradeStatus = TradeStatus.MATCHED
    updated_ms: int = 0
    doomed: bool = False
    retries: int = 0


@dataclass(frozen=True, slots=True)
class LevelChanged:
    """New absolute size of a level of token 0; 0 removes it."""

    condition_id: str
    side: Side
    price_units: int
    share_units: int


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """`kind` is PLACEMENT, UPDATE or CANCELLATION."""

    order: Order
    kind: str


@dataclass(frozen=True, slots=True)
class TradeChanged:
    trade: Trade
    status: TradeStatus


ExchangeEvent = LevelChanged | OrderChanged | TradeChanged


def lot_units(price_units: int) -> int:
    """Smallest number of share units that costs a whole number of base units at this price (at most 0.01 share)."""
    return money.PRICE_UNITS // gcd(price_units, money.PRICE_UNITS)
