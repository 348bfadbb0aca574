"""Asking for orders: admission, idempotence, cancels before sending."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import AccountStatus
from markets.models import Quote
from markets.venue.ports import OrderType, Side
from polyhub.lib.models import PushEvent
from riskmgmt import services as risk
from riskmgmt.models import RiskState
from trading.domain.orders import OrderStatus
from trading.models import Order, OrderEvent
from trading.services import orders
from trading.tests import factories
from trading.tests.factories import NOW

pytestmark = pytest.mark.django_db


def test_an_admitted_order_is_pending_reserved_recorded_and_pushed() -> None:
    account, token = factories.account(), factories.token(fee_rate="0.05")
    result = orders.submit_order(request=factories.request(account=account, token=token), actor="alice", now=NOW)
    order = Order.objects.get(client_order_id=result.client_order_id)
    assert (result.status, order.status) == (OrderStatus.PENDING, OrderStatus.PENDING)
    assert (order.maker_units, order.taker_units) == (10_000_000, 20_000_000)
    assert order.reserved_usdc == Decimal("10.5")
    assert OrderEvent.objects.get(order=order).to_status == OrderStatus.PENDING
    assert PushEvent.objects.get(user_id=account.user_id).topic == "order.changed"


def test_the_same_client_order_id_is_one_order() -> None:
    account, token = factories.account(), factories.token()
    request = factories.request(account=account, token=token)
    first, twin = orders.submit_orders(requests=[request, request], actor="a", now=NOW)
    again = orders.submit_order(request=request, actor="a", now=NOW)
    assert first.order_id == twin.order_id == again.order_id
    assert not again.created
    assert Order.objects.count() == 1


def test_a_denied_order_is_kept_with_its_code_and_numbers() -> None:
    account, token = factories.account(cash="5"), factories.token()
    result = orders.submit_order(request=factories.request(account=account, token=token), actor="a", now=NOW)
    order = Order.objects.get(client_order_id=result.client_order_id)
    assert (result.code, result.numbers["free"]) == ("CASH_SHORT", "5.000000")
    assert (order.status, order.code, order.reserved_usdc) == (OrderStatus.DENIED, "CASH_SHORT", 0)
    assert not result.admitted


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"price": "0.505"}, "PRICE_OFF_TICK"),
        ({"price": "0.995"}, "PRICE_OFF_TICK"),
        ({"shares": "0.001"}, "SIZE_INVALID"),
    ],
)
def test_what_cannot_be_signed_is_refused_without_a_row(change: dict[str, str], code: str) -> None:
    account, token = factories.account(), factories.token()
    request = factories.request(account=account, token=token, **change)  # type: ignore[arg-type]
    result = orders.submit_order(request=request, actor="a", now=NOW)
    assert (result.code, result.order_id) == (code, None)


def test_an_unknown_token_is_refused() -> None:
    account, token = factories.account(), factories.token()
    request = factories.request(account=account, token=token)
    token.delete()
    assert orders.submit_order(request=request, actor="a", now=NOW).code == "TOKEN_UNKNOWN"


def test_an_unknown_fee_lets_no_order_out() -> None:
    account, token = factories.account(), factories.token(fee_rate=None)
    result = orders.submit_order(request=factories.request(account=account, token=token), actor="a", now=NOW)
    assert result.code == "FEE_UNKNOWN"


def test_orders_of_one_batch_share_the_cash() -> None:
    account, token = factories.account(cash="25"), factories.token(fee_rate="0")
    requests = [factories.request(account=account, token=token) for _ in range(3)]
    codes = [result.code for result in orders.submit_orders(requests=requests, actor="a", now=NOW)]
    assert codes == ["", "", "CASH_SHORT"]


def test_two_tokens_of_one_market_share_its_limit() -> None:
    account, token = factories.account(), factories.token(fee_rate="0")
    other = type(token).objects.create(token_id="77", market=token.market, outcome="No", outcome_index=1)
    risk.set_limits(account=account, values=risk.LimitValues(market_max_usdc=Decimal(15)), now=NOW)
    requests = [factories.request(account=account, token=one) for one in (token, other)]
    results = orders.submit_orders(requests=requests, actor="a", now=NOW)
    assert [result.code for result in results] == ["", "MARKET_EXPOSURE"]


def test_shares_on_sale_cannot_be_sold_again() -> None:
    account, token = factories.account(), factories.token()
    factories.position(account=account, token=token, shares="30", cost="10")
    requests = [factories.request(account=account, token=token, side=Side.SELL) for _ in range(2)]
    first, second = orders.submit_orders(requests=requests, actor="a", now=NOW)
    assert (first.code, second.code) == ("", "SHARES_SHORT")
    assert second.numbers == {"shares": "20.000000", "free": "10.000000"}


@pytest.mark.parametrize("status", [AccountStatus.PAUSED, AccountStatus.STOPPED])
def test_a_paused_account_only_exits_and_a_stopped_one_does_nothing(status: AccountStatus) -> None:
    account, token = factories.account(), factories.token()
    factories.position(account=account, token=token, shares="30", cost="10")
    account.status = status
    account.save(update_fields=["status"])
    requests = [factories.request(account=account, token=token, side=side) for side in (Side.BUY, Side.SELL)]
    buy, sell = orders.submit_orders(requests=requests, actor="a", now=NOW)
    assert (buy.admitted, sell.admitted) == (False, status is AccountStatus.PAUSED)


def test_a_loss_since_midnight_stops_entries() -> None:
    account, token = factories.account(cash="1000"), factories.token(best_bid="0.50", fee_rate="0")
    factories.position(account=account, token=token, shares="1000", cost="500")
    risk.set_limits(account=account, values=risk.LimitValues(market_max_usdc=Decimal(2000)), now=NOW)
    assert orders.submit_order(request=factories.request(account=account, token=token), actor="a", now=NOW).admitted
    state = RiskState.objects.get(account=account)
    assert state.day_start_equity_usdc == Decimal(1500)
    Quote.objects.filter(token=token).update(best_bid=Decimal("0.30"))
    result = orders.submit_order(request=factories.request(account=account, token=token), actor="a", now=NOW)
    assert (result.code, Decimal(result.numbers["loss"])) == ("DAILY_LOSS", 200)
    tomorrow = NOW + timedelta(days=1)
    result = orders.submit_order(request=factories.request(account=account, token=token), actor="a", now=tomorrow)
    assert result.admitted


def test_cancel_before_sending_denies_and_frees_the_reservation() -> None:
    account, token = factories.account(), factories.token()
    order = factories.pending(account=account, token=token)
    row = orders.request_cancel(order=order, actor="alice", now=NOW)
    assert (row.status, row.code, row.reserved_usdc) == (OrderStatus.DENIED, "CANCELED_BEFORE_SENDING", 0)
    with pytest.raises(orders.NotCancelable):
        orders.request_cancel(order=order, actor="alice", now=NOW)


@pytest.mark.django_db(transaction=True)
def test_parallel_requests_never_spend_the_same_cash_twice() -> None:
    account, token = factories.account(cash="50"), factories.token(fee_rate="0")
    barrier = threading.Barrier(8)

    def ask(_: int) -> bool:
        barrier.wait(timeout=10)
        try:
            request = factories.request(account=account, token=token, client_order_id=uuid4())
            return orders.submit_order(request=request, actor="a", now=NOW).admitted
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        admitted = sum(pool.map(ask, range(8)))
    assert admitted == 5


def test_a_batch_costs_the_same_statements_whatever_its_size(django_assert_max_num_queries: object) -> None:
    token = factories.token()
    requests = [factories.request(account=factories.account(), token=token) for _ in range(30)]
    with django_assert_max_num_queries(16):  # type: ignore[operator]
        results = orders.submit_orders(requests=requests, actor="a", now=NOW)
    assert all(result.admitted for result in results)


def test_a_resting_order_below_the_market_minimum_is_denied() -> None:
    account, token = factories.account(), factories.token()
    request = factories.request(account=account, token=token, order_type=OrderType.GTC, shares="4")
    assert orders.submit_order(request=request, actor="a", now=NOW).code == "VENUE_MINIMUM"


def test_the_id_of_another_accounts_order_gives_no_order_of_theirs() -> None:
    token = factories.token()
    theirs = factories.request(account=factories.account(), token=token)
    orders.submit_order(request=theirs, actor="alice", now=NOW)
    mine = replace(theirs, account_id=factories.account().pk)
    result = orders.submit_order(request=mine, actor="bob", now=NOW)
    assert (result.order_id, result.admitted, result.code) == (None, False, "CLIENT_ORDER_ID_TAKEN")
