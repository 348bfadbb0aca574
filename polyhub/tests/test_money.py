from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhub.lib import money

amounts = st.decimals(min_value=0, max_value=10**9, places=6, allow_nan=False)


@given(amounts)
def test_units_round_trip_without_loss(amount: Decimal) -> None:
    assert money.from_units(money.to_units(amount)) == amount


def test_an_amount_finer_than_a_unit_is_refused_not_rounded() -> None:
    with pytest.raises(money.NotExact):
        money.to_units(Decimal("0.0000001"))
    with pytest.raises(money.NotExact):
        money.price_to_units(Decimal("0.00001"))


@given(amounts, st.sampled_from([Decimal("0.01"), Decimal("0.0025"), Decimal("0.1")]))
def test_floor_and_ceil_enclose_the_amount_by_less_than_a_step(amount: Decimal, step: Decimal) -> None:
    low, high = money.floor_to(amount, step), money.ceil_to(amount, step)
    assert low <= amount <= high
    assert high - low in {Decimal(0), step}


def test_notional_rounds_down() -> None:
    assert money.notional_units(price_units=3333, share_units=1_000_001) == 333_300
