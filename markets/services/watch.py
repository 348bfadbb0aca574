"""Which wallets the feed records, and what they hold."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from markets.models import WatchedWallet


@transaction.atomic
def watch(*, addresses: Sequence[str], now: datetime) -> None:
    """Record these wallets from now on; the feed hears of it on commit."""
    wanted = sorted({address.lower() for address in addresses})
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO markets_watchedwallet (address, active, since_at)
               SELECT a, TRUE, %s FROM unnest(%s::text[]) AS t(a)
               ON CONFLICT (address) DO UPDATE SET active = TRUE, since_at = EXCLUDED.since_at, reconciled_at = NULL
               WHERE NOT markets_watchedwallet.active""",
            [now, wanted],
        )
        cursor.execute("SELECT pg_notify('watch', '')")


@transaction.atomic
def unwatch(*, addresses: Sequence[str]) -> None:
    """Stop recording these wallets."""
    WatchedWallet.objects.filter(address__in=[address.lower() for address in addresses]).update(active=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify('watch', '')")


def mark_reconciled(*, address: str, now: datetime) -> None:
    WatchedWallet.objects.filter(address=address).update(reconciled_at=now)


def store_positions(*, wallet: str, shares: Mapping[str, tuple[Decimal, datetime]]) -> int:
    """Holdings of a wallet as the venue told them, moved on by the trades recorded after each one's time.

    `shares` is by token id: shares and the time of the last event they contain. Unknown tokens are left out: a trade
    of one brings it into the catalogue. The number of holdings stored.
    """
    rows = sorted(shares.items())
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO markets_leaderposition (wallet, token_id, shares, as_of)
               SELECT %s, k.id, greatest(0, s.shares + coalesce((
                          SELECT sum(CASE t.side WHEN 'BUY' THEN t.shares ELSE -t.shares END)
                          FROM markets_leadertrade t
                          WHERE t.wallet = %s AND t.token_id = k.id AND t.traded_at > s.as_of), 0)), s.as_of
               FROM unnest(%s::text[], %s::numeric[], %s::timestamptz[]) AS s(token, shares, as_of)
               JOIN markets_token k ON k.token_id = s.token ORDER BY k.id
               ON CONFLICT (wallet, token_id) DO UPDATE SET shares = EXCLUDED.shares, as_of = EXCLUDED.as_of""",
            [
                wallet,
                wallet,
                [token_id for token_id, _ in rows],
                [held for _, (held, _) in rows],
                [as_of for _, (_, as_of) in rows],
            ],
        )
        return int(cursor.rowcount)
