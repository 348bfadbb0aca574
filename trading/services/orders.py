"""Asking for orders: the one way in. An engine signs and sends what is stored here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from accounts.models import TradingAccount
from markets.venue import amounts
from markets.venue.ports import OrderType, Side
from polyhub.lib import clock, prepared, push
from polyhub.lib.errors import AppError
from polyhub.lib.failpoints import fp
from polyhub.lib.money import ZERO
from riskmgmt.domain import gate
from trading.domain import reserves, terms
from trading.domain.orders import UNFINISHED, OrderStatus
from trading.domain.reports import PendingOrder
from trading.models import Order
from trading.services import admission, changes, inserting, work

# A marketable BUY must be worth a dollar at the venue.
MARKETABLE_MIN_USDC = Decimal(1)
ID_TAKEN = "CLIENT_ORDER_ID_TAKEN"
_UNSIGNABLE = {"PRICE_OFF_TICK": gate.DenyCode.PRICE_OFF_TICK, "TICK_UNKNOWN": gate.DenyCode.PRICE_OFF_TICK}


class NotCancelable(AppError):
    """The order is finished."""

    code = "NOT_CANCELABLE"
    http_status = 409


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One order asked for. The same `client_order_id` twice is one order.

    `price` is the worst price accepted; `shares` are rounded down to what the venue can sign.
    """

    account_id: UUID
    client_order_id: UUID
    token_id: str
    side: Side
    order_type: OrderType
    price: Decimal
    shares: Decimal
    source: str
    source_ref: str = ""
    reference_price: Decimal | None = None
    post_only: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What became of a request. `order_id` is None when it could not even be stored (unknown token, no size)."""

    client_order_id: UUID
    order_id: int | None
    status: OrderStatus
    code: str = ""
    numbers: dict[str, str] = field(default_factory=dict)
    created: bool = True
    # What its engine needs to send it, for a caller that runs beside that engine.
    pending: PendingOrder | None = None
    # What its owner is to be told, for a caller that tells more in the same transaction.
    told: push.Push | None = None

    @property
    def admitted(self) -> bool:
        return self.order_id is not None and self.status is not OrderStatus.DENIED


@dataclass(frozen=True, slots=True)
class _Checked:
    request: OrderRequest
    order: Order | None
    verdict: gate.Verdict
    user_id: int
    neg_risk: bool = False


def submit_order(*, request: OrderRequest, actor: str, now: datetime) -> SubmitResult:
    """`submit_orders` for one."""
    return submit_orders(requests=[request], actor=actor, now=now)[0]


@transaction.atomic(savepoint=False)
def submit_orders(
    *, requests: Sequence[OrderRequest], actor: str, now: datetime, wake: bool = True
) -> list[SubmitResult]:
    """Check and store a batch in one transaction: PENDING rows for an engine to take, DENIED rows with their reason.

    `wake=False` is for a caller that at the end of its transaction tells the owners and hands what is pending to the
    engines: two tellings in one transaction would lock users' streams out of order.

    Risk rows are locked in account id order; several requests of one account are checked one after the other.
    Results keep the order of `requests`. A request whose `client_order_id` exists changes nothing.
    """
    if not requests:
        return []
    locked = admission.lock_accounts(
        pairs=[(request.account_id, request.token_id) for request in requests],
        intents=[request.client_order_id for request in requests],
        now=now,
    )
    fp("F1")
    results: dict[UUID, SubmitResult] = {}
    fresh: list[_Checked] = []
    seen: set[UUID] = set()
    for request in requests:
        if request.client_order_id in locked.known:
            results[request.client_order_id] = _repeat(request, locked.known[request.client_order_id])
        elif request.client_order_id not in seen:
            seen.add(request.client_order_id)
            fresh.append(_check(request, locked.accounts, locked.tokens, actor=actor, now=now))
    fp("F2")
    results.update(_store(fresh, now=now, wake=wake))
    return [results[request.client_order_id] for request in requests]


@transaction.atomic
def request_cancel(*, order: Order, actor: str, now: datetime) -> Order:
    """Ask for a cancel; an order that has not left yet is denied here and now. Raises NotCancelable."""
    row = changes.locked(Order.objects.filter(pk=order.pk)).get()
    was = OrderStatus(row.status)
    if was not in UNFINISHED:
        raise NotCancelable("This order is already finished.", details={"status": row.status})
    if was in {OrderStatus.PENDING, OrderStatus.AWAITING_APPROVAL}:
        changes.move(row, OrderStatus.DENIED, now=now, code="CANCELED_BEFORE_SENDING")
        row.reserved_usdc = row.reserved_shares = ZERO
        row.closed_at = now
    row.cancel_requested_at = row.cancel_requested_at or now
    row.updated_at = now
    changes.write(changed=[changes.Changed(row, was, actor)], now=now)
    push.push(pushes=changes.order_pushes([row]), now=now)
    announce()
    return row


def request_cancel_all(*, account: TradingAccount, actor: str, now: datetime) -> int:
    """Ask for a cancel of every unfinished order of an account; the number asked for."""
    unfinished = sorted(status.value for status in UNFINISHED)
    asked = 0
    for order in Order.objects.filter(account=account, status__in=unfinished).order_by("id"):
        try:
            request_cancel(order=order, actor=actor, now=now)
            asked += 1
        except NotCancelable:
            continue
    return asked


def announce() -> None:
    """Wake the engines when this transaction commits."""
    prepared.run("SELECT pg_notify('orders', '')")


def _repeat(request: OrderRequest, known: admission.Known) -> SubmitResult:
    """An intent asked for before. The id of another account's order is taken and says nothing more."""
    if known.account_id != request.account_id:
        return SubmitResult(request.client_order_id, None, OrderStatus.DENIED, ID_TAKEN, created=False)
    return SubmitResult(request.client_order_id, known.order_id, OrderStatus(known.status), known.code, created=False)


def _check(
    request: OrderRequest,
    books: dict[UUID, admission.AccountBook],
    tokens: dict[UUID, dict[str, admission.TokenBook]],
    *,
    actor: str,
    now: datetime,
) -> _Checked:
    """The verdict on one request, and its row; the account's books move on when it is admitted."""
    account = books[request.account_id]
    own = tokens.get(request.account_id, {})
    token = own.get(request.token_id)
    if token is None:
        return _Checked(request, None, gate.denied(gate.DenyCode.TOKEN_UNKNOWN), account.user_id)
    try:
        pair = terms.signed_amounts(
            side=request.side,
            order_type=request.order_type,
            price=request.price,
            shares=request.shares,
            tick=token.tick,
        )
    except amounts.BadAmounts as error:
        refusal = gate.denied(_UNSIGNABLE.get(error.code, gate.DenyCode.SIZE_INVALID), price=request.price)
        return _Checked(request, None, refusal, account.user_id)
    intent = _intent(request, pair, token)
    exposure = replace(account.exposure, market_usdc=token.market_usdc, free_shares=token.free_shares)
    verdict = gate.check_order(intent=intent, exposure=exposure, limits=account.limits, now=now)
    if isinstance(verdict, gate.Approved):
        _move_on(account, token, own, intent)
    order = _row(request, pair, token, verdict, actor=actor, now=now)
    return _Checked(request, order, verdict, account.user_id, token.neg_risk)


def _intent(request: OrderRequest, pair: amounts.Amounts, token: admission.TokenBook) -> gate.Intent:
    immediate = request.order_type in amounts.IMMEDIATE
    cost, shares = terms.cost_of(pair, request.side), terms.shares_of(pair, request.side)
    fee: Decimal | None = ZERO
    if token.fee_rate is None:
        fee = None
    elif request.side is Side.BUY:
        fee = reserves.fee_bound(
            order_type=request.order_type,
            price=request.price,
            cost_usdc=cost,
            shares=shares,
            rate=token.fee_rate,
            exponent=token.fee_exponent,
        )
    return gate.Intent(
        side=request.side,
        price=request.price,
        shares=shares,
        cost_usdc=cost,
        fee_usdc=fee,
        market_open=token.market_open,
        expires_at=request.expires_at,
        min_shares=ZERO if immediate else token.min_shares,
        min_cost_usdc=MARKETABLE_MIN_USDC if immediate else ZERO,
    )


def _move_on(
    account: admission.AccountBook,
    token: admission.TokenBook,
    own: dict[str, admission.TokenBook],
    intent: gate.Intent,
) -> None:
    moved = account.exposure.with_order(intent)
    account.exposure = moved
    if intent.is_exit:
        token.free_shares -= intent.shares
        return
    need = intent.cost_usdc + (intent.fee_usdc or ZERO)
    for other in own.values():
        if other.market_pk == token.market_pk:
            other.market_usdc += need


def _row(
    request: OrderRequest,
    pair: amounts.Amounts,
    token: admission.TokenBook,
    verdict: gate.Verdict,
    *,
    actor: str,
    now: datetime,
) -> Order:
    order = Order(
        account_id=request.account_id,
        client_order_id=request.client_order_id,
        token_id=token.token_pk,
        side=str(request.side),
        order_type=str(request.order_type),
        price=request.price,
        shares=terms.shares_of(pair, request.side),
        post_only=request.post_only,
        expires_at=request.expires_at,
        maker_units=pair.maker_units,
        taker_units=pair.taker_units,
        salt=terms.salt(request.client_order_id),
        timestamp_ms=clock.to_ms(now),
        source=request.source,
        source_ref=request.source_ref,
        actor=actor,
        risk_verdict=verdict.text[:200],
        created_at=now,
        updated_at=now,
    )
    if isinstance(verdict, gate.Denied):
        order.status, order.code, order.message = OrderStatus.DENIED, str(verdict.code), verdict.text[:500]
        order.closed_at = now
    else:
        order.status = OrderStatus.PENDING
        order.reserved_usdc = order.admitted_usdc = verdict.reserve_usdc
        order.reserved_shares = verdict.reserve_shares
    return order


def _store(fresh: Sequence[_Checked], *, now: datetime, wake: bool) -> dict[UUID, SubmitResult]:
    rows = [checked.order for checked in fresh if checked.order is not None]
    inserting.insert_orders(rows)
    results = [_result(checked) for checked in fresh]
    if wake:
        announce()
        push.push(pushes=[result.told for result in results if result.told], now=now)
    transaction.on_commit(lambda: fp("F0"))
    return {result.client_order_id: result for result in results}


def _result(checked: _Checked) -> SubmitResult:
    order, verdict, request = checked.order, checked.verdict, checked.request
    refused = isinstance(verdict, gate.Denied)
    pending = told = None
    if order is not None:
        payload = changes.payload_of(order, token=request.token_id)
        told = push.Push(checked.user_id, "order.changed", payload)
    if order is not None and not refused:
        pending = work.pending_order(order, token_id=request.token_id, neg_risk=checked.neg_risk)
    return SubmitResult(
        client_order_id=request.client_order_id,
        order_id=order.pk if order is not None else None,
        status=OrderStatus.DENIED if refused else OrderStatus.PENDING,
        code=str(verdict.code) if isinstance(verdict, gate.Denied) else "",
        numbers=dict(verdict.numbers) if isinstance(verdict, gate.Denied) else {},
        pending=pending,
        told=told,
    )
