"""Reading what one shard has to decide: leaders' fills without a verdict, the rules they concern, what those hold.

Hot path: each function is one statement, whatever the number of followers.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from copytrade.domain.decide import Holding, MarketTerms
from copytrade.domain.rules import RATIO_UNITS, SOURCE, RuleStatus, RuleTerms, Sizing, Verdict
from polyhub.lib import money, prepared
from trading.services import booked

MAX_FILLS = 500

# Which rule `r` owes a verdict on which trade `t`. A stopped rule only follows sales of what it may still hold.
_OWED = """
r.leader = t.wallet AND r.created_at <= t.traded_at + interval '1 second'
AND (r.status <> 'STOPPED' OR (t.side = 'SELL' AND EXISTS (
     SELECT 1 FROM copytrade_leaderbook b WHERE b.rule_id = r.id AND b.token_id = t.token_id)))
AND NOT EXISTS (SELECT 1 FROM copytrade_copydecision d WHERE d.rule_id = r.id AND d.leader_trade_id = t.id)
"""

_PENDING = f"""
SELECT t.id, t.wallet, t.token_id, k.token_id, t.side, t.price, t.shares, t.transaction_hash, t.held_before_shares,
       t.traded_at, t.received_at, m.tick_size, m.min_order_shares,
       m.active AND NOT m.closed AND m.accepting_orders, m.fee_rate
FROM markets_leadertrade t
JOIN markets_token k ON k.id = t.token_id JOIN markets_market m ON m.id = k.market_id
WHERE t.decided_at IS NULL AND EXISTS (
    SELECT 1 FROM copytrade_copyrule r JOIN accounts_tradingaccount a ON a.id = r.account_id
    WHERE a.shard_key %% %s = %s AND {_OWED})
ORDER BY t.traded_at, t.id LIMIT %s
"""

_PAIRS = f"""
SELECT t.id, r.id, r.account_id, a.user_id, r.leader, r.status, r.sizing, r.ratio, r.fixed_usdc, r.max_position_usdc,
       r.min_order_usdc, r.slippage, r.min_price, r.max_price, r.max_age_s
FROM markets_leadertrade t
JOIN copytrade_copyrule r ON r.leader = t.wallet JOIN accounts_tradingaccount a ON a.id = r.account_id
WHERE t.id = ANY(%s) AND a.shard_key %% %s = %s AND {_OWED}
ORDER BY t.id, r.id
"""

_EARLIER = """
SELECT d.rule_id, t.transaction_hash, t.wallet, t.token_id, t.side, t.shares, t.price, d.verdict, d.order_id,
       d.numbers ->> 'shares'
FROM markets_leadertrade t JOIN copytrade_copydecision d ON d.leader_trade_id = t.id
WHERE t.transaction_hash = ANY(%s) AND t.side = 'BUY' AND d.rule_id = ANY(%s)
"""

_BOOKS = """
SELECT b.rule_id, b.token_id, b.exit_obliged_shares, b.exit_attempts, b.opened_at FROM copytrade_leaderbook b
JOIN unnest(%s::uuid[], %s::bigint[]) AS p(rule, token) ON b.rule_id = p.rule AND b.token_id = p.token
ORDER BY b.id FOR UPDATE OF b
"""

# A trade is done once nobody owes a verdict on it, whichever shard wrote the last one.
_FINISH = f"""
UPDATE markets_leadertrade t SET decided_at = %s
WHERE t.decided_at IS NULL AND NOT EXISTS (SELECT 1 FROM copytrade_copyrule r WHERE {_OWED})
"""

OrderKey = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class PendingFill:
    """A leader's fill that some rule of this shard has no verdict on."""

    id: int
    wallet: str
    token_pk: int
    token_id: str
    side: str
    price: Decimal
    shares: Decimal
    transaction_hash: str
    held_before: Decimal | None
    traded_at: datetime
    received_at: datetime
    market: MarketTerms

    @property
    def order_key(self) -> OrderKey:
        """Fills with the same key are of one order of the leader."""
        return (self.transaction_hash, self.wallet, self.token_pk, self.side)


@dataclass(frozen=True, slots=True)
class Follower:
    rule_id: UUID
    account_id: UUID
    user_id: int
    leader: str
    terms: RuleTerms


@dataclass(frozen=True, slots=True)
class Earlier:
    """Fills of the same leader order that this rule has decided before, in units, and what it ordered for them."""

    seen_units: int = 0
    seen_value_units: int = 0
    ordered_units: int = 0


def pending(*, shard: int, shards: int) -> list[PendingFill]:
    """Fills that await a verdict of this shard, oldest first."""
    rows = prepared.rows(_PENDING, [shards, shard, MAX_FILLS])
    return [PendingFill(*(*row[:11], market_terms(row[11:]))) for row in rows]


def market_terms(row: Sequence[Any]) -> MarketTerms:
    """Tick, minimum size, is open, the fee rate or None."""
    tick, minimum, is_open, fee_rate = row
    return MarketTerms(
        tick_units=money.price_to_units(tick),
        min_share_units=money.to_units(minimum),
        is_open=is_open,
        fee_rate=fee_rate,
    )


def pairs(*, fill_ids: Sequence[int], shard: int, shards: int) -> list[tuple[int, Follower]]:
    """Which follower owes a verdict on which of these fills."""
    rows = prepared.rows(_PAIRS, [list(fill_ids), shards, shard])
    followers: dict[UUID, Follower] = {}
    result = []
    for row in rows:
        follower = followers.get(row[1])
        if follower is None:
            follower = followers[row[1]] = Follower(row[1], row[2], row[3], row[4], terms_of(row[5:]))
        result.append((int(row[0]), follower))
    return result


def terms_of(row: Sequence[object]) -> RuleTerms:
    """A rule's columns in the order of `_PAIRS`, in integers."""
    status, kind, ratio, fixed, most, least, slippage, low, high, age = row
    size = Decimal(str(ratio)) * RATIO_UNITS if ratio is not None else Decimal(str(fixed)) * money.UNITS
    return RuleTerms(
        status=RuleStatus(str(status)),
        sizing=Sizing(str(kind)),
        size_units=int(size),
        max_position_units=money.to_units(Decimal(str(most))),
        min_order_units=money.to_units(Decimal(str(least))),
        slippage_units=money.price_to_units(Decimal(str(slippage))),
        min_price_units=money.price_to_units(Decimal(str(low))),
        max_price_units=money.price_to_units(Decimal(str(high))),
        max_age_s=int(str(age)),
    )


def history(
    *, hashes: Sequence[str], rule_ids: Sequence[UUID], wanted: Sequence[tuple[UUID, int]]
) -> tuple[dict[tuple[UUID, OrderKey], Earlier], dict[tuple[UUID, int], tuple[Holding, int]]]:
    """What was decided before of the same buys of leaders, and `holdings`: one round trip."""
    with prepared.pipeline():
        before = prepared.send(_EARLIER, [list(hashes), list(rule_ids)])
        asked = _ask_holdings(wanted)
    return _earlier(before.fetchall()), _holdings(wanted, *asked)


def _earlier(rows: Sequence[tuple[Any, ...]]) -> dict[tuple[UUID, OrderKey], Earlier]:
    found: dict[tuple[UUID, OrderKey], Earlier] = defaultdict(Earlier)
    orders: set[int] = set()
    for rule_id, tx, wallet, token, side, shares, price, verdict, order_id, ordered in rows:
        key = (rule_id, (tx, wallet, int(token), side))
        is_new = verdict == Verdict.ORDERED and order_id is not None and order_id not in orders
        if is_new:
            orders.add(order_id)
        was, units = found[key], money.to_units(shares)
        found[key] = Earlier(
            seen_units=was.seen_units + units,
            seen_value_units=was.seen_value_units + value_units(price, units),
            ordered_units=was.ordered_units + (money.to_units(Decimal(ordered or 0)) if is_new else 0),
        )
    return found


def value_units(price: Decimal, share_units: int) -> int:
    """Price in 1/10,000 times shares in base units, rounded to the nearest whole."""
    return int((price * money.PRICE_UNITS * share_units).to_integral_value())


def holdings(*, wanted: Sequence[tuple[UUID, int]]) -> dict[tuple[UUID, int], tuple[Holding, int]]:
    """What each (rule, token) holds and owes, with its number of exit attempts; its exit row is locked."""
    with prepared.pipeline():
        asked = _ask_holdings(wanted)
    return _holdings(wanted, *asked)


def _ask_holdings(wanted: Sequence[tuple[UUID, int]]) -> tuple[prepared.Cursor, prepared.Cursor]:
    locked = prepared.send(_BOOKS, [[rule for rule, _ in wanted], [token for _, token in wanted]])
    return locked, booked.ask_by_pair(source=SOURCE, pairs=[(str(rule), token) for rule, token in wanted])


def _holdings(
    wanted: Sequence[tuple[UUID, int]], locked: prepared.Cursor, summed: prepared.Cursor
) -> dict[tuple[UUID, int], tuple[Holding, int]]:
    rows = {(row[0], int(row[1])): row[2:] for row in locked.fetchall()}
    sums = booked.read(summed.fetchall())
    result = {}
    for rule, token in wanted:
        obliged, attempts, opened_at = rows.get((rule, token), (money.ZERO, 0, None))
        held = sums.get((str(rule), token), booked.Booked())
        result[rule, token] = (
            Holding(
                held_units=money.to_units(held.held),
                cost_units=money.floor_units(held.cost_usdc),
                buying_units=money.to_units(held.buying),
                buying_cost_units=money.floor_units(held.buying_usdc),
                selling_units=money.to_units(held.selling),
                obliged_units=money.to_units(obliged),
                sold_units=money.to_units(held.sold),
                opened_at=opened_at,
            ),
            int(attempts),
        )
    return result


def finish(*, now: datetime) -> int:
    """Mark trades on which no verdict is owed any more."""
    return prepared.run(_FINISH, [now])
