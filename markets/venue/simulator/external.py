"""Taking liquidity from a book that somebody else publishes: paper trading and replays."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from markets.domain import fees
from markets.domain.book import Book
from markets.venue.ports import OrderType, Side
from markets.venue.simulator.orders import OrderRejected, lot_units
from polyhub.lib import money


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    rate: Decimal
    exponent: int = 1


@dataclass(frozen=True, slots=True)
class BookFill:
    """Shares taken from one level, with what they cost and the taker's fee, base units."""

    price_units: int
    share_units: int
    cost_units: int
    fee_units: int


def take_from_book(
    book: Book, side: Side, limit_price_units: int, amount_units: int, order_type: OrderType, fee: FeeSchedule
) -> Sequence[BookFill]:
    """What a taker would get from this book, which is left unchanged.

    `amount_units` is cash for a FOK or FAK BUY and shares otherwise. Raises OrderRejected when FOK cannot be filled
    whole or FAK finds nothing; GTC and GTD give what is marketable, possibly nothing.
    """
    by_cash = side is Side.BUY and order_type in (OrderType.FOK, OrderType.FAK)
    fills: list[BookFill] = []
    left = amount_units
    for price, size in book.levels(Side.SELL if side is Side.BUY else Side.BUY):
        if price > limit_price_units if side is Side.BUY else price < limit_price_units:
            break
        shares = min(size, left * money.PRICE_UNITS // price if by_cash else left)
        shares -= shares % lot_units(price)
        if shares <= 0:
            continue
        cost = shares * price // money.PRICE_UNITS
        charged = fees.fee_units(share_units=shares, price_units=price, rate=fee.rate, exponent=fee.exponent)
        fills.append(BookFill(price, shares, cost, charged))
        left -= cost if by_cash else shares
    dust = lot_units(fills[-1].price_units) if fills else 0
    unfilled = left * money.PRICE_UNITS // fills[-1].price_units if fills and by_cash else left
    if order_type is OrderType.FOK and (not fills or unfilled >= dust):
        raise OrderRejected(
            "order couldn't be fully filled. FOK orders are fully filled or killed.", code="FOK_NOT_FILLED"
        )
    if order_type is OrderType.FAK and not fills:
        raise OrderRejected("no orders found to match with FAK order.", code="FAK_NOT_FILLED")
    return fills
