"""Amounts equal the official client's on every tick, and keep the server's stricter rule for market buys."""

from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.orders.limit import _compute_limit_order_amounts
from polymarket._internal.actions.orders.market import _compute_market_order_amounts

from markets.tests import venue_strategies as some
from markets.venue import amounts
from markets.venue.ports import OrderType, Side
from polyhub.lib import money

UNITS = st.integers(1_000_000, 10**11)


def price(units: int) -> Decimal:
    return money.price_from_units(units).normalize()


@given(grid=some.grid_prices(), side=st.sampled_from(Side), share_units=UNITS)
@settings(max_examples=400, deadline=None)
def test_limit_amounts_equal_the_official_client(grid: tuple[int, int], side: Side, share_units: int) -> None:
    tick, at = grid
    ours = amounts.limit_amounts(side=side, price_units=at, share_units=share_units, tick_units=tick)
    theirs = _compute_limit_order_amounts(
        price=price(at), size=money.from_units(share_units), side=side.value, tick_size=price(tick)
    )
    assert (ours.maker_units, ours.taker_units) == theirs


@given(grid=some.grid_prices(), share_units=UNITS)
@settings(max_examples=400, deadline=None)
def test_market_sell_amounts_equal_the_official_client(grid: tuple[int, int], share_units: int) -> None:
    tick, at = grid
    ours = amounts.market_sell_amounts(price_units=at, share_units=share_units, tick_units=tick)
    theirs = _compute_market_order_amounts(
        amount=money.from_units(share_units), price=price(at), side="SELL", tick_size=price(tick)
    )
    assert (ours.maker_units, ours.taker_units) == theirs


@given(grid=some.grid_prices(), cash_units=UNITS)
@settings(max_examples=400, deadline=None)
def test_market_buy_amounts_equal_the_official_client_cut_to_four_decimals(
    grid: tuple[int, int], cash_units: int
) -> None:
    tick, at = grid
    theirs = _compute_market_order_amounts(
        amount=money.from_units(cash_units), price=price(at), side="BUY", tick_size=price(tick)
    )
    try:
        ours = amounts.market_buy_amounts(price_units=at, cash_units=cash_units, tick_units=tick)
    except amounts.BadAmounts:
        # Coarse share steps or tiny sizes: the cut would lift the price by a whole finest tick.
        assert theirs[0] * 10_000 >= (theirs[1] - theirs[1] % 100) * (at + 1)
        return
    assert (ours.maker_units, ours.taker_units) == (theirs[0], theirs[1] - theirs[1] % 100)


@given(grid=some.grid_prices(), cash_units=UNITS)
@settings(max_examples=400, deadline=None)
def test_a_market_buy_reaches_its_price_and_never_the_next_finest_one(grid: tuple[int, int], cash_units: int) -> None:
    tick, at = grid
    try:
        built = amounts.market_buy_amounts(price_units=at, cash_units=cash_units, tick_units=tick)
    except amounts.BadAmounts:
        assume(False)
    assert built.maker_units <= cash_units
    assert at * built.taker_units <= built.maker_units * 10_000 < (at + 1) * built.taker_units
    assert built.maker_units % 10_000 == 0
    assert built.taker_units % 100 == 0


def test_a_market_buy_asked_in_shares_spends_what_they_cost_at_most() -> None:
    built = amounts.order_amounts(
        side=Side.BUY, order_type=OrderType.FAK, price_units=3300, share_units=10_000_000, tick_units=100
    )
    assert built == amounts.Amounts(3_300_000, 10_000_000)


@pytest.mark.parametrize(
    ("tick", "at", "share_units", "code"),
    [
        (100, 5050, 5_000_000, "PRICE_OFF_TICK"),
        (100, 0, 5_000_000, "PRICE_OFF_TICK"),
        (100, 10_000, 5_000_000, "PRICE_OFF_TICK"),
        (100, 9950, 5_000_000, "PRICE_OFF_TICK"),
        (200, 5000, 5_000_000, "TICK_UNKNOWN"),
        (100, 5000, 9_999, "AMOUNT_TOO_SMALL"),
        (100, 5000, 0, "AMOUNT_TOO_SMALL"),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_its_reason(tick: int, at: int, share_units: int, code: str) -> None:
    with pytest.raises(amounts.BadAmounts) as refused:
        amounts.limit_amounts(side=Side.BUY, price_units=at, share_units=share_units, tick_units=tick)
    assert refused.value.code == code
