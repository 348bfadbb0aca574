"""Booking fills: once each, in any order, with positions, cash and reservations following."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from markets.venue.ports import OrderType, Side, TradeStatus
from polyhub.lib.models import PushEvent
from riskmgmt.models import RiskState
from trading.domain import reports
from trading.domain.orders import OrderStatus
from trading.models import Balance, Fill, Order, Position
from trading.services import claiming, fills, outcomes
from trading.tests import factories
from trading.tests.factories import NOW, SERVICE


def book(*told: reports.TradeReport) -> list[reports.TradeReport]:
    return fills.record_trades(reports=told, actor=SERVICE, now=NOW)


@pytest.mark.django_db
def test_a_fill_moves_cash_position_and_order_together() -> None:
    account, token = factories.account(cash="100"), factories.token(fee_rate="0.05")
    order = factories.sent(account=account, token=token, fencing_token=factories.lease())
    book(factories.trade(order, price="0.48", shares="10", fee="0.12"))
    position = Position.objects.get(account=account, token=token)
    order.refresh_from_db()
    assert Balance.objects.get(account=account).cash_usdc == Decimal("95.08")
    assert (position.shares, position.sellable_shares, position.cost_usdc) == (10, 0, Decimal("4.92"))
    assert (order.filled_shares, order.filled_usdc, order.fee_usdc) == (10, Decimal("4.8"), Decimal("0.12"))
    # 5.2 of the 10 dollars are still to spend, with their part of the fee buffer of 0.5.
    assert order.reserved_usdc == Decimal("5.46")
    topics = set(PushEvent.objects.filter(user_id=account.user_id).values_list("topic", flat=True))
    assert {"fill.recorded", "position.changed", "order.changed", "account.changed"} <= topics


@pytest.mark.django_db
def test_a_repeated_report_changes_nothing() -> None:
    account, token = factories.account(cash="100"), factories.token()
    order = factories.sent(account=account, token=token, fencing_token=factories.lease())
    report = factories.trade(order, shares="5")
    book(report, report)
    events = PushEvent.objects.count()
    book(report)
    assert Fill.objects.count() == 1
    assert Balance.objects.get(account=account).cash_usdc == Decimal("97.5")
    assert PushEvent.objects.count() == events


@pytest.mark.django_db
def test_shares_become_sellable_when_mined_and_settled_when_confirmed() -> None:
    account, token = factories.account(), factories.token()
    order = factories.sent(account=account, token=token, fencing_token=factories.lease())
    for status, expected in [
        (TradeStatus.MATCHED, (20, 0, 0)),
        (TradeStatus.MINED, (20, 20, 0)),
        (TradeStatus.CONFIRMED, (20, 20, 20)),
        (TradeStatus.MINED, (20, 20, 20)),
    ]:
        book(factories.trade(order, status=status))
        row = Position.objects.get(account=account, token=token)
        assert (row.shares, row.sellable_shares, row.settled_shares) == expected


@pytest.mark.django_db
def test_a_failed_settlement_gives_cash_and_shares_back() -> None:
    account, token = factories.account(cash="100"), factories.token()
    order = factories.sent(account=account, token=token, fencing_token=factories.lease())
    book(factories.trade(order))
    book(factories.trade(order, status=TradeStatus.FAILED))
    order.refresh_from_db()
    position = Position.objects.get(account=account, token=token)
    assert Balance.objects.get(account=account).cash_usdc == 100
    assert (position.shares, position.cost_usdc, order.filled_shares) == (0, 0, 0)
    assert order.status == OrderStatus.OPEN


@pytest.mark.django_db
def test_selling_realises_against_the_average_cost() -> None:
    account, token = factories.account(cash="100"), factories.token(fee_rate="0")
    fencing = factories.lease()
    first = factories.sent(account=account, token=token, fencing_token=fencing, shares="10")
    book(factories.trade(first, price="0.40", shares="10", status=TradeStatus.CONFIRMED))
    second = factories.sent(account=account, token=token, fencing_token=fencing, shares="10")
    later = NOW + timedelta(seconds=1)
    book(factories.trade(second, trade_id="t2", price="0.50", shares="10", status=TradeStatus.CONFIRMED, at=later))
    sale = factories.sent(account=account, token=token, fencing_token=fencing, side=Side.SELL, shares="15")
    end = NOW + timedelta(seconds=2)
    book(factories.trade(sale, trade_id="t3", price="0.60", shares="15", status=TradeStatus.CONFIRMED, at=end))
    position = Position.objects.get(account=account, token=token)
    assert (position.shares, position.cost_usdc) == (5, Decimal("2.25"))
    assert position.realized_pnl_usdc == Fill.objects.get(venue_trade_id="t3").realized_pnl_usdc == Decimal("2.25")
    sale.refresh_from_db()
    assert (sale.status, sale.reserved_shares) == (OrderStatus.FILLED, 0)


@pytest.mark.django_db
def test_a_fill_of_somebody_elses_order_is_reported_back_and_not_booked() -> None:
    account, token = factories.account(), factories.token()
    order = factories.sent(account=account, token=token, fencing_token=factories.lease())
    stranger = factories.account()
    report = reports.TradeReport(stranger.id, factories.trade(order).trade)
    assert book(report) == [report]
    assert not Fill.objects.exists()


@pytest.mark.django_db
def test_a_fill_of_a_refused_order_is_booked_and_halts_the_account() -> None:
    account, token = factories.account(cash="100"), factories.token()
    order = factories.sent(account=account, token=token, fencing_token=factories.lease())
    answer = reports.Answer(order.pk, reports.AnswerKind.REFUSED, code="X")
    outcomes.record_answers(answers=[answer], actor=SERVICE, now=NOW)
    book(factories.trade(order))
    assert Balance.objects.get(account=account).cash_usdc == 90
    assert RiskState.objects.get(account=account).state == "HALTED"


REPORTS = [
    ("buy", "t1", "0.40", "10", [TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.CONFIRMED]),
    ("buy", "t2", "0.45", "10", [TradeStatus.MATCHED, TradeStatus.RETRYING, TradeStatus.FAILED]),
    ("rest", "t3", "0.50", "4", [TradeStatus.MATCHED, TradeStatus.MINED]),
    ("rest", "t4", "0.50", "16", [TradeStatus.MATCHED, TradeStatus.CONFIRMED]),
]


class AnyOrder(TestCase):
    """Whatever way the reports of three orders arrive, the books end the same."""

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def test_any_interleaving_and_duplication_ends_in_one_state(self, data: st.DataObject) -> None:
        account, token = factories.account(cash="100"), factories.token(fee_rate="0")
        fencing = factories.lease(f"engine-{account.name}")
        orders = {
            "buy": self._sent(account, token, fencing, OrderType.FAK),
            "rest": self._sent(account, token, fencing, OrderType.GTC),
        }
        answer = reports.Answer(orders["buy"].pk, reports.AnswerKind.ACCEPTED, trade_ids=("t1", "t2"), code="")
        outcomes.record_answers(answers=[answer], actor=SERVICE, now=NOW)
        told = [
            factories.trade(
                orders[name], trade_id=trade, price=price, shares=shares, status=status, at=NOW + timedelta(seconds=n)
            )
            for n, (name, trade, price, shares, life) in enumerate(REPORTS)
            for status in life
        ]
        arrival = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=5))))
        while arrival:
            size = data.draw(st.integers(1, len(arrival)))
            book(*arrival[:size])
            arrival = arrival[size:]
        position = Position.objects.get(account=account, token=token)
        rows = {name: Order.objects.get(pk=order.pk) for name, order in orders.items()}
        assert Balance.objects.get(account=account).cash_usdc == 100 - 4 - 10
        assert (position.shares, position.sellable_shares, position.settled_shares) == (30, 30, 26)
        assert position.cost_usdc == 14
        assert (rows["buy"].status, rows["rest"].status) == ("CANCELED", "FILLED")
        assert [row.reserved_usdc for row in rows.values()] == [0, 0]

    def _sent(self, account: object, token: object, fencing: int, order_type: OrderType) -> Order:
        order = factories.pending(account=account, token=token, order_type=order_type)  # type: ignore[arg-type]
        claim = reports.Claim(order.pk, f"0x{order.pk:064x}", b"wire")
        claiming.claim_orders(
            claims=[claim],
            service=f"engine-{account.name}",  # type: ignore[attr-defined]
            fencing_token=fencing,
            now=NOW,
        )
        order.refresh_from_db()
        return order
