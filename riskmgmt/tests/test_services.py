"""Limits and states as a user sets them."""

from decimal import Decimal

import pytest

from accounts.models import TradingAccount
from accounts.tests import factories
from accounts.tests.factories import NOW
from polyhub.lib.models import PushEvent
from riskmgmt import selectors, services
from riskmgmt.domain.states import TradingState

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> TradingAccount:
    return factories.paper_account(factories.user())


def test_limits_are_replaced_as_a_whole(account: TradingAccount) -> None:
    services.set_limits(account=account, values=services.LimitValues(order_max_usdc=Decimal(7)), now=NOW)
    limits = selectors.limits_of(account=account)
    assert limits is not None
    assert limits.order_max_usdc == Decimal(7)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"order_min_usdc": Decimal(0)}, "order_min_usdc"),
        ({"daily_loss_usdc": Decimal(-1)}, "daily_loss_usdc"),
        ({"max_open_orders": 0}, "max_open_orders"),
        ({"order_min_usdc": Decimal(200)}, "order_max_usdc"),
        ({"market_max_usdc": Decimal(3000)}, "market_max_usdc"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(
    account: TradingAccount, values: dict[str, Decimal], field: str
) -> None:
    with pytest.raises(services.BadLimits) as refused:
        services.set_limits(account=account, values=services.LimitValues(**values), now=NOW)  # type: ignore[arg-type]
    assert refused.value.details == {"field": field}


def test_a_halt_is_kept_told_and_lifted(account: TradingAccount) -> None:
    services.halt(account=account, reason="drawdown", now=NOW)
    state = selectors.state_of(account=account)
    assert state is not None
    assert (state.state, state.reason) == (TradingState.HALTED, "drawdown")
    assert PushEvent.objects.filter(user_id=account.user_id, topic="account.changed").count() == 1
    services.resume(account=account, now=NOW)
    state.refresh_from_db()
    assert state.state == TradingState.ACTIVE
