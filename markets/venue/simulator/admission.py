"""What the venue refuses before and after matching is planned. Wording as the venue's own (it is matched by text)."""

from dataclasses import dataclass

from markets.venue.ports import OrderType, Side
from markets.venue.simulator.ledger import Holdings
from markets.venue.simulator.orders import Leg, MarketSpec, NewOrder, OrderRejected
from polyhub.lib import money


@dataclass(frozen=True, slots=True)
class Believed:
    """What the venue believes a wallet may spend on an order, where that differs from what it owns."""

    owned: int
    allowed: int


_MIN_EXPIRY_S = 180
_MIN_BUY_UNITS = money.UNITS
_CENT_SHARE = 10_000  # 0.01 share or dollar in base units
_FOUR_DECIMALS = 100


def check_terms(new: NewOrder, market: MarketSpec, *, now_ms: int, exempt: bool) -> int:
    """Check amounts, tick, size and expiry of an order by itself; gives its price in 1/10,000. Raises OrderRejected."""
    if min(new.maker_units, new.taker_units) <= 0:
        raise OrderRejected("Invalid order payload", code="INVALID_PAYLOAD")
    price = implied_price(new, market.tick_units)
    if price is None:
        raise OrderRejected(
            f"order {new.order_hash} is invalid. Reason: breaks minimum tick size rule: "
            f"{money.price_from_units(market.tick_units)}",
            code="TICK_SIZE",
        )
    if new.post_only and not new.rests:
        raise OrderRejected("Invalid order payload", code="INVALID_PAYLOAD")
    _check_expiry(new, now_ms)
    if not exempt:
        _check_sizes(new, market)
    return price


def implied_price(new: NewOrder, tick_units: int) -> int | None:
    """The price on the grid that the two amounts mean, or None. Market orders may be cut by up to 0.001 share."""
    exact = new.cash_units * money.PRICE_UNITS
    price = tick_units * ((2 * exact + new.share_units * tick_units) // (2 * new.share_units * tick_units))
    if not tick_units <= price <= money.PRICE_UNITS - tick_units:
        return None
    slack = money.PRICE_UNITS if new.rests else price * 1_000
    return price if abs(exact - price * new.share_units) <= slack else None


def check_matches(new: NewOrder, legs: list[Leg], *, price: int, complete: bool, exempt: bool) -> None:
    """Check what an order would match: post-only, fill-or-kill, the one dollar minimum. Raises OrderRejected."""
    if new.post_only and legs:
        raise OrderRejected("invalid post-only order: order crosses book", code="POST_ONLY_CROSSES")
    if new.order_type is OrderType.FOK and not complete:
        raise OrderRejected(
            "order couldn't be fully filled. FOK orders are fully filled or killed.", code="FOK_NOT_FILLED"
        )
    if new.order_type is OrderType.FAK and not legs:
        raise OrderRejected(
            "no orders found to match with FAK order. FAK orders are partially filled or killed if no match is found.",
            code="FAK_NOT_FILLED",
        )
    worth = price * new.share_units // money.PRICE_UNITS if new.rests else new.cash_units
    if new.side is Side.BUY and legs and worth < _MIN_BUY_UNITS and not exempt:
        raise OrderRejected(
            f"invalid amount for a marketable BUY order (${money.from_units(worth)}), min size: $1", code="MIN_AMOUNT"
        )


def check_funds(
    new: NewOrder, legs: list[Leg], holdings: Holdings, *, price: int, believed: Believed | None = None
) -> None:
    """Everything the order may take must be owned, unreserved and allowed. Raises OrderRejected."""
    if new.side is Side.SELL:
        owned = holdings.free_shares(new.token_id)
        allowed = owned if holdings.shares_approved else 0
        needed = new.maker_units
    else:
        matched = sum(leg.share_units for leg in legs)
        rest = max(new.share_units - matched, 0) if new.rests else 0
        spent = sum(leg.cost_units + leg.fee_units for leg in legs) - (-rest * price // money.PRICE_UNITS)
        needed = max(spent, new.maker_units)
        owned, allowed = holdings.free_cash, holdings.cash_allowance
    if believed is not None:
        owned, allowed = min(owned, believed.owned), min(allowed, believed.allowed)
    if needed > min(owned, allowed):
        raise OrderRejected(
            f"not enough balance / allowance: balance: {owned}, allowance: {min(allowed, 2**63)}, "
            f"order amount: {needed}",
            code="NOT_ENOUGH_BALANCE",
        )


def _check_expiry(new: NewOrder, now_ms: int) -> None:
    gtd = new.order_type is OrderType.GTD
    if (gtd and new.expiration_s < now_ms // 1000 + _MIN_EXPIRY_S) or (not gtd and new.expiration_s):
        raise OrderRejected("invalid expiration", code="INVALID_EXPIRATION")


def _check_sizes(new: NewOrder, market: MarketSpec) -> None:
    if new.rests:
        if new.share_units < market.min_share_units:
            raise OrderRejected(
                f"order {new.order_hash} is invalid. Size ({money.from_units(new.share_units)}) lower than "
                f"the minimum: {money.from_units(market.min_share_units)}",
                code="MIN_SIZE",
            )
        if new.share_units % _CENT_SHARE:
            raise OrderRejected("invalid amounts, limit orders support sizes of at most 2 decimals", code="AMOUNTS")
        return
    if new.maker_units % _CENT_SHARE or (new.side is Side.BUY and new.taker_units % _FOUR_DECIMALS):
        raise OrderRejected(
            f"invalid amounts, the market {new.side.lower()} orders maker amount supports a max accuracy of "
            "2 decimals, taker amount a max of 4 decimals",
            code="AMOUNTS",
        )
