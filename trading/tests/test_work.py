"""What an engine is given to do, and for whom."""

from datetime import timedelta

import pytest

from accounts.models import AccountStatus
from markets.venue.ports import OrderType, TradeStatus
from trading.domain.orders import EngineState, OrderStatus
from trading.domain.reports import Answer, AnswerKind
from trading.models import Engine, Order
from trading.services import fills, orders, outcomes, work
from trading.services.work import Shard
from trading.tests import factories
from trading.tests.factories import NOW, SERVICE

pytestmark = pytest.mark.django_db
ALL = Shard(index=0, count=1)


def opened(order: Order) -> Order:
    outcomes.record_answers(answers=[Answer(order.pk, AnswerKind.ACCEPTED)], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    return order


def test_each_account_belongs_to_exactly_one_shard() -> None:
    accounts = [factories.account(shard_key=key) for key in range(7)]
    shards = [Shard(index=index, count=3) for index in range(3)]
    found = [account.id for shard in shards for account in work.running_accounts(shard=shard)]
    assert sorted(found) == sorted(account.id for account in accounts)


def test_a_shard_gets_only_its_own_orders_oldest_first() -> None:
    token = factories.token()
    mine, other = factories.account(shard_key=2), factories.account(shard_key=1)
    first = factories.pending(account=mine, token=token)
    factories.pending(account=other, token=token)
    second = factories.pending(account=mine, token=token)
    found = work.pending_orders(shard=Shard(index=0, count=2))
    assert [order.order_id for order in found] == [first.pk, second.pk]


def test_a_stopped_account_runs_only_while_something_of_it_is_at_the_venue() -> None:
    account, token = factories.account(), factories.token()
    order = factories.sent(
        account=account, token=token, fencing_token=factories.lease(), order_type=OrderType.GTC, price="0.40"
    )
    account.status = AccountStatus.STOPPED
    account.save(update_fields=["status"])
    assert [one.id for one in work.running_accounts(shard=ALL)] == [account.id]
    outcomes.close(order_ids=[order.pk], to=OrderStatus.CANCELED, code="BY_USER", actor=SERVICE, now=NOW)
    assert work.running_accounts(shard=ALL) == []


def test_a_cancel_waits_until_the_order_is_known_to_be_live() -> None:
    order = factories.sent(
        account=factories.account(),
        token=factories.token(),
        fencing_token=factories.lease(),
        order_type=OrderType.GTC,
    )
    orders.request_cancel(order=order, actor="alice", now=NOW)
    assert work.cancels_wanted(shard=ALL) == []
    opened(order)
    ((account_id, wanted),) = work.cancels_wanted(shard=ALL)
    assert (account_id, wanted.order_hash) == (order.account_id, order.order_hash)


def test_the_terms_read_back_are_the_terms_that_were_signed() -> None:
    order = factories.pending(account=factories.account(), token=factories.token())
    first = work.terms_of(Order.objects.select_related("token__market").get(pk=order.pk))
    assert first == work.pending_orders(shard=ALL)[0].terms
    assert (first.maker_units, first.taker_units, first.share_units) == (10_000_000, 20_000_000, 20_000_000)


def test_a_reconciliation_looks_back_to_the_oldest_open_question() -> None:
    account, token = factories.account(), factories.token()
    fencing = factories.lease()
    work.write_states(states=[(account.id, EngineState.RUNNING, "", True)], now=NOW)
    assert work.open_work(account_id=account.id, now=NOW).trades_after == NOW
    order = factories.sent(account=account, token=token, fencing_token=fencing, now=NOW - timedelta(minutes=3))
    found = work.open_work(account_id=account.id, now=NOW)
    assert [one.order_id for one in found.unknown] == [order.pk]
    assert found.unknown[0].wire == b"wire"
    assert found.trades_after == NOW - timedelta(minutes=3)
    hour_ago = NOW - timedelta(hours=1)
    report = factories.trade(order, status=TradeStatus.MINED, at=hour_ago)
    fills.record_trades(reports=[report], actor=SERVICE, now=NOW)
    assert work.open_work(account_id=account.id, now=NOW).trades_after == hour_ago


def test_a_presumed_order_is_watched_for_a_day() -> None:
    account = factories.account()
    order = factories.sent(account=account, token=factories.token(), fencing_token=factories.lease())
    outcomes.presume_not_placed(order_ids=[order.pk], code="X", actor=SERVICE, now=NOW)
    soon, later = NOW + timedelta(hours=23), NOW + timedelta(hours=25)
    assert [one.order_id for one in work.open_work(account_id=account.id, now=soon).watched] == [order.pk]
    assert work.open_work(account_id=account.id, now=later).watched == ()


def test_states_of_many_accounts_are_written_and_the_last_one_counts() -> None:
    one, two = factories.account(), factories.account()
    states = [
        (one.id, EngineState.LOADING, "", False),
        (one.id, EngineState.RUNNING, "", True),
        (two.id, EngineState.RECOVERY, "venue away", False),
    ]
    work.write_states(states=states, now=NOW)
    first, second = Engine.objects.get(account=one), Engine.objects.get(account=two)
    assert (first.state, first.reconciled_at, first.beat_at) == (EngineState.RUNNING, NOW, NOW)
    assert (second.state, second.detail, second.reconciled_at) == (EngineState.RECOVERY, "venue away", None)
    later = NOW + timedelta(seconds=5)
    work.write_states(states=[(one.id, EngineState.RECOVERY, "x", False)], now=later)
    first.refresh_from_db()
    assert (first.reconciled_at, first.beat_at) == (NOW, later)
