from typing import Any

import pytest

from markets.venue.ports import Side
from trading.signer import policy
from trading.tests.signing_desk import order_terms

LIMITS = policy.Policy(
    max_order_units=500_000_000, max_day_units=1_000_000_000, min_price_units=100, max_price_units=9900
)


def verdict(*, spent: int = 0, bid: int | None = None, limits: policy.Policy = LIMITS, **terms: Any) -> str | None:
    refusal = policy.check(
        order_terms(**terms),
        policy=limits,
        spent_today_units=spent,
        best_bid_units=bid,
    )
    return refusal.code if refusal else None


@pytest.mark.parametrize(
    ("price", "expected"),
    [(99, "PRICE_COLLAR"), (100, None), (5000, None), (9900, None), (9901, "PRICE_COLLAR"), (9999, "PRICE_COLLAR")],
)
@pytest.mark.parametrize("side", list(Side))
def test_prices_outside_the_collar_are_refused(price: int, expected: str | None, side: Side) -> None:
    assert verdict(price=price, side=side, bid=price) == expected


def test_the_price_is_that_of_the_signed_amounts_whatever_is_written_beside_them() -> None:
    assert verdict(price_units=5000, maker_units=9_999_000, taker_units=10_000_000) == "PRICE_COLLAR"


def test_amounts_cut_by_less_than_the_finest_tick_stay_inside_the_collar() -> None:
    # 9.90 dollars at 0.99 asks for 10 shares; cut to four decimals the implied price is a hair above.
    assert verdict(price=9900, maker_units=9_900_000, taker_units=9_999_900) is None


def test_an_order_above_its_limit_is_refused_and_one_at_it_is_not() -> None:
    assert verdict(price=5000, shares=1_000_000_000) is None
    assert verdict(price=5000, shares=1_000_010_000) == "ORDER_NOTIONAL"


def test_a_day_is_summed() -> None:
    assert verdict(price=5000, shares=1_000_000_000, spent=500_000_000) is None
    assert verdict(price=5000, shares=1_000_000_000, spent=500_000_001) == "DAY_NOTIONAL"


def test_a_sale_at_one_cent_counts_for_what_the_shares_are_worth() -> None:
    # 1,000 shares at a limit of 0.01 look like 10 dollars and give away 900.
    cheap: dict[str, Any] = {"price": 100, "shares": 1_000_000_000, "side": Side.SELL}
    assert verdict(**cheap, bid=9000) == "ORDER_NOTIONAL"
    assert verdict(**cheap, bid=5000) is None


def test_a_sale_without_a_fresh_bid_counts_a_full_dollar_a_share() -> None:
    assert verdict(price=100, shares=500_000_000, side=Side.SELL, bid=None) is None
    assert verdict(price=100, shares=500_010_000, side=Side.SELL, bid=None) == "ORDER_NOTIONAL"


@pytest.mark.parametrize(
    "fault",
    [
        {"maker_units": 0},
        {"taker_units": 0},
        {"maker_units": -1},
        {"taker_units": 2**62},
        {"salt": -1},
        {"salt": 2**53 + 1},
        {"timestamp_ms": -1},
        {"token_id": ""},
        {"token_id": "-1"},
        {"token_id": "0x1"},
        {"token_id": "٣"},
        {"token_id": str(2**256)},
        {"token_id": "1" * 5000},
    ],
)
def test_terms_that_are_no_order_are_refused(fault: dict[str, object]) -> None:
    refusal = policy.terms_fault(order_terms(**fault))  # type: ignore[arg-type]
    assert refusal is not None
    assert refusal.code == "BAD_TERMS"


def test_ordinary_terms_have_no_fault() -> None:
    assert policy.terms_fault(order_terms()) is None
