"""Selling what leaders' sales oblige to sell, again and again until it is sold; nothing here looks at age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from copytrade.domain import decide
from copytrade.domain.decide import BookView, Holding, MarketTerms, PlaceOrder
from copytrade.services import commit, rules, work
from polyhub.lib import money, prepared, push
from trading.domain.reports import PendingOrder
from trading.services import orders
from trading.services.orders import OrderRequest

MAX_EXITS = 500
# A sale that FAILED to settle is owed again: a finished exit is looked at once more after this.
RECHECK = timedelta(minutes=5)
UNDER_WAY = timedelta(seconds=1)

_DUE = """
SELECT b.rule_id, b.token_id, k.token_id, r.account_id, r.leader, r.slippage, b.exit_price, b.exit_attempts,
       b.exit_retry_at, m.tick_size, m.min_order_shares, m.active AND NOT m.closed AND m.accepting_orders,
       m.fee_rate
FROM copytrade_leaderbook b
JOIN copytrade_copyrule r ON r.id = b.rule_id JOIN accounts_tradingaccount a ON a.id = r.account_id
JOIN markets_token k ON k.id = b.token_id JOIN markets_market m ON m.id = k.market_id
WHERE b.exit_retry_at <= %s AND a.shard_key %% %s = %s ORDER BY b.exit_retry_at, b.id LIMIT %s
"""

_STORE = """
UPDATE copytrade_leaderbook b
SET exit_obliged_shares = v.obliged, exit_attempts = v.attempts, exit_retry_at = v.retry_at, updated_at = %s
FROM unnest(%s::uuid[], %s::bigint[], %s::numeric[], %s::int[], %s::timestamptz[])
     AS v(rule, token, obliged, attempts, retry_at)
WHERE b.rule_id = v.rule AND b.token_id = v.token
"""


@dataclass(frozen=True, slots=True)
class DueExit:
    """An exit row whose time has come."""

    rule_id: UUID
    token_pk: int
    token_id: str
    account_id: UUID
    leader: str
    slippage: Decimal
    price: Decimal | None
    attempts: int
    retry_at: datetime
    market: MarketTerms


@dataclass(frozen=True, slots=True)
class _Next:
    obliged: Decimal
    attempts: int
    retry_at: datetime | None


def due(*, shard: int, shards: int, now: datetime) -> list[DueExit]:
    """Exits of this shard to try now."""
    rows = prepared.rows(_DUE, [now, shards, shard, MAX_EXITS])
    return [DueExit(*(*row[:9], work.market_terms(row[9:]))) for row in rows]


@transaction.atomic
def retry(*, views: Mapping[str, BookView], shard: int, shards: int, now: datetime) -> list[PendingOrder]:
    """Place the sales that are possible and plan the next try of the others; gives the orders to send."""
    commit.lock_shard(shard=shard)
    ready = due(shard=shard, shards=shards, now=now)
    holdings = work.holdings(wanted=[(item.rule_id, item.token_pk) for item in ready])
    requests: list[OrderRequest] = []
    plan: dict[tuple[UUID, int], _Next] = {}
    for item in ready:
        key = (item.rule_id, item.token_pk)
        request, plan[key] = _try(item, holdings[key][0], views.get(item.token_id, commit.NO_BOOK), now=now)
        if request:
            requests.append(request)
    results = orders.submit_orders(requests=requests, actor=commit.ACTOR, now=now, wake=False)
    _store(plan, now=now)
    finished = {item.leader for item in ready if plan[item.rule_id, item.token_pk].retry_at is None}
    if finished:
        rules.unwatch_unneeded(leaders=sorted(finished))
    push.push(pushes=commit.told(results), now=now)
    return commit.to_send(results)


def _try(item: DueExit, holding: Holding, view: BookView, *, now: datetime) -> tuple[OrderRequest | None, _Next]:
    sale = decide.size_exit(
        holding=holding,
        market=item.market,
        view=view,
        slippage_units=money.price_to_units(item.slippage),
        leader_price_units=None if item.price is None else money.price_to_units(item.price),
        attempt=item.attempts,
    )
    obliged = money.from_units(holding.obliged_units)
    if isinstance(sale, PlaceOrder):
        request = commit.order_request(
            item.account_id, item.rule_id, item.token_id, sale, key=f"exit:{item.token_pk}:{item.retry_at.isoformat()}"
        )
        return request, _Next(obliged, item.attempts + 1, now + decide.retry_delay(item.attempts))
    if sale.code == "NOTHING_TO_SELL":
        # What is left is dust, or a buy that never filled: the next entry opens the book anew.
        settled = money.from_units(holding.sold_units)
        return None, _Next(settled, 0, now + RECHECK if item.attempts else None)
    if sale.code == "ORDER_UNDER_WAY":
        return None, _Next(obliged, item.attempts, now + UNDER_WAY)
    return None, _Next(obliged, item.attempts + 1, now + decide.retry_delay(item.attempts))


def _store(plan: Mapping[tuple[UUID, int], _Next], *, now: datetime) -> None:
    keys: Sequence[tuple[UUID, int]] = sorted(plan)
    if not keys:
        return
    prepared.run(
        _STORE,
        [
            now,
            [rule for rule, _ in keys],
            [token for _, token in keys],
            [plan[key].obliged for key in keys],
            [plan[key].attempts for key in keys],
            [plan[key].retry_at for key in keys],
        ],
    )
