"""Reads of wallets. Public facts about public wallets: the same for every user, so there is no owner to filter by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, DecimalField, ExpressionWrapper, F, Max, Min, Q, QuerySet, Sum

from markets.models import Market, TradeSide
from polyhub.lib.errors import AppError
from scanner.domain import figures
from scanner.models import Wallet, WalletTrade

# Descending, except by name; unknown profit comes last.
_ORDERS = {
    "volume": (F("volume_usdc").desc(),),
    "trades": (F("trades").desc(),),
    "buys": (F("buys").desc(),),
    "sells": (F("sells").desc(),),
    "markets": (F("markets").desc(),),
    "median": (F("median_trade_usdc").desc(),),
    "pnl": (F("closed_pnl_usdc").desc(nulls_last=True),),
    "closed": (F("closed_positions").desc(),),
    "recent": (F("last_trade_at").desc(nulls_last=True),),
    "name": (F("alias").asc(),),
}
ORDER_NAMES = tuple(_ORDERS)
_USDC = DecimalField(max_digits=30, decimal_places=6)


class WalletNotFound(AppError):
    """No recorded wallet has this address."""

    code = "WALLET_NOT_FOUND"
    http_status = 404


class UnknownOrder(AppError):
    """Wallets cannot be ordered by this."""

    code = "UNKNOWN_ORDER"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the figures were measured on."""

    wallets: int
    trades: int
    first_trade_at: datetime | None
    last_trade_at: datetime | None
    measured_at: datetime | None
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MarketFigures:
    """One market of one wallet."""

    market: Market
    trades: int
    bought_usdc: Decimal
    sold_usdc: Decimal
    last_trade_at: datetime


@dataclass(frozen=True, slots=True)
class WalletProfile:
    """`equity` adds up the profit of positions closed in the sample; `hours` is [weekday, Monday first][hour UTC]."""

    wallet: Wallet
    closed: list[figures.ClosedPosition]
    equity: list[tuple[datetime, Decimal]]
    hours: list[list[int]]
    entry_prices: list[int]


def leaders(*, order_by: str = "volume", search: str = "") -> "QuerySet[Wallet]":
    """Wallets with trades, for slicing by a paginator; `search` is a part of the name or of the address."""
    if order_by not in _ORDERS:
        raise UnknownOrder(f"Wallets can be ordered by {', '.join(ORDER_NAMES)}, not by {order_by!r}.")
    wallets = Wallet.objects.filter(trades__gt=0)
    if search.strip():
        wallets = wallets.filter(Q(alias__icontains=search.strip()) | Q(address__icontains=search.strip()))
    return wallets.order_by(*_ORDERS[order_by], "address")


def sample() -> Sample:
    """The window and size of everything recorded."""
    measured = Wallet.objects.filter(trades__gt=0).aggregate(
        wallets=Count("id"),
        counted=Sum("trades", default=0),
        first=Min("first_trade_at"),
        last=Max("last_trade_at"),
        measured=Max("measured_at"),
    )
    sources = Wallet.objects.filter(trades__gt=0).exclude(source="").values_list("source", flat=True).distinct()
    return Sample(
        wallets=measured["wallets"],
        trades=measured["counted"],
        first_trade_at=measured["first"],
        last_trade_at=measured["last"],
        measured_at=measured["measured"],
        sources=tuple(sources.order_by("source")),
    )


def wallet_named(*, address: str) -> Wallet:
    wallet = Wallet.objects.filter(address=address.lower()).first()
    if wallet is None:
        raise WalletNotFound(f"No trades of a wallet {address} are recorded here.")
    return wallet


def names_of(*, addresses: Sequence[str]) -> dict[str, str]:
    """Names by address; wallets that are not recorded are absent."""
    rows = Wallet.objects.filter(address__in={address.lower() for address in addresses})
    return dict(rows.values_list("address", "alias"))


def wallet_profile(*, address: str) -> WalletProfile:
    """What the recorded trades of one wallet measure, beside the figures of its row."""
    wallet = wallet_named(address=address)
    trades = [trade for _, trade in recorded_trades(wallet_ids=[wallet.pk])]
    closed = figures.closed_positions(trades)
    return WalletProfile(
        wallet=wallet,
        closed=closed,
        equity=figures.equity_points(closed),
        hours=figures.hours_by_weekday(trades),
        entry_prices=figures.entry_price_histogram(trades),
    )


def trades_of(*, wallet: Wallet) -> "QuerySet[WalletTrade]":
    """The wallet's recorded trades, newest first."""
    return wallet.recorded_trades.select_related("token__market").order_by("-traded_at", "-id")


def markets_of(*, wallet: Wallet) -> list[MarketFigures]:
    """Its markets, the last traded first."""
    usdc = ExpressionWrapper(F("price") * F("shares"), output_field=_USDC)
    rows = list(
        wallet.recorded_trades.values("token__market_id")
        .annotate(
            count=Count("id"),
            bought=Sum(usdc, filter=Q(side=TradeSide.BUY), default=Decimal(0)),
            sold=Sum(usdc, filter=Q(side=TradeSide.SELL), default=Decimal(0)),
            last=Max("traded_at"),
        )
        .order_by("-last", "token__market_id")
    )
    markets = Market.objects.in_bulk([row["token__market_id"] for row in rows])
    return [
        MarketFigures(
            market=markets[row["token__market_id"]],
            trades=row["count"],
            bought_usdc=row["bought"],
            sold_usdc=row["sold"],
            last_trade_at=row["last"],
        )
        for row in rows
    ]


def recorded_trades(*, wallet_ids: Sequence[int]) -> Iterator[tuple[int, figures.Trade]]:
    """(wallet id, trade), wallet by wallet, each in the order it traded."""
    rows = (
        WalletTrade.objects.filter(wallet_id__in=wallet_ids)
        .order_by("wallet_id", "traded_at", "id")
        .values_list(
            "wallet_id", "token__token_id", "token__market__condition_id", "side", "price", "shares", "traded_at"
        )
    )
    for wallet_id, token_id, condition_id, side, price, shares, traded_at in rows.iterator(chunk_size=5000):
        yield wallet_id, figures.Trade(token_id, condition_id, side, price, shares, traded_at)
