"""Measures wallets from their recorded trades: one query in, one statement out, however many wallets."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby

from django.db import transaction

from scanner import selectors
from scanner.domain import figures
from scanner.models import Wallet

_FIELDS = [
    "trades",
    "buys",
    "sells",
    "markets",
    "volume_usdc",
    "median_trade_usdc",
    "closed_positions",
    "closed_wins",
    "closed_pnl_usdc",
    "first_trade_at",
    "last_trade_at",
]


@transaction.atomic
def measure_wallets(*, addresses: Sequence[str], now: datetime) -> int:
    """Write each wallet's figures anew; how many were measured."""
    wallets = {wallet.pk: wallet for wallet in Wallet.objects.filter(address__in=addresses)}
    measured = {pk: figures.measure([]) for pk in wallets}
    for pk, rows in groupby(selectors.recorded_trades(wallet_ids=list(wallets)), key=lambda row: row[0]):
        measured[pk] = figures.measure([trade for _, trade in rows])
    for pk, wallet in wallets.items():
        for field, value in asdict(measured[pk]).items():
            setattr(wallet, field, value)
        wallet.measured_at = now
    Wallet.objects.bulk_update(wallets.values(), [*_FIELDS, "measured_at"], batch_size=500)
    return len(wallets)
