"""What an order would do to the book as it is shown now, and why it should not be placed."""

from dataclasses import dataclass, field
from decimal import Decimal

from markets.domain import fees
from markets.domain.book import Book
from markets.venue.amounts import IMMEDIATE
from markets.venue.ports import OrderType, Side
from polyhub.lib import money

# A price further from the book than this is a mistake: a spike trade has shown 95 cents over a book at 5.
MOST_AWAY = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class Preview:
    """`takes_shares` would trade at once for `cost_usdc` (BUY) or bring it (SELL); `rests_shares` would wait.

    `fee_usdc` is of what trades at once, None while the market's fee is unknown. `slippage` is the average price
    against the best one, in dollars per share, never negative. `problem` is a code; empty when it may be placed.
    """

    side: Side
    shares: Decimal
    takes_shares: Decimal = money.ZERO
    rests_shares: Decimal = money.ZERO
    lapses_shares: Decimal = money.ZERO
    cost_usdc: Decimal = money.ZERO
    rest_usdc: Decimal = money.ZERO
    average_price: Decimal | None = None
    best_price: Decimal | None = None
    worst_price: Decimal | None = None
    slippage: Decimal | None = None
    fee_usdc: Decimal | None = money.ZERO
    problem: str = ""
    numbers: dict[str, str] = field(default_factory=dict)

    @property
    def total_usdc(self) -> Decimal | None:
        """What leaves the account for a BUY, what arrives for a SELL, for what trades at once."""
        if self.fee_usdc is None:
            return None
        return self.cost_usdc + self.fee_usdc if self.side is Side.BUY else self.cost_usdc - self.fee_usdc

    @property
    def gain_if_right_usdc(self) -> Decimal | None:
        """For a BUY: a dollar a share, less what it cost."""
        total = self.total_usdc
        return None if total is None or self.side is Side.SELL else self.takes_shares - total


def preview(
    *,
    book: Book,
    doubt: str,
    side: Side,
    order_type: OrderType,
    price: Decimal,
    shares: Decimal,
    fee_rate: Decimal | None,
    fee_exponent: int = 1,
    post_only: bool = False,
) -> Preview:
    """Walk the book up to the worst accepted price. Pure; raises NotExact for a price finer than 1/10,000."""
    if doubt:
        return Preview(side, shares, problem="BOOK_UNTRUSTED", numbers={"doubt": doubt}, fee_usdc=None)
    limit, wanted = money.price_to_units(price), money.floor_units(shares)
    walk = book.walk(side.value, wanted, limit_price_units=limit)
    rest = money.from_units(wanted - walk.filled_units)
    waits = order_type not in IMMEDIATE
    opposite = book.best_ask if side is Side.BUY else book.best_bid
    best = None if opposite is None else money.price_from_units(opposite)
    average = walk.average_price if walk.filled_units else None
    fee: Decimal | None = None
    if fee_rate is not None:
        fee = money.from_units(_fee_units(book, side, walk.filled_units, limit, fee_rate, fee_exponent))
    problem, numbers = _problem(
        side, order_type, price, best, takes=walk.filled_units, missing=wanted - walk.filled_units, post_only=post_only
    )
    return Preview(
        side=side,
        shares=money.from_units(wanted),
        takes_shares=money.from_units(walk.filled_units),
        rests_shares=rest if waits else money.ZERO,
        lapses_shares=money.ZERO if waits else rest,
        cost_usdc=money.from_units(walk.cost_units),
        rest_usdc=rest * price if waits else money.ZERO,
        average_price=average,
        best_price=best,
        worst_price=money.price_from_units(walk.worst_price_units) if walk.filled_units else None,
        slippage=None if average is None or best is None else abs(average - best),
        fee_usdc=fee,
        problem=problem or ("FEE_UNKNOWN" if fee_rate is None else ""),
        numbers=numbers,
    )


def _problem(
    side: Side,
    order_type: OrderType,
    price: Decimal,
    best: Decimal | None,
    *,
    takes: int,
    missing: int,
    post_only: bool,
) -> tuple[str, dict[str, str]]:
    if best is not None:
        away = price - best if side is Side.BUY else best - price
        if away > MOST_AWAY:
            return "PRICE_FAR_FROM_BOOK", {"price": str(price), "best": str(best), "limit": str(MOST_AWAY)}
    if post_only and takes:
        return "POST_ONLY_CROSSES", {}
    if order_type is OrderType.FOK and missing:
        return "FOK_NOT_FILLED", {}
    if order_type is OrderType.FAK and not takes:
        return "FAK_NOT_FILLED", {}
    return "", {}


def _fee_units(book: Book, side: Side, share_units: int, limit: int, rate: Decimal, exponent: int) -> int:
    """Each level is a fill of its own, with its own fee."""
    total, left = 0, share_units
    for level_price, size in book.levels("SELL" if side is Side.BUY else "BUY"):
        worse = level_price > limit if side is Side.BUY else level_price < limit
        if left <= 0 or worse:
            break
        taken = min(left, size)
        left -= taken
        total += fees.fee_units(share_units=taken, price_units=level_price, rate=rate, exponent=exponent)
    return total
