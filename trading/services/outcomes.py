"""What becomes of stored orders: claimed for sending, answered, canceled, presumed not placed.

Each function takes a batch of many accounts and writes it in one transaction. Orders are locked in id order.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from markets.venue import amounts
from markets.venue.ports import VenueOrderStatus
from polyhub.lib import money, push
from polyhub.lib.failpoints import fp
from riskmgmt.domain.gate import DenyCode
from trading.domain import fills as accounting
from trading.domain.orders import LIVE_AT_VENUE, TERMINAL, TRANSITIONS, OrderStatus
from trading.domain.reports import Answer, AnswerKind, OrderSeen, SeenReport
from trading.models import Order
from trading.services import changes, settling
from trading.services.claiming import RESTING_PATIENCE, fence
from trading.services.work import Shard

_STALE_AT_ONCE = 500
_SEEN = "SELECT id, account_id, order_hash, status, venue_trade_ids FROM trading_order WHERE order_hash = ANY(%s)"
# The venue ends an order this long before the time it states.
_EXPIRY_MARGIN = timedelta(seconds=60)
_MAY_CANCEL = LIVE_AT_VENUE | {OrderStatus.PRESUMED_NOT_PLACED}


@transaction.atomic
def deny(*, refusals: Sequence[tuple[int, str, str]], actor: str, now: datetime) -> None:
    """PENDING orders that cannot leave, as (order id, code, message): DENIED, their reservations freed."""
    reasons = {order_id: (code, message) for order_id, code, message in refusals}
    changed = []
    for order in changes.locked(Order.objects.filter(pk__in=reasons, status=OrderStatus.PENDING)):
        code, message = reasons[order.pk]
        changes.move(order, OrderStatus.DENIED, now=now, code=code, message=message)
        settling.hold(order, now=now)
        changed.append(changes.Changed(order, OrderStatus.PENDING, actor))
    _finish(changed, now=now)


@transaction.atomic
def deny_stale(*, shard: Shard, actor: str, now: datetime) -> int:
    """Orders that waited too long for their engine: DENIED, their reservations freed; how many.

    An engine that cannot open its venue claims nothing, and what piles up meanwhile is not for the time after.
    """
    patience = timedelta(seconds=settings.ORDER_MAX_PENDING_S)
    waiting = Order.objects.filter(
        Q(created_at__lt=now - patience, order_type__in=amounts.IMMEDIATE)
        | Q(created_at__lt=now - patience * RESTING_PATIENCE),
        status=OrderStatus.PENDING,
        account__in=shard.accounts(),
    )
    late = list(waiting.order_by("id").values_list("pk", flat=True)[:_STALE_AT_ONCE])
    if late:
        code = str(DenyCode.STALE_INTENT)
        deny(refusals=[(order_id, code, code) for order_id in late], actor=actor, now=now)
    return len(late)


@transaction.atomic
def record_answers(*, answers: Sequence[Answer], actor: str, now: datetime) -> None:
    """Write what the venue answered. No answer leaves the order SENT: unknown, to be looked up by its hash."""
    by_id = {answer.order_id: answer for answer in answers}
    orders = list(changes.locked(Order.objects.filter(pk__in=by_id)))
    booked = settling.facts_of(orders)
    changed: list[changes.Changed] = []
    for order in orders:
        answer, was = by_id[order.pk], OrderStatus(order.status)
        detail: dict[str, Any] = {"answer": str(answer.kind)}
        if answer.kind is AnswerKind.ACCEPTED:
            order.answered_at = order.answered_at or now
            _name_trades(order, answer.trade_ids)
            _placed(order, booked[order.pk], answer.venue_status or VenueOrderStatus.LIVE, now)
        elif was is OrderStatus.SENT and not booked[order.pk]:
            _unplaced(order, answer, now)
        changed.append(changes.Changed(order, was, actor, detail))
    _finish(changed, now=now)


@transaction.atomic
def record_seen(*, reports: Sequence[SeenReport], actor: str, now: datetime) -> list[SeenReport]:
    """Write orders as the venue showed them (stream or look-up); returns reports of orders that are not ours.

    A report revives an order that was presumed not placed. One that says nothing new costs one read.
    """
    by_key = {(report.account_id, report.seen.order_hash): report.seen for report in reports}
    with connection.cursor() as cursor:
        cursor.execute(_SEEN, [[key[1] for key in by_key]])
        known = {(row[1], row[2]): (row[0], OrderStatus(row[3]), json.loads(row[4])) for row in cursor.fetchall()}
    news = [found[0] for key, found in known.items() if key in by_key and _is_news(by_key[key], *found[1:])]
    orders = list(changes.locked(Order.objects.filter(pk__in=news))) if news else []
    booked = settling.facts_of(orders) if news else {}
    changed: list[changes.Changed] = []
    for order in orders:
        seen, was = by_key[(order.account_id, order.order_hash or "")], OrderStatus(order.status)
        if was in {OrderStatus.DENIED, OrderStatus.REJECTED}:
            continue
        before = (order.venue_trade_ids[:], order.filled_shares)
        order.answered_at = order.answered_at or now
        _name_trades(order, seen.trade_ids)
        fills = booked.get(order.pk, [])
        _placed(order, fills, seen.venue_status, now, matched_share_units=seen.matched_share_units)
        if was != order.status or before != (order.venue_trade_ids, order.filled_shares):
            changed.append(changes.Changed(order, was, actor))
    _finish(changed, now=now)
    return [report for report in reports if (report.account_id, report.seen.order_hash) not in known]


@transaction.atomic
def close(*, order_ids: Sequence[int], to: OrderStatus, code: str, actor: str, now: datetime) -> None:
    """Finish placed orders that the venue no longer has (CANCELED, EXPIRED). Late fills are still booked to them."""
    changed = []
    for order in changes.locked(Order.objects.filter(pk__in=order_ids)):
        was = OrderStatus(order.status)
        if to not in TRANSITIONS[was]:
            continue
        changes.move(order, to, now=now, code=code)
        settling.hold(order, now=now)
        changed.append(changes.Changed(order, was, actor))
    _finish(changed, now=now)


@transaction.atomic
def presume_not_placed(*, order_ids: Sequence[int], code: str, actor: str, now: datetime) -> None:
    """SENT orders the venue does not know after the horizon: not placed as far as we can tell, watched for a day."""
    changed = []
    for order in changes.locked(Order.objects.filter(pk__in=order_ids, status=OrderStatus.SENT)):
        _presume(order, code=code, message="", now=now)
        changed.append(changes.Changed(order, OrderStatus.SENT, actor))
    _finish(changed, now=now)


@transaction.atomic
def count_attempt(*, order_id: int, service: str, fencing_token: int, now: datetime) -> bool:
    """Allow one more sending of the same bytes of a SENT order; False when it moved on. Raises LeaseLost."""
    fence(service, fencing_token)
    order = changes.locked(Order.objects.filter(pk=order_id, status=OrderStatus.SENT)).first()
    if order is None or order.cancel_requested_at is not None:
        return False
    order.attempts += 1
    order.service, order.fencing_token = service, fencing_token
    order.sent_at = order.updated_at = now
    changes.write(changed=[changes.Changed(order, OrderStatus.SENT, service, {"resend": order.attempts})], now=now)
    return True


def _is_news(seen: OrderSeen, status: OrderStatus, named: Sequence[str]) -> bool:
    if status in {OrderStatus.SENT, OrderStatus.PRESUMED_NOT_PLACED} or not set(seen.trade_ids) <= set(named):
        return True
    return status in LIVE_AT_VENUE and seen.venue_status is not VenueOrderStatus.LIVE


def _name_trades(order: Order, trade_ids: Sequence[str]) -> None:
    order.venue_trade_ids = [*order.venue_trade_ids, *(one for one in trade_ids if one not in order.venue_trade_ids)]


def _placed(
    order: Order,
    booked: Sequence[accounting.FillFact],
    venue_status: VenueOrderStatus,
    now: datetime,
    *,
    matched_share_units: int = 0,
) -> None:
    """Status of an order the venue has: from its fills, and from whether the venue says it is finished."""
    if venue_status is VenueOrderStatus.INVALID and not booked:
        if order.status == OrderStatus.SENT:
            changes.move(order, OrderStatus.REJECTED, now=now, code="INVALID")
        settling.hold(order, now=now)
        return
    if venue_status is VenueOrderStatus.CANCELED and order.status in _MAY_CANCEL:
        expired = order.expires_at is not None and order.expires_at - _EXPIRY_MARGIN <= now
        to = OrderStatus.EXPIRED if expired else OrderStatus.CANCELED
        changes.move(order, to, now=now, code="" if order.cancel_requested_at else "BY_VENUE")
    over = venue_status is VenueOrderStatus.MATCHED and _all_booked(order, booked, matched_share_units)
    settling.settle(order, booked, now=now, over=over)


def _all_booked(order: Order, booked: Sequence[accounting.FillFact], matched_share_units: int) -> bool:
    """Whether nothing of an order that the venue shows as matched is still to come.

    Only a look at the order says how much was matched; the answer to a submission says "matched" of a part, too.
    Fills that failed to settle are booked as well: the venue does not put their order back.
    """
    if order.venue_trade_ids:
        known = {settling.trade_of(fill.key) for fill in booked}
        return matched_share_units > 0 and known.issuperset(order.venue_trade_ids)
    done = sum(money.to_units(fill.shares) for fill in booked if fill.counts)
    return 0 < matched_share_units <= done


def _unplaced(order: Order, answer: Answer, now: datetime) -> None:
    if answer.kind is AnswerKind.REFUSED:
        changes.move(order, OrderStatus.REJECTED, now=now, code=answer.code, message=answer.message)
        order.answered_at = now
        settling.hold(order, now=now)
    elif answer.kind is AnswerKind.NOT_SENT:
        _presume(order, code=answer.code, message=answer.message, now=now)
    else:
        order.code, order.message, order.updated_at = answer.code, answer.message[:500], now


def _presume(order: Order, *, code: str, message: str, now: datetime) -> None:
    changes.move(order, OrderStatus.PRESUMED_NOT_PLACED, now=now, code=code, message=message)
    order.watch_until = now + timedelta(seconds=settings.ORDER_WATCH_S)
    settling.hold(order, now=now)


def _finish(changed: Sequence[changes.Changed], *, now: datetime) -> None:
    changes.write(changed=changed, now=now)
    if any(change.order.status in TERMINAL for change in changed):
        fp("F11")
    push.push(pushes=changes.order_pushes([change.order for change in changed]), now=now)
