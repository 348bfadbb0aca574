"""Takes the wallets and trades of a recording into the scanner's tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from markets.domain.catalogue import MarketFacts, OutcomeFacts
from markets.models import Market, Token
from markets.services import catalogue
from markets.venue.sandbox.events import LeaderTradeEvent, MarketDef, Tape
from markets.venue.sandbox.recordings import RecordedTrade
from polyhub.lib import clock
from scanner.models import Wallet, WalletTrade
from scanner.services import measure

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Ingested:
    markets: int
    wallets: int
    trades: int


@transaction.atomic
def ingest_tape(*, tape: Tape, now: datetime) -> Ingested:
    """Add what is new of the tape's markets, wallets and trades, and measure its wallets. Twice is once."""
    trades = [event for event in tape.events if isinstance(event, LeaderTradeEvent)]
    _add_markets(tape.markets, now=now)
    wallets = _add_wallets(trades, source=tape.source, now=now)
    _add_trades(trades, wallets)
    _tell_the_planner()
    measure.measure_wallets(addresses=list(wallets), now=now)
    return Ingested(markets=len(tape.markets), wallets=len(wallets), trades=len(trades))


def _add_markets(defs: Sequence[MarketDef], *, now: datetime) -> None:
    """Known markets stay as they are: what the venue says of them goes before the recording."""
    conditions = [market.condition_id for market in defs]
    known = set(Market.objects.filter(condition_id__in=conditions, fee_rate__isnull=False).values_list("condition_id"))
    catalogue.upsert_markets(
        markets=[_facts(market) for market in defs if (market.condition_id,) not in known], now=now
    )


def _facts(market: MarketDef) -> MarketFacts:
    return MarketFacts(
        condition_id=market.condition_id,
        outcomes=tuple(
            OutcomeFacts(token_id=token_id, outcome=market.outcomes[index], outcome_index=index)
            for index, token_id in enumerate(market.token_ids)
        ),
        slug=market.slug,
        question=market.question,
        category=market.category,
        event_id=market.event_id,
        event_slug=market.event_slug,
        event_title=market.event_title,
        neg_risk=market.neg_risk,
        tick_size=market.tick_size,
        min_order_shares=market.min_order_size,
        fee_rate=market.fee_rate,
        fee_exponent=market.fee_exponent,
    )


def _add_wallets(trades: Sequence[LeaderTradeEvent], *, source: str, now: datetime) -> dict[str, int]:
    aliases = {trade.wallet: trade.name or trade.wallet[:10] for trade in trades}
    Wallet.objects.bulk_create(
        (
            Wallet(address=address, alias=alias[:60], source=source[:120], measured_at=now)
            for address, alias in aliases.items()
        ),
        ignore_conflicts=True,
        batch_size=_BATCH,
    )
    return dict(Wallet.objects.filter(address__in=aliases).values_list("address", "id"))


def _add_trades(trades: Sequence[LeaderTradeEvent], wallets: dict[str, int]) -> None:
    token_ids = dict(
        Token.objects.filter(token_id__in={trade.token_id for trade in trades}).values_list("token_id", "id")
    )
    WalletTrade.objects.bulk_create(
        (
            WalletTrade(
                wallet_id=wallets[trade.wallet],
                token_id=token_ids[trade.token_id],
                side=trade.side,
                price=trade.price,
                shares=trade.size,
                transaction_hash=trade.tx_hash,
                traded_at=clock.from_ms(trade.recorded_ms if isinstance(trade, RecordedTrade) else trade.at_ms),
            )
            for trade in trades
        ),
        ignore_conflicts=True,
        batch_size=_BATCH,
    )


def _tell_the_planner() -> None:
    """Thousands of rows at once: without fresh statistics the next joins are planned for empty tables."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE markets_market, markets_token, scanner_wallet, scanner_wallettrade")
