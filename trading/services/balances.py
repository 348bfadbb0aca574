"""Cash and equity: what our own fills make it, what the venue says, and the curve people look at."""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F

from markets.venue.ports import Balances
from polyhub.lib import money, push
from riskmgmt.models import RiskState
from trading.domain.orders import LIVE_AT_VENUE, FillStatus
from trading.models import Balance, Fill, Order
from trading.services.work import Shard

# Two looks at least this far apart must agree before money of unknown origin is booked as deposit or withdrawal.
_SETTLED_FOR = timedelta(seconds=30)

_EQUITY = """
INSERT INTO trading_equitypoint (account_id, at, cash_usdc, positions_usdc)
SELECT e.account_id, %(now)s, e.cash, e.positions FROM (
    SELECT a.id AS account_id, b.cash_usdc AS cash,
           COALESCE(round(sum(
               p.shares * COALESCE(q.best_bid, q.last_price, p.cost_usdc / p.shares)), 6), 0) AS positions
    FROM accounts_tradingaccount a
    JOIN trading_balance b ON b.account_id = a.id
    LEFT JOIN trading_position p ON p.account_id = a.id AND p.shares > 0
    LEFT JOIN markets_quote q ON q.token_id = p.token_id
    WHERE a.status <> 'STOPPED' AND a.shard_key %% %(count)s = %(index)s
    GROUP BY a.id, b.cash_usdc) e
LEFT JOIN LATERAL (
    SELECT x.at, x.cash_usdc, x.positions_usdc FROM trading_equitypoint x
    WHERE x.account_id = e.account_id ORDER BY x.at DESC LIMIT 1) last ON true
WHERE last.at IS NULL OR last.at < %(now)s - interval '60 s'
   OR (last.at < %(now)s AND (last.cash_usdc, last.positions_usdc) IS DISTINCT FROM (e.cash, e.positions))
ON CONFLICT DO NOTHING
RETURNING account_id, cash_usdc, positions_usdc
"""
_USERS = "SELECT id, user_id FROM accounts_tradingaccount WHERE id = ANY(%s)"


@transaction.atomic
def record_balances(*, account_id: UUID, balances: Balances, now: datetime) -> Decimal:
    """Store what the venue says; returns how far our own cash is from it.

    The first look at an account without history is its deposit. Later a difference is booked as money moved from
    outside only when nothing of ours is under way and two looks agree: until then it is shown, not explained away.
    """
    row = Balance.objects.select_for_update().get(account_id=account_id)
    venue_cash = money.from_units(balances.cash_units)
    drift = venue_cash - row.cash_usdc
    seen_before = row.venue_cash_usdc == venue_cash and row.venue_checked_at is not None
    still = seen_before and row.venue_checked_at is not None and row.venue_checked_at > row.updated_at
    if still and row.venue_checked_at is not None and now - row.venue_checked_at < _SETTLED_FOR:
        return drift
    untouched = row.venue_checked_at is None and row.cash_usdc == row.deposited_usdc == 0
    if drift and (untouched or still) and not _under_way(account_id):
        row.cash_usdc += drift
        row.deposited_usdc += drift
        # Money moved from outside is neither a loss nor a gain of the day.
        day = RiskState.objects.filter(account_id=account_id, day_start_equity_usdc__isnull=False)
        day.update(day_start_equity_usdc=F("day_start_equity_usdc") + drift)
        row.updated_at = now
        payload = {"account": str(account_id), "cash_usdc": str(row.cash_usdc), "moved_usdc": str(drift)}
        drift = money.ZERO
    else:
        payload = {}
    row.venue_cash_usdc, row.venue_checked_at = venue_cash, now
    row.save(update_fields=["cash_usdc", "deposited_usdc", "updated_at", "venue_cash_usdc", "venue_checked_at"])
    if payload:
        push.push(pushes=[push.Push(row.account.user_id, "account.changed", payload)], now=now)
    return drift


@transaction.atomic
def record_equity(*, shard: Shard, now: datetime) -> int:
    """A point for each account whose equity changed, or whose last point is a minute old; the number written."""
    with connection.cursor() as cursor:
        cursor.execute(_EQUITY, {"now": now, "count": shard.count, "index": shard.index})
        points = cursor.fetchall()
        cursor.execute(_USERS, [[point[0] for point in points]])
        users = dict(cursor.fetchall())
    pushes = [
        push.Push(
            users[account_id],
            "equity.point",
            {
                "account": str(account_id),
                "at": now.isoformat(),
                "cash_usdc": str(cash),
                "positions_usdc": str(positions),
            },
        )
        for account_id, cash, positions in points
    ]
    push.push(pushes=pushes, now=now)
    return len(points)


def _under_way(account_id: UUID) -> bool:
    live = Order.objects.filter(account_id=account_id, status__in=[*LIVE_AT_VENUE]).exists()
    settled = [FillStatus.CONFIRMED, FillStatus.FAILED]
    return live or Fill.objects.filter(order__account_id=account_id).exclude(status__in=settled).exists()
