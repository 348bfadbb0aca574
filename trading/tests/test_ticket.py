"""What the ticket says an order would do is what walking the book does, to the last unit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain.book import Book
from markets.venue.ports import OrderType, Side
from trading.domain import ticket
from trading.domain.ticket import Preview

D = Decimal


def book() -> Book:
    made = Book()
    made.replace(bids=[(4800, 100_000_000), (4700, 50_000_000)], asks=[(5200, 10_000_000), (5300, 100_000_000)])
    return made


def asked(price: str, shares: str, side: Side = Side.BUY, kind: OrderType = OrderType.GTC, **how: object) -> Preview:
    terms: dict[str, object] = {"book": book(), "doubt": "", "fee_rate": D("0.05")} | how
    return ticket.preview(side=side, order_type=kind, price=D(price), shares=D(shares), **terms)  # type: ignore[arg-type]


def test_a_limit_order_takes_what_is_there_and_rests_with_the_remainder() -> None:
    found = asked("0.52", "25")
    assert (found.takes_shares, found.rests_shares, found.lapses_shares) == (10, 15, 0)
    assert (found.cost_usdc, found.rest_usdc, found.slippage) == (D("5.2"), D("7.80"), 0)
    assert found.problem == ""


def test_an_immediate_order_lets_the_remainder_lapse() -> None:
    found = asked("0.52", "25", kind=OrderType.FAK)
    assert (found.takes_shares, found.rests_shares, found.lapses_shares) == (10, 0, 15)


def test_a_sale_brings_its_proceeds_less_the_fee() -> None:
    found = asked("0.47", "120", side=Side.SELL)
    assert found.cost_usdc == 100 * D("0.48") + 20 * D("0.47")
    assert found.fee_usdc is not None
    assert found.total_usdc == found.cost_usdc - found.fee_usdc
    assert found.gain_if_right_usdc is None


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (asked("0.53", "25", doubt="CROSSED"), "BOOK_UNTRUSTED"),
        (asked("0.53", "25", fee_rate=None), "FEE_UNKNOWN"),
        (asked("0.63", "25"), "PRICE_FAR_FROM_BOOK"),
        (asked("0.62", "25"), ""),
        (asked("0.37", "25", side=Side.SELL), "PRICE_FAR_FROM_BOOK"),
        (asked("0.01", "25"), ""),
        (asked("0.53", "25", post_only=True), "POST_ONLY_CROSSES"),
        (asked("0.51", "25", post_only=True), ""),
        (asked("0.53", "111", kind=OrderType.FOK), "FOK_NOT_FILLED"),
        (asked("0.51", "1", kind=OrderType.FAK), "FAK_NOT_FILLED"),
        (asked("0.99", "1", book=Book()), ""),
    ],
)
def test_each_reason_not_to_place_it_has_its_code(found: Preview, problem: str) -> None:
    assert found.problem == problem


@given(st.integers(1, 9_999), st.integers(1, 200_000_000), st.sampled_from(Side), st.sampled_from(OrderType))
def test_nothing_is_lost_and_no_price_is_worse_than_accepted(
    price: int, shares: int, side: Side, kind: OrderType
) -> None:
    limit = D(price) / 10_000
    found = asked(str(limit), str(D(shares) / 10**6), side=side, kind=kind)
    assert found.takes_shares + found.rests_shares + found.lapses_shares == found.shares
    if found.worst_price is not None:
        assert found.worst_price <= limit if side is Side.BUY else found.worst_price >= limit
        # A cost is rounded against the taker by less than one unit.
        exact = found.takes_shares * limit
        assert found.cost_usdc < exact + D("0.000001") if side is Side.BUY else found.cost_usdc > exact - D("0.000001")
