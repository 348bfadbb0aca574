"""One leader order, one follower: an order or a skip with its code and numbers. Pure, integers only.

Gates of an entry, in this order; the first that blocks names the skip:
RULE_PAUSED, TOO_OLD, MARKET_CLOSED, FEE_UNKNOWN, PRICE_BAND, BOOK_UNTRUSTED, ALREADY_ORDERED, BELOW_MINIMUM,
MAX_POSITION, SLIPPAGE.
An exit has one gate only (NO_SHARES_OF_LEADER): what holds it back afterwards is a reason to wait, never to skip.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from copytrade.domain import sizing
from copytrade.domain.rules import RuleStatus, RuleTerms, Sizing
from markets.domain.book import BUY, SELL, Book
from polyhub.lib import money

Numbers = Mapping[str, str]

# An exit keeps to the leader's price this often; afterwards it follows the best bid down.
# A trade printed this far from its book tells of a spike, not of a price to be had, whichever side it is on.
MAX_DIVERGENCE_UNITS = 1_000
PATIENT_ATTEMPTS = 3
BACKOFF_FIRST = timedelta(seconds=1)
BACKOFF_MOST = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class LeaderOrder:
    """The fills of one order of a leader. `value_units`: sum of price in 1/10,000 times shares in base units.

    `held_before_units` is what the leader held before the first of the fills, None when unknown.
    `seen_units` and `seen_value_units` belong to fills of the same order that were decided earlier.
    """

    side: str
    share_units: int
    value_units: int
    traded_at: datetime
    held_before_units: int | None = None
    seen_units: int = 0
    seen_value_units: int = 0

    @property
    def price(self) -> Decimal:
        """Average price, for numbers shown to people."""
        return (Decimal(self.value_units) / self.share_units / money.PRICE_UNITS).quantize(Decimal("0.0001"))

    @property
    def price_units(self) -> int:
        return self.value_units // self.share_units


@dataclass(frozen=True, slots=True)
class MarketTerms:
    tick_units: int
    min_share_units: int
    is_open: bool
    fee_rate: Decimal | None  # None: unknown, and nothing is ordered

    @property
    def is_fee_known(self) -> bool:
        return self.fee_rate is not None


@dataclass(frozen=True, slots=True)
class BookView:
    """The newest book of the token, or why it cannot be trusted."""

    book: Book | None
    reason: str = ""
    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """What one rule holds of one token. `held_units` are filled shares, `cost_units` what they cost.

    `buying_*` and `selling_units` belong to orders still under way; `ordered_units` are the shares already ordered for
    the very leader order that is being decided.
    """

    held_units: int = 0
    cost_units: int = 0
    buying_units: int = 0
    buying_cost_units: int = 0
    selling_units: int = 0
    ordered_units: int = 0
    obliged_units: int = 0
    sold_units: int = 0
    opened_at: datetime | None = None

    @property
    def owed_units(self) -> int:
        """Still to be sold because the leader sold, orders under way included."""
        return max(self.obliged_units - self.sold_units, 0)

    @property
    def free_units(self) -> int:
        """Booked (or about to be) and not owed yet."""
        return max(self.held_units + self.buying_units - self.owed_units, 0)


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """An order to send now; `price_units` is the worst price."""

    side: str
    price_units: int
    share_units: int
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Skip:
    code: str
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Owe:
    """The leader sold: this many more booked shares must be sold, now or later."""

    share_units: int
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Wait:
    """An exit cannot be sent now and is tried again."""

    code: str
    numbers: Numbers


def decide_entry(
    *, leader: LeaderOrder, rule: RuleTerms, market: MarketTerms, holding: Holding, view: BookView, now: datetime
) -> PlaceOrder | Skip:
    """Copy a leader's buy, or say which gate blocked."""
    blocked = _refuse_early(leader=leader, rule=rule, market=market, now=now)
    if blocked:
        return blocked
    limit = sizing.buy_limit(
        value_units=leader.value_units,
        leader_share_units=leader.share_units,
        rule=rule,
        tick_units=market.tick_units,
    )
    blocked = _refuse_price(leader, rule, limit)
    if blocked:
        return blocked
    if view.book is None:
        return Skip("BOOK_UNTRUSTED", {"reason": view.reason, "age_ms": str(view.age_ms)})
    sized = _size_entry(leader=leader, rule=rule, market=market, holding=holding, limit=limit, book=view.book)
    if isinstance(sized, Skip):
        return sized
    return _check_depth(leader, rule, view.book, limit=limit, share_units=sized)


def decide_exit(*, leader: LeaderOrder, holding: Holding) -> Owe | Skip:
    """What a leader's sale obliges this follower to sell: never more than is booked for this leader."""
    too_early = holding.opened_at is not None and leader.traded_at < holding.opened_at
    owed = (
        0
        if too_early
        else sizing.owed_shares(
            free_units=holding.free_units, sold_units=leader.share_units, held_before_units=leader.held_before_units
        )
    )
    numbers = {
        "leader_sold": _shares(leader.share_units),
        "leader_held": "unknown" if leader.held_before_units is None else _shares(leader.held_before_units),
        "booked": _shares(holding.held_units + holding.buying_units),
        "already_owed": _shares(holding.owed_units),
    }
    if owed <= 0:
        return Skip("NO_SHARES_OF_LEADER", numbers)
    return Owe(owed, {**numbers, "owed": _shares(owed), "leader_price": str(leader.price)})


def size_exit(
    *,
    holding: Holding,
    market: MarketTerms,
    view: BookView,
    slippage_units: int,
    leader_price_units: int | None,
    attempt: int,
) -> PlaceOrder | Wait:
    """The sale that is possible now of what is owed and held, or what it waits for."""
    available = holding.held_units - holding.selling_units
    to_sell = sizing.floor_lot(min(holding.owed_units - holding.selling_units, available))
    numbers = {"owed": _shares(holding.owed_units), "held": _shares(holding.held_units), "attempt": str(attempt + 1)}
    if to_sell <= 0:
        in_flight = holding.selling_units > 0 or holding.buying_units > 0
        return Wait("ORDER_UNDER_WAY" if in_flight else "NOTHING_TO_SELL", numbers)
    if not market.is_open:
        return Wait("MARKET_CLOSED", numbers)
    if not market.is_fee_known:
        return Wait("FEE_UNKNOWN", numbers)
    if view.book is None:
        return Wait("BOOK_UNTRUSTED", {**numbers, "reason": view.reason, "age_ms": str(view.age_ms)})
    patient_price = leader_price_units if attempt < PATIENT_ATTEMPTS else None
    limit = _exit_limit(view.book.best_bid, patient_price, slippage_units=slippage_units, tick_units=market.tick_units)
    numbers = {**numbers, "limit": _price(limit), "best_bid": _price(view.book.best_bid or 0)}
    if view.book.best_bid is None or view.book.best_bid < limit:
        return Wait("SLIPPAGE", numbers)
    return PlaceOrder(SELL, limit, to_sell, numbers)


def _exit_limit(best_bid: int | None, patient_price: int | None, *, slippage_units: int, tick_units: int) -> int:
    """Worst price of a sale: by the leader's price while patient, by the best bid afterwards."""
    reference = patient_price if patient_price is not None else best_bid
    if reference is None:
        return tick_units
    limit = sizing.sell_limit(price_units=reference, slippage_units=slippage_units, tick_units=tick_units)
    # A tolerance finer than one tick must still reach the bid it was derived from.
    return limit if patient_price is not None or best_bid is None else min(limit, best_bid)


def retry_delay(attempt: int) -> timedelta:
    """Doubles from one second to a minute; an exit never gives up."""
    doublings: int = 2 ** min(attempt, 10)
    return min(BACKOFF_FIRST * doublings, BACKOFF_MOST)


def _refuse_early(*, leader: LeaderOrder, rule: RuleTerms, market: MarketTerms, now: datetime) -> Skip | None:
    if rule.status is not RuleStatus.ACTIVE:
        return Skip("RULE_PAUSED", {"status": rule.status.value})
    age = now - leader.traded_at
    if age > timedelta(seconds=rule.max_age_s):
        return Skip("TOO_OLD", {"age_s": str(int(age.total_seconds())), "max_age_s": str(rule.max_age_s)})
    if not market.is_open:
        return Skip("MARKET_CLOSED", {})
    if not market.is_fee_known:
        return Skip("FEE_UNKNOWN", {})
    return None


def _refuse_price(leader: LeaderOrder, rule: RuleTerms, limit: int) -> Skip | None:
    low, high = rule.min_price_units * leader.share_units, rule.max_price_units * leader.share_units
    if low <= leader.value_units <= high and limit > 0:
        return None
    band = {"min_price": _price(rule.min_price_units), "max_price": _price(rule.max_price_units)}
    return Skip("PRICE_BAND", {"leader_price": str(leader.price), **band})


def _size_entry(
    *, leader: LeaderOrder, rule: RuleTerms, market: MarketTerms, holding: Holding, limit: int, book: Book
) -> int | Skip:
    total = sizing.wanted_shares(rule, leader_share_units=leader.share_units + leader.seen_units, limit_units=limit)
    wanted = sizing.floor_lot(total - holding.ordered_units)
    if wanted <= 0 < holding.ordered_units:
        return Skip("ALREADY_ORDERED", {"ordered_shares": _shares(holding.ordered_units)})
    minimum = max(rule.min_order_units, sizing.MARKETABLE_MIN_UNITS)
    shortage = {
        "min_usdc": _usdc(minimum),
        "min_shares": _shares(market.min_share_units),
        "price": _price(limit),
    }
    if _is_too_small(wanted, limit, minimum, market):
        return Skip(
            "BELOW_MINIMUM", {"wanted_shares": _shares(wanted), "wanted_usdc": _cost(wanted, limit), **shortage}
        )
    room = sizing.before_fee(
        rule.max_position_units - holding.cost_units - holding.buying_cost_units,
        fee_rate=market.fee_rate or money.ZERO,
        best_ask_units=book.best_ask or 0,
    )
    allowed = min(wanted, sizing.shares_for(room, price_units=limit))
    if allowed < wanted and _is_too_small(allowed, limit, minimum, market):
        return Skip(
            "MAX_POSITION",
            {
                "position_usdc": _usdc(holding.cost_units + holding.buying_cost_units),
                "max_position_usdc": _usdc(rule.max_position_units),
                "wanted_usdc": _cost(wanted, limit),
                **shortage,
            },
        )
    return allowed


def _check_depth(
    leader: LeaderOrder, rule: RuleTerms, book: Book, *, limit: int, share_units: int
) -> PlaceOrder | Skip:
    best_ask = book.best_ask
    if best_ask is not None and abs(best_ask - leader.price_units) > MAX_DIVERGENCE_UNITS:
        return Skip("BOOK_DIVERGED", {"leader_price": str(leader.price), "best_ask": _price(best_ask)})
    walk = book.walk(BUY, share_units, limit_price_units=limit)
    numbers = {
        "leader_price": str(leader.price),
        "leader_shares": _shares(leader.share_units + leader.seen_units),
        "limit": _price(limit),
        "best_ask": "none" if best_ask is None else _price(best_ask),
        "slippage": _price(rule.slippage_units),
        "available_shares": _shares(walk.filled_units),
    }
    if walk.filled_units <= 0:
        return Skip("SLIPPAGE", numbers)
    ordered = share_units
    if rule.sizing is Sizing.RATIO:
        # A market buy spends its dollars whatever it gets for them: name the dollars these shares cost now.
        cost = walk.cost_units + money.notional_units(price_units=limit, share_units=share_units - walk.filled_units)
        least = max(rule.min_order_units, sizing.MARKETABLE_MIN_UNITS)
        ordered = min(share_units, sizing.shares_covering(max(cost, least), price_units=limit))
    return PlaceOrder(BUY, limit, ordered, {**numbers, "shares": _shares(share_units)})


def _is_too_small(share_units: int, limit: int, minimum_units: int, market: MarketTerms) -> bool:
    worth = money.notional_units(price_units=limit, share_units=share_units)
    return worth < minimum_units or share_units < market.min_share_units


def _shares(units: int) -> str:
    return f"{money.from_units(units).normalize():f}"


def _usdc(units: int) -> str:
    return f"{money.from_units(units):.2f}"


def _cost(share_units: int, price_units: int) -> str:
    return _usdc(money.notional_units(price_units=price_units, share_units=share_units))


def _price(units: int) -> str:
    return f"{money.price_from_units(units).normalize():f}"
