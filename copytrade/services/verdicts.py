"""Writing verdicts and what they change, inside the transaction that inserts the orders."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from copytrade.domain.decide import Numbers
from copytrade.domain.rules import Verdict
from copytrade.services.work import Follower, PendingFill
from polyhub.lib import prepared
from polyhub.lib.push import Push

# Rows travel as one JSON value: with hundreds of followers a fraction of the time that bound arrays take.
_INSERT = """
INSERT INTO copytrade_copydecision (rule_id, leader_trade_id, verdict, code, numbers, order_id, decided_at)
SELECT v.rule, v.trade, v.verdict, v.code, v.numbers, v.ord, %s
FROM jsonb_to_recordset(%s::jsonb)
     AS v(rule uuid, trade bigint, verdict text, code text, numbers jsonb, ord bigint)
ON CONFLICT (rule_id, leader_trade_id) DO NOTHING RETURNING id, rule_id, leader_trade_id
"""

_BOOKS = """
INSERT INTO copytrade_leaderbook
       (rule_id, token_id, exit_obliged_shares, exit_attempts, exit_retry_at, exit_price, opened_at, updated_at)
SELECT v.*, %s FROM unnest(%s::uuid[], %s::bigint[], %s::numeric[], %s::int[], %s::timestamptz[], %s::numeric[],
       %s::timestamptz[]) AS v(rule, token, obliged, attempts, retry_at, price, opened_at) ORDER BY v.rule, v.token
ON CONFLICT (rule_id, token_id) DO UPDATE SET exit_obliged_shares = EXCLUDED.exit_obliged_shares,
       exit_attempts = EXCLUDED.exit_attempts,
       exit_retry_at = CASE WHEN EXCLUDED.exit_attempts = 0 THEN copytrade_leaderbook.exit_retry_at
                            ELSE EXCLUDED.exit_retry_at END,
       exit_price = COALESCE(EXCLUDED.exit_price, copytrade_leaderbook.exit_price),
       opened_at = EXCLUDED.opened_at, updated_at = EXCLUDED.updated_at
"""


@dataclass(frozen=True, slots=True)
class Decided:
    """One follower's verdict on the fills of one leader order."""

    follower: Follower
    fills: Sequence[PendingFill]
    verdict: Verdict
    code: str
    numbers: Numbers
    order_id: int | None = None


@dataclass(slots=True)
class BookChange:
    """The newest state of one rule's exit row. No attempts: it is an entry, the time of a retry stays as it is."""

    obliged: Decimal
    opened_at: datetime | None
    attempts: int = 0
    retry_at: datetime | None = None
    price: Decimal | None = None


def write(*, decided: Sequence[Decided], now: datetime) -> list[Push]:
    """Insert one row per fill and rule; gives the pushes to send when the transaction has nothing else to do."""
    rows = [(item, fill) for item in decided for fill in item.fills]
    if not rows:
        return []
    inserted = prepared.rows(_INSERT, [now, json.dumps([_row(item, fill) for item, fill in rows])])
    ids = {(rule, int(trade)): int(pk) for pk, rule, trade in inserted}
    return [
        Push(item.follower.user_id, "decision.made", _payload(ids[key], item, fill, now=now))
        for item, fill in rows
        if (key := (item.follower.rule_id, fill.id)) in ids
    ]


def write_books(*, changes: dict[tuple[UUID, int], BookChange], now: datetime) -> None:
    """Store exit rows; the caller holds their locks."""
    if not changes:
        return
    keys = sorted(changes)
    rows = [changes[key] for key in keys]
    prepared.run(
        _BOOKS,
        [
            now,
            [rule for rule, _ in keys],
            [token for _, token in keys],
            [row.obliged for row in rows],
            [row.attempts for row in rows],
            [row.retry_at for row in rows],
            [row.price for row in rows],
            [row.opened_at for row in rows],
        ],
    )


def _row(item: Decided, fill: PendingFill) -> dict[str, object]:
    return {
        "rule": str(item.follower.rule_id),
        "trade": fill.id,
        "verdict": item.verdict.value,
        "code": item.code,
        "numbers": dict(item.numbers),
        "ord": item.order_id,
    }


def _payload(pk: int, item: Decided, fill: PendingFill, *, now: datetime) -> dict[str, object]:
    return {
        "id": pk,
        "rule": str(item.follower.rule_id),
        "account": str(item.follower.account_id),
        "leader": fill.wallet,
        "leader_trade": fill.id,
        "token": fill.token_id,
        "side": fill.side,
        "leader_price": str(fill.price),
        "leader_shares": str(fill.shares),
        "verdict": item.verdict.value,
        "code": item.code,
        "numbers": dict(item.numbers),
        "order": item.order_id,
        "decided_at": now.isoformat(),
    }
