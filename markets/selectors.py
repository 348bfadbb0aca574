"""Reading the catalogue, quotes, and how well leaders are seen."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.postgres.search import SearchQuery
from django.db import connection
from django.db.models import Count, DecimalField, ExpressionWrapper, F, FloatField, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from markets.domain.continuity import Subject
from markets.models import (
    BookView,
    Candle,
    CataloguePass,
    ContinuityDay,
    Incident,
    LeaderTrade,
    Market,
    Quote,
    Token,
    TradeSource,
    WatchedWallet,
)
from polyhub.lib import money
from polyhub.lib.errors import AppError
from polyhub.lib.money import ZERO

MOST_WORDS = 8
MOST_CATEGORIES = 40


class MarketNotFound(AppError):
    code = "NOT_FOUND"
    http_status = 404


@dataclass(frozen=True, slots=True)
class DaySums:
    """One day of the continuity ledger over all books; `coverage` is the trusted part of the needed time."""

    day: date
    books: int
    coverage: float | None
    reconnects: int
    gaps: int
    unreadable: int
    disagreements: int


@dataclass(frozen=True, slots=True)
class SourceSight:
    """How one source saw leaders' trades: how many, in how many it was first, and its median lag."""

    source: str
    seen: int
    first: int
    trades: int
    median_lag_ms: int | None

    @property
    def share(self) -> Decimal | None:
        return Decimal(self.seen) / self.trades if self.trades else None


@dataclass(frozen=True, slots=True)
class Print:
    """One trade the market stream told."""

    at: datetime
    is_buy: bool
    price: Decimal
    shares: Decimal


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


def find_markets(
    *, search: str = "", state: str = "open", category: str = "", order_by: str = "volume", now: datetime | None = None
) -> QuerySet[Market]:
    """Markets by words (each the beginning of a word of theirs), state and category, in a unique order.

    A pasted condition or token id finds its market.
    """
    rows = Market.objects.select_related("event")
    if state in ("open", "closed"):
        rows = rows.filter(closed=state == "closed")
    if category:
        rows = rows.filter(category=category)
    found = _matching(rows, search.strip())
    column = {"liquidity": "liquidity_usdc", "total": "volume_usdc"}.get(order_by, "volume_24h_usdc")
    if order_by == "ending" and now is not None:
        return found.filter(ends_at__gte=now).order_by("ends_at", "id")
    if order_by == "newest":
        return found.order_by("-id")
    if search.strip():
        # An expression no index has the order of: otherwise the planner walks all markets by volume, hoping to meet
        # the words soon, where the word index knows the few rows that have them.
        return found.order_by(Coalesce(column, ZERO, output_field=DecimalField()).desc(), "id")
    return found.order_by(F(column).desc(nulls_last=True), "id")


def _matching(rows: QuerySet[Market], search: str) -> QuerySet[Market]:
    if not search:
        return rows
    if search.isdecimal() and len(search) > 30:
        return rows.filter(tokens__token_id=search)
    if search.lower().startswith("0x") and len(search) > 10:
        return rows.filter(condition_id=search.lower())
    # Letters and digits only: what is left cannot be an operator of the query language.
    words = re.findall(r"\w+", search)[:MOST_WORDS]
    if not words:
        return rows.none()
    query = SearchQuery(" & ".join(f"{word}:*" for word in words), search_type="raw", config="simple")
    return rows.filter(words=query)


def market_of(*, condition_id: str) -> Market:
    """Raises MarketNotFound."""
    market = Market.objects.select_related("event").filter(condition_id=condition_id).first()
    if market is None:
        raise MarketNotFound("There is no such market in the catalogue.")
    return market


def neg_risk_siblings(*, market: Market) -> QuerySet[Market]:
    """The markets of which exactly one resolves Yes, this one among them; none outside neg-risk events."""
    if not market.neg_risk_group:
        return Market.objects.none()
    return Market.objects.filter(neg_risk_group=market.neg_risk_group).order_by(
        F("volume_24h_usdc").desc(nulls_last=True), "id"
    )


def candles(*, token: Token, span_s: int, since: datetime) -> QuerySet[Candle]:
    """A token's candles of one span, oldest first."""
    return Candle.objects.filter(token=token, span_s=span_s, at__gte=since).order_by("at")


def tape(*, token: Token, limit: int) -> list[Print]:
    """The newest trades of a token, newest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT at, is_buy, price_units, share_units FROM markets_tradetick
               WHERE token_id = %s ORDER BY at DESC LIMIT %s""",
            [token.pk, limit],
        )
        return [
            Print(at, is_buy, money.price_from_units(price), money.from_units(shares))
            for at, is_buy, price, shares in cursor.fetchall()
        ]


def first_prices(*, markets: Sequence[Market]) -> dict[int, Quote]:
    """The newest quote of each market's first outcome, by market key; only those somebody follows have one."""
    rows = Quote.objects.filter(token__market__in=[market.pk for market in markets], token__outcome_index=0)
    return {quote.token.market_id: quote for quote in rows.select_related("token")}


def continuity_days(*, until: date, days: int = 14) -> list[DaySums]:
    """The ledger's days, newest first."""
    asset = Q(subject=Subject.ASSET)
    rows = (
        ContinuityDay.objects.filter(day__gt=until - timedelta(days=days), day__lte=until)
        .values("day")
        .annotate(
            books=Count("id", filter=asset & Q(needed_ms__gt=0)),
            needed=Sum("needed_ms", filter=asset),
            trusted=Sum("trusted_ms", filter=asset),
            lost=Sum("reconnects"),
            missed=Sum("gaps"),
            odd=Sum("unreadable"),
            differed=Sum("disagreements"),
        )
        .order_by("-day")
    )
    return [
        DaySums(
            row["day"],
            row["books"],
            row["trusted"] / row["needed"] if row["needed"] else None,
            row["lost"],
            row["missed"],
            row["odd"],
            row["differed"],
        )
        for row in rows
    ]


def least_covered(*, day: date, limit: int = 10) -> list[tuple[ContinuityDay, Token | None]]:
    """Today's books with the least trusted time, the worst first, with their tokens."""
    part = ExpressionWrapper(F("trusted_ms") * 1.0 / F("needed_ms"), output_field=FloatField())
    rows = list(
        ContinuityDay.objects.filter(day=day, subject=Subject.ASSET, needed_ms__gt=0)
        .annotate(part=part)
        .order_by("part", "name")[:limit]
    )
    named = Token.objects.select_related("market").filter(token_id__in=[row.name for row in rows])
    tokens = {token.token_id: token for token in named}
    return [(row, tokens.get(row.name)) for row in rows]


def incidents() -> QuerySet[Incident]:
    """What went wrong with the data, newest first."""
    return Incident.objects.order_by("-at", "-id")


def leader_sources(*, since: datetime) -> list[SourceSight]:
    """Each source's part in leaders' trades since then; the trades of sources that miss some are told by others."""
    columns = {TradeSource.RTDS: "rtds_at", TradeSource.CHAIN: "chain_at", TradeSource.DATA_API: "data_api_at"}
    parts = " UNION ALL ".join(
        f"""SELECT '{source}', count({column}), count(*) FILTER (WHERE first_source = '{source}'), count(*),
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM {column} - traded_at) * 1000)
                       FILTER (WHERE {column} IS NOT NULL)
            FROM markets_leadertrade WHERE traded_at >= %s"""
        for source, column in columns.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(parts, [since] * len(columns))
        return [
            SourceSight(source, seen, first, trades, None if lag is None else int(lag))
            for source, seen, first, trades, lag in cursor.fetchall()
        ]


def book_payloads(*, tokens: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The shown books of these tokens (their keys) as clients get them."""
    rows = BookView.objects.select_related("token").filter(token_id__in=tokens)
    return {
        row.token_id: {
            "token": row.token.token_id,
            "trusted": not row.doubt,
            "doubt": row.doubt,
            "bids": row.bids,
            "asks": row.asks,
            "tick_size": row.tick_size,
            "venue_at": row.venue_at,
            "updated_at": row.updated_at,
        }
        for row in rows
    }


def print_payloads(*, token: int, after: datetime | None, limit: int = 100) -> list[dict[str, Any]]:
    """Prints recorded after a moment, oldest first; without one the newest few."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT at, received_at, is_buy, price_units, share_units FROM markets_tradetick
               WHERE token_id = %s AND (%s::timestamptz IS NULL OR received_at > %s)
               ORDER BY received_at DESC, at DESC LIMIT %s""",
            [token, after, after, limit],
        )
        return [
            {
                "at": at,
                "received_at": received_at,
                "side": "BUY" if is_buy else "SELL",
                "price": money.price_from_units(price),
                "shares": money.from_units(shares),
            }
            for at, received_at, is_buy, price, shares in reversed(cursor.fetchall())
        ]


def least_seen_leaders(*, since: datetime, limit: int = 10) -> list[Coverage]:
    """Watched wallets whose trades the live feed told least completely, the worst first."""
    seen = coverage(wallets=list(watched_wallets()), since=since)
    return sorted(seen.values(), key=lambda one: (one.share or 0, one.wallet))[:limit]


def categories() -> list[str]:
    """Categories of open markets, the most frequent first."""
    counted = Market.objects.filter(closed=False).exclude(category="").values("category")
    rows = counted.annotate(markets=Count("id")).order_by("-markets", "category")
    return [row["category"] for row in rows[:MOST_CATEGORIES]]


def catalogue_pass() -> CataloguePass | None:
    """How fresh the catalogue is."""
    return CataloguePass.objects.first()


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
