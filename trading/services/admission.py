"""What the risk gate needs to know of many accounts, in four statements and one round trip whatever their number."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts.models import AccountMode, AccountStatus
from polyhub.lib import prepared
from polyhub.lib.money import ZERO
from riskmgmt import services as risk
from riskmgmt.domain.gate import Exposure, Limits
from riskmgmt.domain.states import TradingState
from trading.models import UNFINISHED_SQL

Rows = list[tuple[Any, ...]]

_LOCK = "SELECT account_id FROM riskmgmt_riskstate WHERE account_id = ANY(%s) ORDER BY account_id FOR UPDATE"

ACCOUNTS = f"""
SELECT a.id, a.user_id, a.status, a.mode, s.state, s.day, s.day_start_equity_usdc,
       l.order_min_usdc, l.order_max_usdc, l.market_max_usdc, l.total_max_usdc, l.max_open_orders, l.daily_loss_usdc,
       COALESCE(b.cash_usdc, 0), COALESCE(r.usdc, 0), COALESCE(r.orders, 0), COALESCE(p.value, 0), COALESCE(p.cost, 0)
FROM accounts_tradingaccount a
JOIN riskmgmt_riskstate s ON s.account_id = a.id
JOIN riskmgmt_risklimits l ON l.account_id = a.id
LEFT JOIN trading_balance b ON b.account_id = a.id
LEFT JOIN LATERAL (
    SELECT sum(o.reserved_usdc) AS usdc, count(*) AS orders FROM trading_order o
    WHERE o.account_id = a.id AND o.status IN {UNFINISHED_SQL}) r ON true
LEFT JOIN LATERAL (
    SELECT sum(h.cost_usdc) AS cost, sum(h.shares * COALESCE(q.best_bid, q.last_price, h.cost_usdc / h.shares)) AS value
    FROM trading_position h LEFT JOIN markets_quote q ON q.token_id = h.token_id
    WHERE h.account_id = a.id AND h.shares > 0) p ON true
WHERE a.id = ANY(%s)
"""

_TOKENS = f"""
SELECT v.account_id, v.token, t.id, m.id, m.tick_size, m.min_order_shares, m.fee_rate, m.fee_exponent,
       m.active AND NOT m.closed AND m.accepting_orders, m.neg_risk,
       COALESCE((SELECT sum(h.cost_usdc) FROM trading_position h JOIN markets_token x ON x.id = h.token_id
                 WHERE h.account_id = v.account_id AND x.market_id = m.id), 0)
       + COALESCE((SELECT sum(o.reserved_usdc) FROM trading_order o JOIN markets_token x ON x.id = o.token_id
                   WHERE o.account_id = v.account_id AND x.market_id = m.id AND o.status IN {UNFINISHED_SQL}), 0),
       COALESCE((SELECT h.sellable_shares FROM trading_position h
                 WHERE h.account_id = v.account_id AND h.token_id = t.id), 0)
       - COALESCE((SELECT sum(o.reserved_shares) FROM trading_order o
                   WHERE o.account_id = v.account_id AND o.token_id = t.id AND o.status IN {UNFINISHED_SQL}), 0)
FROM unnest(%s::uuid[], %s::text[]) AS v(account_id, token)
JOIN markets_token t ON t.token_id = v.token JOIN markets_market m ON m.id = t.market_id
"""

_KNOWN = "SELECT client_order_id, id, account_id, status, code FROM trading_order WHERE client_order_id = ANY(%s)"

_NEW_DAY = """
UPDATE riskmgmt_riskstate s SET day = %s, day_start_equity_usdc = v.equity
FROM unnest(%s::uuid[], %s::numeric[]) AS v(account_id, equity) WHERE s.account_id = v.account_id
"""


@dataclass(slots=True)
class AccountBook:
    """One locked account; `exposure` moves on as orders of the same batch are admitted."""

    user_id: int
    limits: Limits
    exposure: Exposure


@dataclass(slots=True)
class TokenBook:
    """One token for one account: the market's terms, and what the account has in it."""

    token_pk: int
    market_pk: int
    tick: Decimal
    min_shares: Decimal
    fee_rate: Decimal | None
    fee_exponent: int
    market_open: bool
    neg_risk: bool
    market_usdc: Decimal
    free_shares: Decimal


@dataclass(frozen=True, slots=True)
class Known:
    """An order that was asked for before."""

    order_id: int
    account_id: UUID
    status: str
    code: str


@dataclass(frozen=True, slots=True)
class Locked:
    """What one batch is judged by: accounts, their tokens that are in the catalogue by token id, intents known."""

    accounts: dict[UUID, AccountBook]
    tokens: dict[UUID, dict[str, TokenBook]]
    known: dict[UUID, Known]


def lock_accounts(*, pairs: Sequence[tuple[UUID, str]], intents: Sequence[UUID], now: datetime) -> Locked:
    """Lock the risk rows of (account, token id) pairs in account id order and read what the gate judges by.

    The reading statements follow the locking one, so that they see what others committed before.
    """
    wanted = sorted(set(pairs))
    ids = sorted({account_id for account_id, _ in wanted})
    locked, accounts, tokens, known = _read(ids, wanted, intents)
    if len(locked) < len(ids):
        risk.ensure(account_ids=ids, now=now)
        _, accounts, tokens, known = _read(ids, wanted, intents)
    return Locked(_account_books(accounts, now=now), _token_books(tokens), {row[0]: Known(*row[1:]) for row in known})


def _read(ids: list[UUID], wanted: list[tuple[UUID, str]], intents: Sequence[UUID]) -> list[Rows]:
    with prepared.pipeline():
        asked = [
            prepared.send(_LOCK, [ids]),
            prepared.send(ACCOUNTS, [ids]),
            prepared.send(_TOKENS, [[pair[0] for pair in wanted], [pair[1] for pair in wanted]]),
            prepared.send(_KNOWN, [list(intents)]),
        ]
    return [cursor.fetchall() for cursor in asked]


def _account_books(rows: Rows, *, now: datetime) -> dict[UUID, AccountBook]:
    books: dict[UUID, AccountBook] = {}
    new_day: list[tuple[UUID, Decimal]] = []
    for row in rows:
        account_id, day, equity = row[0], row[5], row[13] + row[16]
        if day != _day(now):
            new_day.append((account_id, equity))
        start = row[6] if day == _day(now) and row[6] is not None else equity
        books[account_id] = AccountBook(
            user_id=row[1],
            limits=Limits(*row[7:13]),
            exposure=Exposure(
                cash_usdc=row[13] - row[14],
                total_usdc=row[17] + row[14],
                open_orders=row[15],
                day_loss_usdc=max(ZERO, start - equity),
                trading_state=TradingState(row[4]),
                paused=row[2] == AccountStatus.PAUSED,
                stopped=row[2] == AccountStatus.STOPPED,
                live_off=row[3] == AccountMode.LIVE and not settings.LIVE_TRADING,
            ),
        )
    if new_day:
        prepared.run(_NEW_DAY, [_day(now), [pair[0] for pair in new_day], [pair[1] for pair in new_day]])
    return books


def _token_books(rows: Rows) -> dict[UUID, dict[str, TokenBook]]:
    found: dict[UUID, dict[str, TokenBook]] = defaultdict(dict)
    for row in rows:
        found[row[0]][row[1]] = TokenBook(*row[2:])
    return found


def _day(now: datetime) -> date:
    return now.date()
