"""Cash by our own books beside what the venue says."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import TradingAccount
from markets.venue.ports import Balances, TradeStatus
from polyhub.lib import money
from riskmgmt.models import RiskState
from trading.models import Balance
from trading.services import balances, fills
from trading.tests import factories
from trading.tests.factories import NOW, SERVICE

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(minutes=1)


def look(account: TradingAccount, cash: str, at: object = NOW) -> Decimal:
    said = Balances(cash_units=money.to_units(Decimal(cash)), allowance_units=0, shares={})
    return balances.record_balances(account_id=account.id, balances=said, now=at)  # type: ignore[arg-type]


def cash(account: TradingAccount) -> tuple[Decimal, Decimal]:
    row = Balance.objects.get(account=account)
    return row.cash_usdc, row.deposited_usdc


def test_the_first_look_at_an_empty_account_is_its_deposit() -> None:
    account = factories.account(cash="0")
    assert look(account, "250") == 0
    assert cash(account) == (Decimal(250), Decimal(250))


def test_one_look_explains_nothing_away() -> None:
    account = factories.account(cash="100")
    assert look(account, "90") == Decimal(-10)
    assert cash(account) == (Decimal(100), Decimal(100))


def test_money_that_moved_from_outside_is_booked_after_a_second_look_and_is_no_loss_of_the_day() -> None:
    account = factories.account(cash="100")
    RiskState.objects.filter(account=account).update(day=NOW.date(), day_start_equity_usdc=100)
    look(account, "40", NOW + timedelta(seconds=1))
    assert look(account, "40", NOW + timedelta(seconds=10)) == Decimal(-60)
    assert look(account, "40", LATER) == 0
    assert cash(account) == (Decimal(40), Decimal(40))
    assert RiskState.objects.get(account=account).day_start_equity_usdc == Decimal(40)


def test_nothing_is_booked_from_outside_while_something_of_ours_is_under_way() -> None:
    account, token = factories.account(cash="100"), factories.token(fee_rate="0")
    order = factories.sent(account=account, token=token, fencing_token=factories.lease())
    for at in (NOW + timedelta(seconds=1), LATER):
        assert look(account, "90", at) == Decimal(-10)
    fills.record_trades(reports=[factories.trade(order)], actor=SERVICE, now=LATER)
    assert look(account, "90", LATER + timedelta(minutes=1)) == 0
    assert look(account, "95", LATER + timedelta(minutes=2)) == Decimal(5)
    assert look(account, "95", LATER + timedelta(minutes=3)) == Decimal(5)
    done = factories.trade(order, status=TradeStatus.CONFIRMED)
    fills.record_trades(reports=[done], actor=SERVICE, now=LATER + timedelta(minutes=4))
    assert cash(account) == (Decimal(90), Decimal(100))
