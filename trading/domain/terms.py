"""The exact integers an order signs. They are fixed once, when the intent is stored."""

from decimal import Decimal
from uuid import UUID

from markets.venue import amounts
from markets.venue.ports import OrderType, Side
from polyhub.lib import money

# The venue accepts a JSON integer up to 2^53.
_SALT_MASK = (1 << 53) - 1


def signed_amounts(
    *, side: Side, order_type: OrderType, price: Decimal, shares: Decimal, tick: Decimal
) -> amounts.Amounts:
    """Maker and taker units of an order asked for in shares; raises amounts.BadAmounts with its code."""
    try:
        price_units, tick_units = money.price_to_units(price), money.price_to_units(tick)
    except money.NotExact as error:
        raise amounts.BadAmounts(str(error), code="PRICE_OFF_TICK") from None
    return amounts.order_amounts(
        side=side,
        order_type=order_type,
        price_units=price_units,
        share_units=money.floor_units(shares),
        tick_units=tick_units,
    )


def shares_of(pair: amounts.Amounts, side: Side) -> Decimal:
    return money.from_units(pair.taker_units if side is Side.BUY else pair.maker_units)


def cost_of(pair: amounts.Amounts, side: Side) -> Decimal:
    """pUSD spent at most by a BUY, received at least by a SELL."""
    return money.from_units(pair.maker_units if side is Side.BUY else pair.taker_units)


def salt(client_order_id: UUID) -> int:
    """Derived, not drawn: the same intent always signs the same bytes."""
    return client_order_id.int & _SALT_MASK
