"""The life of a stored order: claim, answer, silence, cancel."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from accounts.models import AccountMode, AccountStatus
from markets.venue.ports import OrderType, Side, TradeStatus, VenueOrderStatus
from polyhub.lib import leases
from riskmgmt import services as risk
from trading.domain import reports
from trading.domain.orders import OrderStatus
from trading.models import Order, OrderEvent
from trading.services import claiming, fills, outcomes
from trading.services.work import Shard
from trading.tests import factories
from trading.tests.factories import NOW, SERVICE

pytestmark = pytest.mark.django_db


def claim(order: Order, token: int, now: object = NOW) -> dict[int, OrderStatus]:
    one = reports.Claim(order.pk, f"0x{order.pk:064x}", b"wire")
    return claiming.claim_orders(claims=[one], service=SERVICE, fencing_token=token, now=now)  # type: ignore[arg-type]


def answer(order: Order, kind: reports.AnswerKind, **said: object) -> Order:
    outcomes.record_answers(answers=[reports.Answer(order.pk, kind, **said)], actor=SERVICE, now=NOW)  # type: ignore[arg-type]
    order.refresh_from_db()
    return order


def test_a_claim_stores_hash_bytes_and_fencing_token_before_anything_leaves() -> None:
    order = factories.pending(account=factories.account(), token=factories.token())
    fencing = factories.lease()
    assert claim(order, fencing) == {order.pk: OrderStatus.SENT}
    order.refresh_from_db()
    assert (order.status, bytes(order.wire or b""), order.fencing_token) == (OrderStatus.SENT, b"wire", fencing)
    assert order.order_hash
    assert [event.to_status for event in OrderEvent.objects.filter(order=order).order_by("id")] == ["PENDING", "SENT"]


def test_an_order_is_claimed_once() -> None:
    order = factories.pending(account=factories.account(), token=factories.token())
    fencing = factories.lease()
    claim(order, fencing)
    assert claim(order, fencing) == {}
    order.refresh_from_db()
    assert order.attempts == 1


def test_a_stale_fencing_token_claims_nothing() -> None:
    order = factories.pending(account=factories.account(), token=factories.token())
    fencing = factories.lease()
    with pytest.raises(reports.LeaseLost):
        claim(order, fencing - 1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lib_service SET expires_at = now() - interval '1 s'")
    with pytest.raises(reports.LeaseLost):
        claim(order, fencing)
    assert leases.acquire(name=SERVICE, owner="next", ttl=timedelta(minutes=1)) is not None
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


@pytest.mark.parametrize(
    ("order_type", "age_s", "status"),
    [
        (OrderType.FAK, 29, OrderStatus.SENT),
        (OrderType.FAK, 31, OrderStatus.DENIED),
        (OrderType.GTC, 31, OrderStatus.SENT),
        (OrderType.GTC, 301, OrderStatus.DENIED),
    ],
)
def test_an_intent_that_waited_too_long_is_not_sent(order_type: OrderType, age_s: int, status: OrderStatus) -> None:
    order = factories.pending(account=factories.account(), token=factories.token(), order_type=order_type)
    claim(order, factories.lease(), NOW + timedelta(seconds=age_s))
    order.refresh_from_db()
    assert order.status == status
    if status is OrderStatus.DENIED:
        assert (order.code, order.reserved_usdc) == ("STALE_INTENT", 0)


def test_what_no_engine_sent_in_time_is_denied_and_frees_its_money() -> None:
    account, token = factories.account(), factories.token()
    late = factories.pending(account=account, token=token, order_type=OrderType.FAK)
    resting = factories.pending(account=account, token=token, order_type=OrderType.GTC)
    sent = factories.pending(account=account, token=token, order_type=OrderType.FAK)
    claim(sent, factories.lease())
    everyone, nobody = Shard(account.shard_key % 2, 2), Shard((account.shard_key + 1) % 2, 2)

    def deny_stale(shard: Shard, age_s: int) -> int:
        return outcomes.deny_stale(shard=shard, actor=SERVICE, now=NOW + timedelta(seconds=age_s))

    assert [deny_stale(everyone, 29), deny_stale(nobody, 31), deny_stale(everyone, 31)] == [0, 0, 1]
    for order in (late, resting, sent):
        order.refresh_from_db()
    assert (late.status, late.code, late.reserved_usdc) == (OrderStatus.DENIED, "STALE_INTENT", 0)
    assert (resting.status, sent.status) == (OrderStatus.PENDING, OrderStatus.SENT)
    assert deny_stale(everyone, 301) == 1


def test_a_halt_between_admission_and_sending_stops_the_order() -> None:
    account = factories.account()
    order = factories.pending(account=account, token=factories.token())
    risk.halt(account=account, reason="test", now=NOW)
    claim(order, factories.lease())
    order.refresh_from_db()
    assert (order.status, order.code) == (OrderStatus.DENIED, "HALTED")


@pytest.mark.parametrize("how", ["reduce", "pause"])
def test_reducing_and_pausing_stop_entries_and_let_exits_out(how: str) -> None:
    account, token = factories.account(), factories.token()
    factories.position(account=account, token=token, shares="30", cost="10")
    buy = factories.pending(account=account, token=token)
    sell = factories.pending(account=account, token=token, side=Side.SELL)
    if how == "reduce":
        risk.reduce_only(account=account, reason="test", now=NOW)
    else:
        account.status = AccountStatus.PAUSED
        account.save(update_fields=["status"])
    fencing = factories.lease()
    assert claim(buy, fencing) == {buy.pk: OrderStatus.DENIED}
    assert claim(sell, fencing) == {sell.pk: OrderStatus.SENT}


def test_an_accepted_resting_order_is_open_and_keeps_its_reservation() -> None:
    fencing = factories.lease()
    order = factories.sent(
        account=factories.account(), token=factories.token(), fencing_token=fencing, order_type=OrderType.GTC
    )
    answer(order, reports.AnswerKind.ACCEPTED, venue_status=VenueOrderStatus.LIVE)
    assert order.status == OrderStatus.OPEN
    assert order.reserved_usdc == order.admitted_usdc > 0


def test_a_refused_order_is_rejected_with_the_venues_code_and_frees_its_reservation() -> None:
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=factories.lease())
    answer(order, reports.AnswerKind.REFUSED, code="FAK_NO_MATCH", message="no orders found to match")
    assert (order.status, order.code, order.reserved_usdc) == (OrderStatus.REJECTED, "FAK_NO_MATCH", 0)


def test_no_answer_leaves_the_order_sent_and_reserved() -> None:
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=factories.lease())
    answer(order, reports.AnswerKind.UNKNOWN, code="OUTCOME_UNKNOWN", message="timeout")
    assert (order.status, order.code) == (OrderStatus.SENT, "OUTCOME_UNKNOWN")
    assert order.reserved_usdc == order.admitted_usdc


def test_a_refusal_never_overrules_a_fill() -> None:
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=factories.lease())
    fills.record_trades(reports=[factories.trade(order, shares="10")], actor=SERVICE, now=NOW)
    answer(order, reports.AnswerKind.REFUSED, code="X")
    assert order.status == OrderStatus.PARTIALLY_FILLED


def test_an_immediate_order_ends_when_all_named_trades_are_booked() -> None:
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=factories.lease())
    answer(order, reports.AnswerKind.ACCEPTED, venue_status=VenueOrderStatus.MATCHED, trade_ids=("t1", "t2"))
    assert order.status == OrderStatus.OPEN
    fills.record_trades(reports=[factories.trade(order, shares="5")], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert order.status == OrderStatus.PARTIALLY_FILLED
    fills.record_trades(reports=[factories.trade(order, trade_id="t2", shares="5")], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert (order.status, order.filled_shares, order.reserved_usdc) == (OrderStatus.CANCELED, 10, 0)


def test_the_answer_may_come_after_the_fills() -> None:
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=factories.lease())
    fills.record_trades(reports=[factories.trade(order, shares="5")], actor=SERVICE, now=NOW)
    answer(order, reports.AnswerKind.ACCEPTED, venue_status=VenueOrderStatus.MATCHED, trade_ids=("t1",))
    assert (order.status, order.code) == (OrderStatus.CANCELED, "REST_NOT_FILLED")


def test_presumed_not_placed_is_watched_and_revived_by_a_late_fill() -> None:
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=factories.lease())
    outcomes.presume_not_placed(order_ids=[order.pk], code="NOT_FOUND", actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert (order.status, order.reserved_usdc) == (OrderStatus.PRESUMED_NOT_PLACED, 0)
    assert order.watch_until == NOW + timedelta(days=1)
    fills.record_trades(reports=[factories.trade(order)], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert (order.status, order.filled_usdc) == (OrderStatus.FILLED, Decimal(10))


def test_the_venues_own_report_revives_and_closes() -> None:
    account = factories.account()
    order = factories.sent(
        account=account, token=factories.token(), fencing_token=factories.lease(), order_type=OrderType.GTC
    )
    outcomes.presume_not_placed(order_ids=[order.pk], code="NOT_FOUND", actor=SERVICE, now=NOW)
    for venue_status, status in [
        (VenueOrderStatus.LIVE, OrderStatus.OPEN),
        (VenueOrderStatus.CANCELED, OrderStatus.CANCELED),
    ]:
        seen = reports.OrderSeen(order.order_hash or "", venue_status)
        foreign = outcomes.record_seen(reports=[reports.SeenReport(account.id, seen)], actor=SERVICE, now=NOW)
        order.refresh_from_db()
        assert (order.status, foreign) == (status, [])


def test_another_accounts_hash_is_foreign() -> None:
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=factories.lease())
    seen = reports.OrderSeen(order.order_hash or "", VenueOrderStatus.CANCELED)
    assert outcomes.record_seen(reports=[reports.SeenReport(factories.account().id, seen)], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert order.status == OrderStatus.SENT


def test_the_same_bytes_are_sent_again_only_while_the_order_is_unknown() -> None:
    fencing = factories.lease()
    order = factories.sent(account=factories.account(), token=factories.token(), fencing_token=fencing)
    assert outcomes.count_attempt(order_id=order.pk, service=SERVICE, fencing_token=fencing, now=NOW)
    with pytest.raises(reports.LeaseLost):
        outcomes.count_attempt(order_id=order.pk, service=SERVICE, fencing_token=fencing + 1, now=NOW)
    answer(order, reports.AnswerKind.REFUSED, code="X")
    assert not outcomes.count_attempt(order_id=order.pk, service=SERVICE, fencing_token=fencing, now=NOW)


def test_turning_live_trading_off_keeps_stored_live_orders_in(settings: Any) -> None:
    order = factories.pending(account=factories.account(mode=AccountMode.LIVE), token=factories.token())
    settings.LIVE_TRADING = False
    assert claim(order, factories.lease()) == {order.pk: OrderStatus.DENIED}
    order.refresh_from_db()
    assert order.code == "LIVE_TRADING_OFF"


def test_an_order_the_venue_ends_at_its_time_is_expired() -> None:
    account = factories.account()
    order = factories.sent(
        account=account, token=factories.token(), fencing_token=factories.lease(), order_type=OrderType.GTD
    )
    Order.objects.filter(pk=order.pk).update(expires_at=NOW + timedelta(seconds=60))
    seen = reports.OrderSeen(order.order_hash or "", VenueOrderStatus.CANCELED)
    outcomes.record_seen(reports=[reports.SeenReport(account.id, seen)], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert order.status == OrderStatus.EXPIRED


def test_a_resting_order_whose_fill_failed_is_over_once_the_venue_shows_it_matched() -> None:
    account = factories.account(cash="100")
    order = factories.sent(
        account=account, token=factories.token(), fencing_token=factories.lease(), order_type=OrderType.GTC
    )
    answer(order, reports.AnswerKind.ACCEPTED, venue_status=VenueOrderStatus.MATCHED, trade_ids=("t1",))
    for status in (TradeStatus.MATCHED, TradeStatus.FAILED):
        fills.record_trades(reports=[factories.trade(order, status=status)], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert (order.status, order.reserved_usdc > 0) == (OrderStatus.OPEN, True)
    seen = reports.OrderSeen(order.order_hash or "", VenueOrderStatus.MATCHED, ("t1",), 20_000_000)
    outcomes.record_seen(reports=[reports.SeenReport(account.id, seen)], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert (order.status, order.code, order.reserved_usdc) == (OrderStatus.CANCELED, "SETTLEMENT_FAILED", Decimal(0))


def test_a_resting_order_matched_in_part_keeps_resting() -> None:
    account = factories.account(cash="100")
    order = factories.sent(
        account=account, token=factories.token(), fencing_token=factories.lease(), order_type=OrderType.GTC
    )
    answer(order, reports.AnswerKind.ACCEPTED, venue_status=VenueOrderStatus.MATCHED, trade_ids=("t1",))
    fills.record_trades(reports=[factories.trade(order, shares="5")], actor=SERVICE, now=NOW)
    seen = reports.OrderSeen(order.order_hash or "", VenueOrderStatus.LIVE, ("t1",), 5_000_000)
    outcomes.record_seen(reports=[reports.SeenReport(account.id, seen)], actor=SERVICE, now=NOW)
    order.refresh_from_db()
    assert order.status == OrderStatus.PARTIALLY_FILLED
