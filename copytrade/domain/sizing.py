"""How much to buy or sell, in integers. Everything rounds against the order: never more than was asked or is owned."""

from decimal import ROUND_CEILING, Decimal

from copytrade.domain.rules import RATIO_UNITS, RuleTerms, Sizing
from polyhub.lib import money

LOT_UNITS = 10_000  # 0.01 share, the finest size the venue takes
MARKETABLE_MIN_UNITS = money.UNITS  # one dollar


def floor_lot(share_units: int) -> int:
    """Shares the venue accepts, rounded down to 0.01."""
    return max(share_units, 0) // LOT_UNITS * LOT_UNITS


def shares_for(cash_units: int, *, price_units: int) -> int:
    """The most whole lots that `cash_units` pays for at this price."""
    return floor_lot(max(cash_units, 0) * money.PRICE_UNITS // price_units)


def shares_covering(cash_units: int, *, price_units: int) -> int:
    """The fewest whole lots worth at least `cash_units` at this price."""
    shares = -(-max(cash_units, 0) * money.PRICE_UNITS // price_units)
    return -(-shares // LOT_UNITS) * LOT_UNITS


def before_fee(cash_units: int, *, fee_rate: Decimal, best_ask_units: int) -> int:
    """What of `cash_units` may be spent on shares so that the fee on top stays inside it.

    The fee of a dollar spent at price p is rate * (1 - p) (docs of the venue, exponent 1) and falls with p, so the
    best price on offer bounds it.
    """
    return int(max(cash_units, 0) / (1 + _most_fee(fee_rate, best_ask_units)))


def with_fee(cash_units: int, *, fee_rate: Decimal, best_ask_units: int) -> int:
    """The most that spending `cash_units` on shares can cost with the fee on top: `before_fee` the other way round."""
    cost = cash_units * (1 + _most_fee(fee_rate, best_ask_units))
    return int(cost.to_integral_value(rounding=ROUND_CEILING))


def _most_fee(fee_rate: Decimal, best_ask_units: int) -> Decimal:
    return fee_rate * (money.PRICE_UNITS - best_ask_units) / money.PRICE_UNITS


def wanted_shares(rule: RuleTerms, *, leader_share_units: int, limit_units: int) -> int:
    """What the rule asks for before any limit. FIXED is sized at the worst price, so its dollars are never exceeded."""
    if rule.sizing is Sizing.RATIO:
        return floor_lot(leader_share_units * rule.size_units // RATIO_UNITS)
    return shares_for(rule.size_units, price_units=limit_units)


def buy_limit(*, value_units: int, leader_share_units: int, rule: RuleTerms, tick_units: int) -> int:
    """The worst price to pay: the leader's plus the tolerance, on the tick grid, never above the rule's band.

    `value_units` is the sum of price (1/10,000) times shares (base units) of the leader's fills.
    0 when no price of the grid is allowed.
    """
    worst = value_units * (money.PRICE_UNITS + rule.slippage_units) // (leader_share_units * money.PRICE_UNITS)
    worst = min(worst, rule.max_price_units, money.PRICE_UNITS - tick_units)
    return worst // tick_units * tick_units


def sell_limit(*, price_units: int, slippage_units: int, tick_units: int) -> int:
    """The worst price to accept: `price_units` minus the tolerance, on the tick grid and inside it."""
    worst = -(-price_units * (money.PRICE_UNITS - slippage_units) // money.PRICE_UNITS)
    on_grid = -(-worst // tick_units) * tick_units
    return min(max(on_grid, tick_units), money.PRICE_UNITS - tick_units)


def owed_shares(*, free_units: int, sold_units: int, held_before_units: int | None) -> int:
    """How many of the booked shares a leader's sale obliges to sell: the same share of them as the leader sold.

    All of them when the leader's holding is unknown or was less than the sale: leaving is the safe reading.
    """
    if free_units <= 0:
        return 0
    if held_before_units is None or sold_units >= held_before_units:
        return free_units
    return free_units * sold_units // held_before_units
