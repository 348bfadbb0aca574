"""What an engine has to do: orders to send, cancels to ask for, orders to look up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Min, QuerySet
from django.db.models.functions import Mod

from accounts.models import AccountStatus, TradingAccount
from markets.venue.ports import OrderTerms, OrderType, Side
from polyhub.lib import money, prepared
from trading.domain.orders import LIVE_AT_VENUE, EngineState, FillStatus, OrderStatus
from trading.domain.reports import CancelWanted, OpenWork, PendingOrder, SentOrder
from trading.models import Engine, Fill, Order

_LIVE = [OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED]
_UNSETTLED = [FillStatus.MATCHED, FillStatus.RETRYING, FillStatus.MINED]
_PENDING = """
SELECT o.id, o.account_id, o.risk_verdict, o.created_at, o.client_order_id, t.token_id, o.side, o.order_type, o.price,
       o.maker_units, o.taker_units, o.salt, o.timestamp_ms, m.neg_risk, o.expires_at, o.post_only
FROM trading_order o
JOIN accounts_tradingaccount a ON a.id = o.account_id
JOIN markets_token t ON t.id = o.token_id
JOIN markets_market m ON m.id = t.market_id
WHERE o.status = 'PENDING' AND a.shard_key %% %s = %s ORDER BY o.id
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """The accounts whose `shard_key` modulo `count` is `index`."""

    index: int
    count: int

    def accounts(self) -> QuerySet[TradingAccount]:
        return TradingAccount.objects.annotate(_shard=Mod(F("shard_key"), self.count)).filter(_shard=self.index)


def running_accounts(*, shard: Shard) -> list[TradingAccount]:
    """Accounts an engine has to run: those not stopped, and stopped ones with something left at the venue."""
    accounts = shard.accounts()
    left = Order.objects.filter(status__in=[*LIVE_AT_VENUE]).values("account_id")
    return list((accounts.exclude(status=AccountStatus.STOPPED) | accounts.filter(id__in=left)).order_by("id"))


def pending_orders(*, shard: Shard) -> list[PendingOrder]:
    """Admitted orders of the shard's accounts that have not left, oldest first.

    Hot path: asked after each decision, so it is one plain statement.
    """
    return [
        PendingOrder(row[0], row[1], _terms(*row[4:]), verdict=row[2], created_at=row[3])
        for row in prepared.rows(_PENDING, [shard.count, shard.index])
    ]


def pending_order(order: Order, *, token_id: str, neg_risk: bool) -> PendingOrder:
    """An order that was just stored, as `pending_orders` would read it."""
    terms = _terms(
        order.client_order_id,
        token_id,
        order.side,
        order.order_type,
        order.price,
        order.maker_units,
        order.taker_units,
        order.salt,
        order.timestamp_ms,
        neg_risk,
        order.expires_at,
        order.post_only,
    )
    return PendingOrder(order.pk, order.account_id, terms, verdict=order.risk_verdict, created_at=order.created_at)


def cancels_wanted(*, shard: Shard) -> list[tuple[UUID, CancelWanted]]:
    """Live orders somebody asked to cancel. An order without an answer is canceled once it is known to be live."""
    rows = Order.objects.filter(
        status__in=_LIVE, cancel_requested_at__isnull=False, account__in=shard.accounts()
    ).order_by("id")
    return [(order.account_id, CancelWanted(order.pk, order.order_hash or "")) for order in rows]


def open_work(*, account_id: UUID, now: datetime) -> OpenWork:
    """What a reconciliation has to look at."""
    orders = Order.objects.filter(account_id=account_id).select_related("token__market").order_by("id")
    unknown = sent_orders(orders.filter(status=OrderStatus.SENT))
    live = sent_orders(orders.filter(status__in=_LIVE))
    watched = sent_orders(orders.filter(status=OrderStatus.PRESUMED_NOT_PLACED, watch_until__gt=now))
    return OpenWork(
        unknown=unknown,
        live=live,
        watched=watched,
        trades_after=_trades_after(account_id, unknown, now),
    )


def sent_orders(orders: Iterable[Order]) -> tuple[SentOrder, ...]:
    return tuple(
        SentOrder(
            order_id=order.pk,
            order_hash=order.order_hash or "",
            terms=terms_of(order),
            sent_at=order.sent_at or order.created_at,
            attempts=order.attempts,
            cancel_requested=order.cancel_requested_at is not None,
            wire=bytes(order.wire or b""),
        )
        for order in orders
    )


def terms_of(order: Order) -> OrderTerms:
    """The terms as signed; the same row always gives the same order hash."""
    return pending_order(order, token_id=order.token.token_id, neg_risk=order.token.market.neg_risk).terms


def _terms(
    client_order_id: UUID,
    token_id: str,
    side: str,
    order_type: str,
    price: Decimal,
    maker_units: int,
    taker_units: int,
    salt: int,
    timestamp_ms: int,
    neg_risk: bool,
    expires_at: datetime | None,
    post_only: bool,
) -> OrderTerms:
    return OrderTerms(
        client_order_id=client_order_id,
        token_id=token_id,
        side=Side(side),
        order_type=OrderType(order_type),
        price_units=money.price_to_units(price),
        share_units=taker_units if side == Side.BUY else maker_units,
        maker_units=maker_units,
        taker_units=taker_units,
        salt=salt,
        timestamp_ms=timestamp_ms,
        neg_risk=neg_risk,
        expiration_s=int(expires_at.timestamp()) if expires_at is not None else 0,
        post_only=post_only,
    )


def write_states(*, states: Sequence[tuple[UUID, EngineState, str, bool]], now: datetime) -> None:
    """Engine rows of many accounts: (account, state, detail, just reconciled)."""
    latest = {state[0]: state for state in states}
    reconciled = {state[0] for state in states if state[3]}
    rows = [
        Engine(account_id=account_id, state=state, detail=detail[:300], beat_at=now, reconciled_at=now)
        for account_id, state, detail, _ in sorted(latest.values())
    ]
    for done, fields in (
        (False, ["state", "detail", "beat_at"]),
        (True, ["state", "detail", "beat_at", "reconciled_at"]),
    ):
        some = [row for row in rows if (row.account_id in reconciled) is done]
        if not done:
            for row in some:
                row.reconciled_at = None
        Engine.objects.bulk_create(some, update_conflicts=True, unique_fields=["account"], update_fields=fields)


def beat(*, account_ids: Sequence[UUID], now: datetime) -> None:
    Engine.objects.filter(account_id__in=account_ids).update(beat_at=now)


def _trades_after(account_id: UUID, unknown: Sequence[SentOrder], now: datetime) -> datetime:
    """Since the last reconciliation, or since the oldest thing that is not settled."""
    engine = Engine.objects.filter(account_id=account_id).first()
    account = TradingAccount.objects.get(id=account_id)
    since = engine.reconciled_at if engine is not None and engine.reconciled_at is not None else account.created_at
    unsettled: datetime | None = Fill.objects.filter(order__account_id=account_id, status__in=_UNSETTLED).aggregate(
        at=Min("venue_at")
    )["at"]
    return min(since, unsettled or now, *(order.sent_at for order in unknown), now)
