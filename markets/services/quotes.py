"""The newest top of book per token, for pages and valuation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection


@dataclass(frozen=True, slots=True)
class TopOfBook:
    token_id: str
    best_bid: Decimal | None
    best_ask: Decimal | None
    last_price: Decimal | None
    venue_at: datetime | None

    @property
    def prices(self) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
        return (self.best_bid, self.best_ask, self.last_price)


def store(*, tops: Sequence[TopOfBook], now: datetime) -> int:
    """Write quotes of known tokens in one statement; a missing last price keeps the older one."""
    if not tops:
        return 0
    rows = sorted(tops, key=lambda top: top.token_id)
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO markets_quote (token_id, best_bid, best_ask, last_price, venue_at, received_at)
               SELECT k.id, q.bid, q.ask, q.last, q.at, %s
               FROM unnest(%s::text[], %s::numeric[], %s::numeric[], %s::numeric[], %s::timestamptz[])
                    AS q(token, bid, ask, last, at)
               JOIN markets_token k ON k.token_id = q.token ORDER BY k.id
               ON CONFLICT (token_id) DO UPDATE SET best_bid = EXCLUDED.best_bid, best_ask = EXCLUDED.best_ask,
                   last_price = coalesce(EXCLUDED.last_price, markets_quote.last_price),
                   venue_at = EXCLUDED.venue_at, received_at = EXCLUDED.received_at""",
            [
                now,
                [top.token_id for top in rows],
                [top.best_bid for top in rows],
                [top.best_ask for top in rows],
                [top.last_price for top in rows],
                [top.venue_at for top in rows],
            ],
        )
        return int(cursor.rowcount)
