"""The journal in memory, for backtests and for tests of the loop: the same moves, no database."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from markets.venue.amounts import IMMEDIATE
from markets.venue.ports import Balances, PreparedOrder, VenueOrderStatus, VenueTrade
from polyhub.lib import money
from polyhub.lib.clock import Clock
from trading.domain import fills as accounting
from trading.domain.orders import LIVE_AT_VENUE, TERMINAL, EngineState, FillStatus, OrderStatus, advance
from trading.domain.reports import Answer, AnswerKind, LeaseLost, OpenWork, OrderSeen, PendingOrder, SentOrder
from trading.engine.ports import JournalUnavailable, LeaseView

_MAY_CANCEL = LIVE_AT_VENUE | {OrderStatus.PRESUMED_NOT_PLACED}


@dataclass(slots=True)
class MemoryOrder:
    """One order's life."""

    pending: PendingOrder
    status: OrderStatus = OrderStatus.PENDING
    code: str = ""
    sent: SentOrder | None = None
    trade_ids: list[str] = field(default_factory=list)
    fills: dict[str, accounting.FillFact] = field(default_factory=dict)
    history: list[OrderStatus] = field(default_factory=lambda: [OrderStatus.PENDING])

    def move(self, to: OrderStatus, code: str = "") -> None:
        if to != self.status:
            self.status = advance(self.status, to)
            self.history.append(to)
        self.code = code


class MemoryJournal:
    """Remembers as long as the process does. `away` makes every call fail, as a lost database would."""

    def __init__(self, *, clock: Clock, lease: LeaseView, patience: timedelta = timedelta(seconds=30)) -> None:
        self._clock = clock
        self._lease = lease
        self._patience = patience
        self.orders: dict[int, MemoryOrder] = {}
        self.states: list[tuple[EngineState, str]] = []
        self.told_balances: list[Balances] = []
        self.reconciliations = 0
        self.away = False

    def admit(self, order: PendingOrder) -> None:
        self.orders[order.order_id] = MemoryOrder(order)

    async def claim(self, order: PendingOrder, prepared: PreparedOrder) -> bool:
        row = self._row(order.order_id)
        self._fence()
        if row.status is not OrderStatus.PENDING:
            return False
        if self._clock.now() - order.created_at > self._patience:
            row.move(OrderStatus.DENIED, "STALE_INTENT")
            return False
        row.sent = SentOrder(
            order_id=order.order_id,
            order_hash=prepared.order_hash,
            terms=prepared.terms,
            sent_at=self._clock.now(),
            attempts=1,
            cancel_requested=False,
            wire=prepared.wire,
        )
        row.move(OrderStatus.SENT)
        return True

    async def deny(self, order: PendingOrder, *, code: str, message: str) -> None:
        self._row(order.order_id).move(OrderStatus.DENIED, code)

    async def answered(self, answer: Answer) -> None:
        row = self._row(answer.order_id)
        if answer.kind is AnswerKind.ACCEPTED:
            self._name(row, answer.trade_ids)
            self._settle(row)
        elif row.status is OrderStatus.SENT and not row.fills:
            if answer.kind is AnswerKind.REFUSED:
                row.move(OrderStatus.REJECTED, answer.code)
            elif answer.kind is AnswerKind.NOT_SENT:
                row.move(OrderStatus.PRESUMED_NOT_PLACED, answer.code)
            else:
                row.code = answer.code

    async def allow_resend(self, order_id: int) -> bool:
        row = self._row(order_id)
        self._fence()
        if row.status is not OrderStatus.SENT or row.sent is None or row.sent.cancel_requested:
            return False
        row.sent = replace(row.sent, attempts=row.sent.attempts + 1, sent_at=self._clock.now())
        return True

    async def trades(self, account_id: UUID, trades: Sequence[VenueTrade]) -> int:
        self._reach()
        foreign = 0
        for trade in trades:
            row = self._by_hash(trade.order_hash)
            if row is None:
                foreign += 1
                continue
            reported, known = FillStatus(trade.status), row.fills.get(trade.trade_id)
            status = reported if known is None else accounting.more_final(known.status, reported)
            row.fills[trade.trade_id] = _fact(trade, status)
            self._settle(row)
        return foreign

    async def seen(self, account_id: UUID, orders: Sequence[OrderSeen]) -> int:
        self._reach()
        foreign = 0
        for report in orders:
            row = self._by_hash(report.order_hash)
            if row is None:
                foreign += 1
            elif row.status not in {OrderStatus.DENIED, OrderStatus.REJECTED}:
                self._name(row, report.trade_ids)
                if report.venue_status is VenueOrderStatus.CANCELED and row.status in _MAY_CANCEL:
                    row.move(OrderStatus.CANCELED, "BY_VENUE")
                self._settle(row)
                matched = report.venue_status is VenueOrderStatus.MATCHED and report.matched_share_units > 0
                if matched and row.status not in TERMINAL and set(row.fills).issuperset(row.trade_ids):
                    row.move(OrderStatus.CANCELED, "SETTLEMENT_FAILED")
        return foreign

    async def presume_not_placed(self, order_id: int, *, code: str) -> None:
        row = self._row(order_id)
        if row.status is OrderStatus.SENT:
            row.move(OrderStatus.PRESUMED_NOT_PLACED, code)

    async def close(self, order_id: int, *, to: OrderStatus, code: str) -> None:
        row = self._row(order_id)
        if row.status not in TERMINAL:
            row.move(to, code)

    async def open_work(self, account_id: UUID) -> OpenWork:
        self._reach()
        sent = {status: self._sent(account_id, status) for status in OrderStatus}
        first: datetime = min(
            (row.sent.sent_at for row in self.orders.values() if row.sent is not None), default=self._clock.now()
        )
        return OpenWork(
            unknown=sent[OrderStatus.SENT],
            live=sent[OrderStatus.OPEN] + sent[OrderStatus.PARTIALLY_FILLED],
            watched=sent[OrderStatus.PRESUMED_NOT_PLACED],
            trades_after=first,
        )

    async def balances(self, account_id: UUID, balances: Balances) -> None:
        self._reach()
        self.told_balances.append(balances)

    async def state(self, account_id: UUID, state: EngineState, *, detail: str = "", reconciled: bool = False) -> None:
        self._reach()
        self.states.append((state, detail))
        self.reconciliations += reconciled

    def _sent(self, account_id: UUID, status: OrderStatus) -> tuple[SentOrder, ...]:
        return tuple(
            row.sent
            for row in self.orders.values()
            if row.sent is not None and row.status is status and row.pending.account_id == account_id
        )

    def _row(self, order_id: int) -> MemoryOrder:
        self._reach()
        return self.orders[order_id]

    def _by_hash(self, order_hash: str) -> MemoryOrder | None:
        found = (row for row in self.orders.values() if row.sent is not None and row.sent.order_hash == order_hash)
        return next(found, None)

    def _name(self, row: MemoryOrder, trade_ids: Sequence[str]) -> None:
        row.trade_ids.extend(one for one in trade_ids if one not in row.trade_ids)

    def _settle(self, row: MemoryOrder) -> None:
        terms, done = row.pending.terms, accounting.totals(row.fills.values())
        row.move(
            accounting.status_after(
                row.status,
                complete=accounting.is_complete(
                    side=terms.side,
                    by_budget=terms.order_type in IMMEDIATE,
                    ordered=money.from_units(terms.share_units),
                    budget_usdc=money.from_units(terms.maker_units),
                    done=done,
                ),
                any_filled=done.shares > 0,
                rests=terms.order_type not in IMMEDIATE,
                trades_named=row.trade_ids,
                booked=set(row.fills),
            )
        )

    def _fence(self) -> None:
        if not self._lease.alive():
            raise LeaseLost("The lease is over.")

    def _reach(self) -> None:
        if self.away:
            raise JournalUnavailable("The journal is away.")


def _fact(trade: VenueTrade, status: FillStatus) -> accounting.FillFact:
    notional = money.notional_units(price_units=trade.price_units, share_units=trade.share_units)
    return accounting.FillFact(
        key=f"{trade.trade_id}:{trade.order_hash}",
        side=trade.side,
        shares=money.from_units(trade.share_units),
        notional_usdc=money.from_units(notional),
        fee_usdc=money.from_units(trade.fee_units),
        status=status,
        venue_at=trade.venue_at,
    )
