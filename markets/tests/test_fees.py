from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.domain import fees


@pytest.mark.parametrize(
    ("shares", "price", "rate", "exponent", "expected"),
    [
        (100_000_000, 5_000, "0.07", 1, 1_750_000),  # 100 * 0.07 * 0.25
        (100_000_000, 9_900, "0.05", 1, 49_500),  # 100 * 0.05 * 0.0099
        (100_000_000, 5_000, "0.07", 2, 437_500),
        (100_000_000, 5_000, "0", 1, 0),
        (10_000, 5_000, "0.0006", 1, 0),  # 0.0000015 is under the smallest fee
        (1_230_000, 3_300, "0.05", 1, 13_600),  # 0.01359765 rounds to 0.01360
    ],
)
def test_fee_follows_the_published_formula(shares: int, price: int, rate: str, exponent: int, expected: int) -> None:
    got = fees.fee_units(share_units=shares, price_units=price, rate=Decimal(rate), exponent=exponent)
    assert got == expected


@given(st.integers(1, 10**12), st.integers(1, 9_999), st.decimals("0", "0.1", places=4))
def test_fee_is_within_half_a_step_of_the_exact_value(shares: int, price: int, rate: Decimal) -> None:
    p = Decimal(price) / 10_000
    exact = Decimal(shares) * rate * p * (1 - p)
    got = fees.fee_units(share_units=shares, price_units=price, rate=rate)
    assert got % 10 == 0
    assert got == 0 if exact < 10 else abs(got - exact) <= 5
