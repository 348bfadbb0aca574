"""Reading the catalogue, quotes, and how well leaders are seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django.db.models import QuerySet

from markets.models import LeaderTrade, Market, Quote, Token, WatchedWallet


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a leader's trades reached us: of `trades`, `live` came over the live feed; lag is venue second to arrival."""

    wallet: str
    trades: int
    live: int
    median_lag_ms: int | None
    last_trade_at: datetime | None

    @property
    def share(self) -> Decimal | None:
        """Part seen live, None without trades."""
        return Decimal(self.live) / self.trades if self.trades else None


def watched_wallets() -> dict[str, datetime | None]:
    """Addresses the feed records, with the time of their last reconciliation."""
    return dict(WatchedWallet.objects.filter(active=True).values_list("address", "reconciled_at"))


def undescribed_tokens(*, limit: int = 100) -> list[str]:
    """Tokens of leaders' trades whose market the venue has not described yet, newest market first."""
    rows = Token.objects.filter(market__fee_rate__isnull=True, leader_trades__isnull=False).order_by("-market_id", "id")
    return list(dict.fromkeys(rows.values_list("token_id", flat=True)[:limit]))


def unknown_tokens(*, token_ids: Sequence[str]) -> list[str]:
    """Those of these tokens that the catalogue does not have."""
    known = set(Token.objects.filter(token_id__in=token_ids).values_list("token_id", flat=True))
    return sorted(set(token_ids) - known)


def followed_tokens() -> list[str]:
    """Tokens that watched wallets hold."""
    rows = Token.objects.filter(
        leader_positions__shares__gt=0,
        leader_positions__wallet__in=WatchedWallet.objects.filter(active=True).values("address"),
        market__closed=False,
    )
    return list(rows.distinct().order_by("token_id").values_list("token_id", flat=True))


def quotes_of(*, token_ids: Sequence[str]) -> dict[str, Quote]:
    """The newest quote by token id."""
    rows = Quote.objects.select_related("token").filter(token__token_id__in=token_ids)
    return {quote.token.token_id: quote for quote in rows}


def trades_of(*, wallet: str) -> QuerySet[LeaderTrade]:
    """A wallet's recorded trades, newest first."""
    return (
        LeaderTrade.objects.filter(wallet=wallet.lower()).select_related("token__market").order_by("-traded_at", "-id")
    )


def open_markets() -> QuerySet[Market]:
    return Market.objects.filter(active=True, closed=False).order_by("id")


def coverage(*, wallets: Sequence[str], since: datetime) -> dict[str, Coverage]:
    """How completely and how fast each wallet's trades arrived. Only wallets with trades."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT wallet, count(*), count(rtds_at),
                      percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM rtds_at - traded_at) * 1000)
                          FILTER (WHERE rtds_at IS NOT NULL), max(traded_at)
               FROM markets_leadertrade WHERE wallet = ANY(%s) AND traded_at >= %s GROUP BY wallet""",
            [[wallet.lower() for wallet in wallets], since],
        )
        return {
            wallet: Coverage(wallet, trades, live, None if lag is None else int(lag), last)
            for wallet, trades, live, lag, last in cursor.fetchall()
        }
