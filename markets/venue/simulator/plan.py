"""What a taker's order would get from the book, before anything is moved."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from markets.domain import fees
from markets.venue.ports import Side
from markets.venue.simulator.orders import Leg, MarketSpec, Order, lot_units
from markets.venue.simulator.queue import OrderQueue
from polyhub.lib import money

_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Match:
    maker: Order
    share_units: int


@dataclass(frozen=True, slots=True)
class Group:
    """What the taker gets at one price, and from whom."""

    taker: Leg
    matches: list[Match]


def groups_of(spec: MarketSpec, queue: OrderQueue, order: Order) -> list[Group]:
    """One group per price, so that cost and fee of a trade follow from its size and price alone."""
    groups: list[Group] = []
    new = order.new
    for price, same_price in groupby(_matches(queue, order), key=lambda match: own_price(order, match.maker)):
        parts = list(same_price)
        shares = sum(part.share_units for part in parts)
        fee = fees.fee_units(share_units=shares, price_units=price, rate=spec.fee_rate, exponent=spec.fee_exponent)
        fee += price * shares * new.builder_bps // (money.PRICE_UNITS * _BPS)
        groups.append(Group(Leg(new.wallet, new.order_hash, new.token_id, new.side, price, shares, fee), parts))
    return groups


def _matches(queue: OrderQueue, order: Order) -> Iterator[Match]:
    shares, budget = order.remaining_units, order.new.cash_units
    buying = order.new.side is Side.BUY
    for maker in queue.against(order.book_side, order.book_price):
        price = own_price(order, maker)
        wanted = maker.remaining_units
        if not order.new.by_budget:
            wanted = min(wanted, shares)
        if buying:
            wanted = min(wanted, budget * money.PRICE_UNITS // price)
        wanted -= wanted % lot_units(price)
        if wanted <= 0:
            return
        yield Match(maker, wanted)
        shares -= wanted
        budget -= wanted * price // money.PRICE_UNITS


def is_complete(order: Order, legs: list[Leg]) -> bool:
    """Nothing tradable is left of the order: less than a lot, at most 0.01 share."""
    if not order.new.by_budget:
        return order.new.share_units - sum(leg.share_units for leg in legs) < lot_units(order.price_units)
    left = order.new.cash_units - sum(leg.cost_units for leg in legs)
    price = legs[-1].price_units if legs else order.price_units
    return left * money.PRICE_UNITS // price < lot_units(price)


def own_price(order: Order, maker: Order) -> int:
    """The maker's price in terms of the taker's token."""
    same = order.new.token_id == maker.new.token_id
    return maker.price_units if same else money.PRICE_UNITS - maker.price_units


def reserve_needed(order: Order) -> int:
    """What a resting order holds back: cash for BUY, shares for SELL."""
    if order.new.side is Side.SELL:
        return order.remaining_units
    return -(-order.remaining_units * order.price_units // money.PRICE_UNITS)
