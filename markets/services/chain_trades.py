"""Fills from the chain beside what the other sources told: they confirm, and they add only what nobody else knows.

The chain counts by order, the venue's lists by match: where both know a transaction and cut it differently, a second
row would be a second trade to copy. Whoever told first is right about the cut.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from markets.models import LeaderTrade, TradeSource
from markets.services import leader_trades
from markets.services.leader_trades import Recorded
from markets.venue.ports import LeaderTradeSeen

_SAME_SHARES = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Confirmed:
    """`differing` fills were known under another cut and are left at that; `recorded` as `leader_trades` tells it."""

    recorded: Recorded
    differing: int


def record(*, seen: Sequence[LeaderTradeSeen], now: datetime) -> Confirmed:
    """Store a batch of chain fills, other sources' word first."""
    stored: dict[tuple[str, str, str, str], list[Decimal]] = defaultdict(list)
    rows = LeaderTrade.objects.filter(transaction_hash__in={one.transaction_hash.lower() for one in seen}).exclude(
        first_source=TradeSource.CHAIN
    )
    for row in rows.values_list("transaction_hash", "wallet", "token__token_id", "side", "shares"):
        stored[row[:4]].append(row[4])
    fitting = [one for one in seen if _fits(one, stored)]
    return Confirmed(leader_trades.record(seen=fitting, now=now), len(seen) - len(fitting))


def _fits(one: LeaderTradeSeen, stored: dict[tuple[str, str, str, str], list[Decimal]]) -> bool:
    known = stored.get((one.transaction_hash.lower(), one.wallet.lower(), one.token_id, str(one.side)))
    return known is None or any(abs(shares - Decimal(one.shares)) < _SAME_SHARES for shares in known)
