"""What may be signed, as a pure rule. Nothing here trusts the engine's word for what an order costs."""

from dataclasses import dataclass

from markets.venue.ports import OrderTerms, Side
from polyhub.lib.money import PRICE_UNITS, UNITS

MAX_AMOUNT_UNITS = 2**62
MAX_SALT = 2**53


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of one account; amounts in base units of pUSD, prices in 1/10,000."""

    max_order_units: int
    max_day_units: int
    min_price_units: int
    max_price_units: int


@dataclass(frozen=True, slots=True)
class Refusal:
    code: str
    message: str


def terms_fault(terms: OrderTerms) -> Refusal | None:
    """Terms that cannot be an order at all."""
    for name in ("maker_units", "taker_units"):
        if not 0 < getattr(terms, name) < MAX_AMOUNT_UNITS:
            return Refusal("BAD_TERMS", f"{name} must be above zero.")
    if not 0 <= terms.salt <= MAX_SALT or not 0 <= terms.timestamp_ms < MAX_AMOUNT_UNITS:
        return Refusal("BAD_TERMS", "salt or timestamp is out of range.")
    token = terms.token_id
    if not (token.isascii() and token.isdigit() and len(token) <= 78 and int(token) < 2**256):
        return Refusal("BAD_TERMS", "token_id must be a decimal number of 256 bits.")
    return None


def worst_notional_units(terms: OrderTerms, *, best_bid_units: int | None) -> int:
    """The most this order can move, in base units.

    BUY: all it may spend. SELL: its shares at the better of its limit and the best bid, because a sale limited to
    0.01 still gives away shares worth 0.90; without a fresh bid every share counts as a full dollar.
    """
    if terms.side is Side.BUY:
        return terms.maker_units
    by_bid = -(-terms.maker_units * best_bid_units // PRICE_UNITS) if best_bid_units else terms.maker_units
    return max(terms.taker_units, by_bid)


def check(terms: OrderTerms, *, policy: Policy, spent_today_units: int, best_bid_units: int | None) -> Refusal | None:
    """None when the order may be signed. The price is taken from the signed amounts, never from a field beside them."""
    usdc, shares = (
        (terms.maker_units, terms.taker_units) if terms.side is Side.BUY else (terms.taker_units, terms.maker_units)
    )
    # Cut amounts lift a market order's implied price by less than the finest tick: that much is allowed.
    if not (policy.min_price_units - 1) * shares < usdc * PRICE_UNITS < (policy.max_price_units + 1) * shares:
        low, high = policy.min_price_units / PRICE_UNITS, policy.max_price_units / PRICE_UNITS
        return Refusal("PRICE_COLLAR", f"The price is outside {low:.4f} to {high:.4f}.")
    notional = worst_notional_units(terms, best_bid_units=best_bid_units)
    if notional > policy.max_order_units:
        return Refusal("ORDER_NOTIONAL", f"notional={_dollars(notional)}, limit={_dollars(policy.max_order_units)}")
    if spent_today_units + notional > policy.max_day_units:
        numbers = f"today={_dollars(spent_today_units)}, notional={_dollars(notional)}"
        return Refusal("DAY_NOTIONAL", f"{numbers}, limit={_dollars(policy.max_day_units)}")
    return None


def _dollars(units: int) -> str:
    return f"{units // UNITS}.{units % UNITS:06d}"
