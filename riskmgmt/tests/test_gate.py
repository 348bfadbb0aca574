"""The risk gate: each limit, in its order, with its numbers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.venue.ports import Side
from riskmgmt.domain.gate import Approved, Denied, DenyCode, Exposure, Intent, Limits, Verdict, check_order
from riskmgmt.domain.states import TradingState

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
D = Decimal
BUY = Intent(side=Side.BUY, price=D("0.5"), shares=D(20), cost_usdc=D(10), fee_usdc=D("0.5"))
SELL = Intent(side=Side.SELL, price=D("0.5"), shares=D(20), cost_usdc=D(10), fee_usdc=D(0))
RICH = Exposure(cash_usdc=D(1000), free_shares=D(100))
LIMITS = Limits(
    order_min_usdc=D(1),
    order_max_usdc=D(100),
    market_max_usdc=D(300),
    total_max_usdc=D(2000),
    max_open_orders=50,
    daily_loss_usdc=D(200),
)


def check(intent: Intent = BUY, exposure: Exposure = RICH, limits: Limits = LIMITS) -> Verdict:
    return check_order(intent=intent, exposure=exposure, limits=limits, now=NOW)


def test_an_order_within_every_limit_is_approved_with_its_reservation() -> None:
    assert check() == Approved(reserve_usdc=D("10.5"), reserve_shares=D(0))
    assert check(SELL) == Approved(reserve_usdc=D(0), reserve_shares=D(20))


@pytest.mark.parametrize(
    ("intent", "exposure", "code"),
    [
        ({}, {"stopped": True}, DenyCode.ACCOUNT_STOPPED),
        ({}, {"live_off": True}, DenyCode.LIVE_TRADING_OFF),
        ({}, {"trading_state": TradingState.HALTED}, DenyCode.HALTED),
        ({}, {"trading_state": TradingState.REDUCING}, DenyCode.REDUCING_ONLY),
        ({}, {"paused": True}, DenyCode.ACCOUNT_PAUSED),
        ({"market_open": False}, {}, DenyCode.MARKET_CLOSED),
        ({"fee_usdc": None}, {}, DenyCode.FEE_UNKNOWN),
        ({"expires_at": NOW}, {}, DenyCode.ORDER_EXPIRED),
        ({"min_shares": D(21)}, {}, DenyCode.VENUE_MINIMUM),
        ({"min_cost_usdc": D("10.01")}, {}, DenyCode.VENUE_MINIMUM),
        ({"cost_usdc": D("0.99")}, {}, DenyCode.ORDER_BELOW_MIN),
        ({"cost_usdc": D("100.01")}, {}, DenyCode.ORDER_ABOVE_MAX),
        ({}, {"open_orders": 50}, DenyCode.OPEN_ORDERS),
        ({}, {"day_loss_usdc": D(200)}, DenyCode.DAILY_LOSS),
        ({}, {"market_usdc": D("289.51")}, DenyCode.MARKET_EXPOSURE),
        ({}, {"total_usdc": D("1989.51")}, DenyCode.TOTAL_EXPOSURE),
        ({}, {"cash_usdc": D("10.49")}, DenyCode.CASH_SHORT),
    ],
)
def test_each_limit_stops_an_entry_by_its_code(
    intent: dict[str, object], exposure: dict[str, object], code: DenyCode
) -> None:
    verdict = check(replace(BUY, **intent), replace(RICH, **exposure))  # type: ignore[arg-type]
    assert isinstance(verdict, Denied)
    assert verdict.code is code


@pytest.mark.parametrize(
    "exposure",
    [
        {"market_usdc": D("289.5")},
        {"total_usdc": D("1989.5")},
        {"cash_usdc": D("10.5")},
        {"open_orders": 49},
        {"day_loss_usdc": D("199.99")},
    ],
)
def test_exactly_at_a_limit_is_still_allowed(exposure: dict[str, object]) -> None:
    assert isinstance(check(exposure=replace(RICH, **exposure)), Approved)  # type: ignore[arg-type]


def test_a_denial_names_its_numbers() -> None:
    verdict = check(replace(BUY, cost_usdc=D(120)))
    assert isinstance(verdict, Denied)
    assert verdict.text == "ORDER_ABOVE_MAX: notional=120, limit=100"


@pytest.mark.parametrize(
    "exposure",
    [
        {"trading_state": TradingState.REDUCING},
        {"paused": True},
        {"open_orders": 50},
        {"day_loss_usdc": D(500)},
        {"market_usdc": D(900)},
        {"total_usdc": D(9000)},
        {"cash_usdc": D(0)},
    ],
)
def test_an_exit_passes_every_limit_of_entries(exposure: dict[str, object]) -> None:
    assert isinstance(check(SELL, replace(RICH, **exposure)), Approved)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("exposure", "code"),
    [
        ({"trading_state": TradingState.HALTED}, DenyCode.HALTED),
        ({"stopped": True}, DenyCode.ACCOUNT_STOPPED),
        ({"free_shares": D("19.99")}, DenyCode.SHARES_SHORT),
    ],
)
def test_what_stops_even_an_exit(exposure: dict[str, object], code: DenyCode) -> None:
    verdict = check(SELL, replace(RICH, **exposure))  # type: ignore[arg-type]
    assert isinstance(verdict, Denied)
    assert verdict.code is code


def test_an_order_that_expires_later_may_leave() -> None:
    assert isinstance(check(replace(BUY, expires_at=NOW + timedelta(seconds=1))), Approved)


@given(st.lists(st.tuples(st.integers(1, 120), st.integers(0, 5)), max_size=40))
def test_a_batch_never_goes_over_a_limit(orders: list[tuple[int, int]]) -> None:
    exposure = Exposure(cash_usdc=D(700))
    spent = D(0)
    for cost, fee in orders:
        intent = replace(BUY, cost_usdc=D(cost), fee_usdc=D(fee))
        if isinstance(check(intent, exposure), Approved):
            exposure = exposure.with_order(intent)
            spent += cost + fee
    assert spent <= 300
    assert exposure.cash_usdc == 700 - spent
    assert exposure.open_orders <= LIMITS.max_open_orders
