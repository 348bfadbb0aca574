"""One transaction: verdicts on leaders' fills, their orders, and what the leaders' sales oblige to sell.

Serialised per shard by an advisory lock, so a process that woke up late repeats nothing; everything is read again
under it. Hot path: the number of statements does not depend on the number of followers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid5

from django.db import transaction

from copytrade.domain import decide, sizing
from copytrade.domain.decide import BookView, LeaderOrder, PlaceOrder, Skip
from copytrade.domain.rules import SOURCE, Verdict
from copytrade.services import verdicts, work
from copytrade.services.verdicts import BookChange, Decided
from copytrade.services.work import Earlier, Follower, PendingFill
from markets.domain.book import SELL
from markets.venue.ports import OrderType, Side
from polyhub.lib import money, prepared, push
from trading.domain.reports import PendingOrder
from trading.services import orders
from trading.services.orders import OrderRequest, SubmitResult

ACTOR = "copy"
COPIED = "COPIED"
EXIT_ORDERED = "EXIT_ORDERED"
EXIT_OWED = "EXIT_OWED"
NO_BOOK = BookView(None, "NO_BOOK")
_LOCK_CLASS = 0x706F6C79  # any fixed number: the namespace of these advisory locks
_DUST_UNITS = 10_000


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction decided: how many verdicts, and the orders that are to be sent."""

    verdicts: int
    orders: Sequence[PendingOrder]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A verdict that may still turn into a skip when the risk gate denies its order."""

    follower: Follower
    fills: Sequence[PendingFill]
    code: str
    numbers: decide.Numbers
    verdict: Verdict
    request: OrderRequest | None = None


def lock_shard(*, shard: int) -> None:
    """Held until the transaction ends."""
    prepared.run("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_CLASS, shard])


@transaction.atomic
def decide_fills(
    *, fills: Sequence[PendingFill], views: Mapping[str, BookView], shard: int, shards: int, now: datetime
) -> Written:
    """Write the verdicts this shard owes on these fills, and their orders. Running it again changes nothing.

    Nobody is woken for the orders: the caller hands them to their engines.
    """
    by_id = {fill.id: fill for fill in fills}
    # Whatever is written waits in the pipeline for the next answer that is needed.
    with prepared.pipeline():
        lock_shard(shard=shard)
        owed = work.pairs(fill_ids=list(by_id), shard=shard, shards=shards)
        pairs = [(by_id[fill_id], follower) for fill_id, follower in owed]
        decided, changes, results = _Pass(pairs, views, now).run() if pairs else ([], {}, [])
        verdicts.write_books(changes=changes, now=now)
        pushes = verdicts.write(decided=decided, now=now)
        work.finish(now=now)
        push.push(pushes=[*told(results), *pushes], now=now)
    return Written(len(pushes), to_send(results))


def told(results: Sequence[SubmitResult]) -> list[push.Push]:
    """What the owners of these orders hear."""
    return [result.told for result in results if result.told]


def to_send(results: Sequence[SubmitResult]) -> list[PendingOrder]:
    """What their engines get."""
    return [result.pending for result in results if result.pending]


class _Pass:
    """The decisions of one transaction, made in the order in which the leaders traded."""

    def __init__(
        self, pairs: Sequence[tuple[PendingFill, Follower]], views: Mapping[str, BookView], now: datetime
    ) -> None:
        self._views, self._now = views, now
        self._groups = _grouped(pairs)
        self._earlier, held = work.history(
            hashes=sorted({fill.transaction_hash for fill, _ in pairs}),
            rule_ids=sorted({follower.rule_id for _, follower in pairs}),
            wanted=sorted({(follower.rule_id, fill.token_pk) for fill, follower in pairs}),
        )
        self._held = {key: holding for key, (holding, _) in held.items()}
        self._changes: dict[tuple[UUID, int], BookChange] = {}

    def run(self) -> tuple[list[Decided], dict[tuple[UUID, int], BookChange], list[SubmitResult]]:
        drafts = [self._decide(follower, fills) for follower, fills in self._groups]
        results = orders.submit_orders(
            requests=[draft.request for draft in drafts if draft.request], actor=ACTOR, now=self._now, wake=False
        )
        by_id = {result.client_order_id: result for result in results}
        decided = [_settle(draft, by_id) for draft in drafts]
        return decided, self._changes, results

    def _decide(self, follower: Follower, fills: Sequence[PendingFill]) -> _Draft:
        if fills[0].side == SELL:
            return self._decide_exit(follower, fills)
        return self._decide_entry(follower, fills)

    def _decide_entry(self, follower: Follower, fills: Sequence[PendingFill]) -> _Draft:
        first = fills[0]
        was = self._earlier.get((follower.rule_id, first.order_key), Earlier())
        leader, holding = leader_order(fills, was), self._held[follower.rule_id, first.token_pk]
        verdict = decide.decide_entry(
            leader=leader,
            rule=follower.terms,
            market=first.market,
            holding=replace(holding, ordered_units=was.ordered_units),
            view=self._views.get(first.token_id, NO_BOOK),
            now=self._now,
        )
        if isinstance(verdict, Skip):
            return _Draft(follower, fills, verdict.code, verdict.numbers, Verdict.SKIPPED)
        self._book_entry(follower, first, leader, verdict)
        request = order_request(
            follower.account_id, follower.rule_id, first.token_id, verdict, key=f"{first.order_key}:{first.id}"
        )
        return _Draft(follower, fills, COPIED, verdict.numbers, Verdict.ORDERED, request)

    def _decide_exit(self, follower: Follower, fills: Sequence[PendingFill]) -> _Draft:
        first, key = fills[0], (follower.rule_id, fills[0].token_pk)
        leader, holding = leader_order(fills, Earlier()), self._held[key]
        owe = decide.decide_exit(leader=leader, holding=holding)
        if isinstance(owe, Skip):
            return _Draft(follower, fills, owe.code, owe.numbers, Verdict.SKIPPED)
        holding = replace(holding, obliged_units=max(holding.obliged_units, holding.sold_units) + owe.share_units)
        sale = decide.size_exit(
            holding=holding,
            market=first.market,
            view=self._views.get(first.token_id, NO_BOOK),
            slippage_units=follower.terms.slippage_units,
            leader_price_units=leader.price_units,
            attempt=0,
        )
        self._changes[key] = BookChange(
            obliged=money.from_units(holding.obliged_units),
            opened_at=holding.opened_at,
            attempts=1,
            retry_at=self._now + decide.retry_delay(0),
            price=leader.price,
        )
        if isinstance(sale, PlaceOrder):
            self._held[key] = replace(holding, selling_units=holding.selling_units + sale.share_units)
            request = order_request(
                follower.account_id, follower.rule_id, first.token_id, sale, key=f"{first.order_key}:{first.id}"
            )
            numbers = {**owe.numbers, **sale.numbers, "shares": str(money.from_units(sale.share_units))}
            return _Draft(follower, fills, EXIT_ORDERED, numbers, Verdict.ORDERED, request)
        self._held[key] = holding
        waits = {**owe.numbers, **sale.numbers, "waits_for": sale.code}
        return _Draft(follower, fills, EXIT_OWED, waits, Verdict.ORDERED)

    def _book_entry(self, follower: Follower, fill: PendingFill, leader: LeaderOrder, order: PlaceOrder) -> None:
        """The order counts as being bought from here on; an empty book opens anew with nothing owed."""
        key = (follower.rule_id, fill.token_pk)
        was = self._held[key]
        if was.held_units + was.buying_units < _DUST_UNITS:
            was = replace(was, obliged_units=was.sold_units, opened_at=leader.traded_at)
        book = self._views[fill.token_id].book
        cost = sizing.with_fee(
            money.notional_units(price_units=order.price_units, share_units=order.share_units),
            fee_rate=fill.market.fee_rate or money.ZERO,
            best_ask_units=(book.best_ask if book else None) or 0,
        )
        self._held[key] = replace(
            was, buying_units=was.buying_units + order.share_units, buying_cost_units=was.buying_cost_units + cost
        )
        change = self._changes.setdefault(key, BookChange(obliged=money.ZERO, opened_at=None))
        change.obliged, change.opened_at = money.from_units(was.obliged_units), was.opened_at


def leader_order(fills: Sequence[PendingFill], was: Earlier) -> LeaderOrder:
    """The fills of one leader order as one."""
    units = [money.to_units(fill.shares) for fill in fills]
    held = fills[0].held_before
    return LeaderOrder(
        side=fills[0].side,
        share_units=sum(units),
        value_units=sum(work.value_units(fill.price, size) for fill, size in zip(fills, units, strict=True)),
        traded_at=fills[0].traded_at,
        held_before_units=None if held is None else money.to_units(held),
        seen_units=was.seen_units,
        seen_value_units=was.seen_value_units,
    )


def order_request(account_id: UUID, rule_id: UUID, token_id: str, order: PlaceOrder, *, key: str) -> OrderRequest:
    """An immediate order booked for a rule; the same key gives the same order id, so a repeat is no second order."""
    return OrderRequest(
        account_id=account_id,
        client_order_id=uuid5(rule_id, key),
        token_id=token_id,
        side=Side(order.side),
        order_type=OrderType.FAK,
        price=money.price_from_units(order.price_units),
        shares=money.from_units(order.share_units),
        source=SOURCE,
        source_ref=str(rule_id),
    )


def _grouped(pairs: Sequence[tuple[PendingFill, Follower]]) -> list[tuple[Follower, list[PendingFill]]]:
    groups: dict[tuple[UUID, work.OrderKey], tuple[Follower, list[PendingFill]]] = {}
    for fill, follower in pairs:
        groups.setdefault((follower.rule_id, fill.order_key), (follower, []))[1].append(fill)
    for _, fills in groups.values():
        fills.sort(key=lambda fill: (fill.traded_at, fill.id))
    return sorted(groups.values(), key=lambda group: (group[1][0].traded_at, group[1][0].id))


def _settle(draft: _Draft, results: Mapping[UUID, SubmitResult]) -> Decided:
    """The verdict after the risk gate has spoken. A denied exit stays owed and is tried again."""
    if draft.request is None:
        return Decided(draft.follower, draft.fills, draft.verdict, draft.code, draft.numbers)
    result = results[draft.request.client_order_id]
    if result.admitted:
        return Decided(draft.follower, draft.fills, draft.verdict, draft.code, draft.numbers, result.order_id)
    code = f"RISK_{result.code}"
    numbers = {**draft.numbers, **result.numbers}
    if draft.code == EXIT_ORDERED:
        return Decided(
            draft.follower, draft.fills, Verdict.ORDERED, EXIT_OWED, {**numbers, "waits_for": code}, result.order_id
        )
    return Decided(draft.follower, draft.fills, Verdict.SKIPPED, code, numbers, result.order_id)
