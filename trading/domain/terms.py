"""The exact integers an order signs. They are fixed once, when the intent is stored."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from markets.venue.ports import OrderType, Side
from polyhub.lib import money
from trading.domain.reserves import IMMEDIATE

# The venue accepts a JSON integer up to 2^53.
_SALT_MASK = (1 << 53) - 1
_CENT_UNITS = 10_000
_TAKER_STEP = 100


@dataclass(frozen=True, slots=True)
class Amounts:
    """BUY: `maker_units` is pUSD spent at most, `taker_units` the shares. SELL: the reverse."""

    maker_units: int
    taker_units: int

    def shares(self, side: Side) -> Decimal:
        return money.from_units(self.taker_units if side is Side.BUY else self.maker_units)

    def cost_usdc(self, side: Side) -> Decimal:
        return money.from_units(self.maker_units if side is Side.BUY else self.taker_units)


def amounts(*, side: Side, order_type: OrderType, price: Decimal, shares: Decimal) -> Amounts:
    """Whole cents of shares at a price on the grid. A market BUY spends whole cents and asks for 4 decimals of shares.

    Sizes only ever round down, so the order never costs more than was asked for.
    """
    price_units = money.price_to_units(price)
    share_units = money.floor_units(shares) // _CENT_UNITS * _CENT_UNITS
    usdc_units = price_units * share_units // money.PRICE_UNITS
    if side is Side.SELL:
        return Amounts(share_units, usdc_units)
    if order_type not in IMMEDIATE:
        return Amounts(usdc_units, share_units)
    spend = usdc_units // _CENT_UNITS * _CENT_UNITS
    return Amounts(spend, spend * money.PRICE_UNITS // price_units // _TAKER_STEP * _TAKER_STEP)


def salt(client_order_id: UUID) -> int:
    """Derived, not drawn: the same intent always signs the same bytes."""
    return client_order_id.int & _SALT_MASK


def on_grid(price: Decimal, tick: Decimal) -> bool:
    """Within [tick, 1 - tick] and a whole number of ticks."""
    return tick <= price <= 1 - tick and price % tick == 0
