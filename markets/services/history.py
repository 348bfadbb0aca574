"""The past of prices: quotes and trades in bulk, candles kept with every batch, and what age does to them.

Ticks are in tables of one day each. After seven days a day's quotes are thinned to one per token and minute; after
ninety days the raw ticks of a day are dropped whole. Candles stay.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from polyhub.lib import money

SPANS_S = (60, 300, 3_600, 86_400)
THIN_AFTER = timedelta(days=7)
DROP_AFTER = timedelta(days=90)
QUOTES, TRADES = "markets_quotetick", "markets_tradetick"
_THINNED = "thinned"
_COPY_QUOTES = f"COPY {QUOTES} (token_id, at, bid_units, ask_units, bid_share_units, ask_share_units) FROM STDIN"
_COPY_TRADES = f"COPY {TRADES} (token_id, at, received_at, is_buy, price_units, share_units) FROM STDIN"

# A batch is added to what a candle holds already. Trades are stronger than quotes: the first trade of a span replaces
# what only quotes had drawn, and quotes add nothing after it. Imported prices fill what nobody here had seen.
_CANDLES = """
INSERT INTO markets_candle AS c (token_id, span_s, at, open, high, low, close, shares, trades, opened_at, closed_at,
                                 is_imported)
SELECT p.token, s.span, date_bin(make_interval(secs => s.span), p.at, TIMESTAMPTZ '2020-01-01 00:00+00') AS bucket,
       (array_agg(p.price ORDER BY p.at, p.n))[1], max(p.price), min(p.price),
       (array_agg(p.price ORDER BY p.at DESC, p.n DESC))[1], sum(p.shares), %s * count(*), min(p.at), max(p.at), %s
FROM unnest(%s::bigint[], %s::timestamptz[], %s::numeric[], %s::numeric[]) WITH ORDINALITY
     AS p(token, at, price, shares, n)
CROSS JOIN unnest(%s::int[]) AS s(span)
GROUP BY p.token, s.span, bucket ORDER BY p.token, s.span, bucket
ON CONFLICT (token_id, span_s, at) DO UPDATE SET
    open = CASE WHEN EXCLUDED.opened_at < c.opened_at OR {takes_over} THEN EXCLUDED.open ELSE c.open END,
    close = CASE WHEN EXCLUDED.closed_at >= c.closed_at OR {takes_over} THEN EXCLUDED.close ELSE c.close END,
    high = CASE WHEN {takes_over} THEN EXCLUDED.high ELSE greatest(c.high, EXCLUDED.high) END,
    low = CASE WHEN {takes_over} THEN EXCLUDED.low ELSE least(c.low, EXCLUDED.low) END,
    shares = c.shares + EXCLUDED.shares, trades = c.trades + EXCLUDED.trades,
    opened_at = CASE WHEN {takes_over} THEN EXCLUDED.opened_at ELSE least(c.opened_at, EXCLUDED.opened_at) END,
    closed_at = CASE WHEN {takes_over} THEN EXCLUDED.closed_at ELSE greatest(c.closed_at, EXCLUDED.closed_at) END,
    is_imported = c.is_imported OR EXCLUDED.is_imported
WHERE EXCLUDED.trades > 0 OR c.trades = 0 OR EXCLUDED.is_imported
""".format(takes_over="(EXCLUDED.trades > 0 AND c.trades = 0 AND NOT c.is_imported)")


@dataclass(frozen=True, slots=True)
class QuoteTick:
    """The top of a trusted book when it changed; a side may be empty. `token` is the row's key."""

    token: int
    at: datetime
    bid_units: int | None
    ask_units: int | None
    bid_share_units: int = 0
    ask_share_units: int = 0


@dataclass(frozen=True, slots=True)
class TradeTick:
    """One print of the market stream; `is_buy` is the taker's side."""

    token: int
    at: datetime
    received_at: datetime
    is_buy: bool
    price_units: int
    share_units: int


@transaction.atomic
def record(*, quotes: Sequence[QuoteTick], trades: Sequence[TradeTick]) -> None:
    """Copy a batch into the tables of its days and into the candles, all or nothing."""
    ensure_days({quote.at.date() for quote in quotes} | {trade.at.date() for trade in trades})
    _copy(
        _COPY_QUOTES,
        ((q.token, q.at, q.bid_units, q.ask_units, q.bid_share_units, q.ask_share_units) for q in quotes),
    )
    _copy(_COPY_TRADES, ((t.token, t.at, t.received_at, t.is_buy, t.price_units, t.share_units) for t in trades))
    mids = [
        (q.token, q.at, Decimal(q.bid_units + q.ask_units) / (2 * money.PRICE_UNITS), money.ZERO)
        for q in quotes
        if q.bid_units is not None and q.ask_units is not None
    ]
    prints = [(t.token, t.at, money.price_from_units(t.price_units), money.from_units(t.share_units)) for t in trades]
    _draw(mids, trades=False)
    _draw(prints, trades=True)


def import_prices(*, token: int, points: Sequence[tuple[datetime, Decimal]]) -> None:
    """The venue's own past of a token as candles. The same points twice change nothing."""
    known = [(token, at, price, money.ZERO) for at, price in points if 0 < price < 1]
    _draw(known, trades=False, imported=True)


def ensure_days(days: Iterable[date]) -> None:
    """The tables of these days exist."""
    with connection.cursor() as cursor:
        for day in sorted(days):
            for table in (QUOTES, TRADES):
                # Asked first: creating takes a lock of the whole table even where there is nothing to create.
                cursor.execute("SELECT to_regclass(%s)", [f"{table}_{day:%Y%m%d}"])
                if cursor.fetchone()[0] is not None:
                    continue
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {table}_{day:%Y%m%d} PARTITION OF {table} "
                    "FOR VALUES FROM (%s) TO (%s)",
                    [_start(day), _start(day + timedelta(days=1))],
                )


def retain(*, now: datetime) -> tuple[int, int]:
    """Thin the quotes of days past a week, drop days past ninety; (thinned, dropped) tables."""
    thinned = dropped = 0
    for table in (QUOTES, TRADES):
        for name, day, note in _days(table):
            if now.date() - day > DROP_AFTER:
                with connection.cursor() as cursor:
                    cursor.execute(f"DROP TABLE {name}")
                dropped += 1
            elif table == QUOTES and now.date() - day > THIN_AFTER and note != _THINNED:
                _thin(name)
                thinned += 1
    return thinned, dropped


@transaction.atomic
def _thin(name: str) -> None:
    """The last quote of each token and minute stays: the candles were drawn from all of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""DELETE FROM {name} t USING (
                    SELECT ctid, row_number() OVER (
                        PARTITION BY token_id, date_trunc('minute', at) ORDER BY at DESC, ctid DESC) AS nth FROM {name}
                ) d WHERE d.ctid = t.ctid AND d.nth > 1"""
        )
        cursor.execute(f"COMMENT ON TABLE {name} IS '{_THINNED}'")


def _days(table: str) -> list[tuple[str, date, str]]:
    """(name, day, note) of a table's days, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT c.relname, coalesce(obj_description(c.oid), '') FROM pg_inherits i
               JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass ORDER BY c.relname""",
            [table],
        )
        return [
            (name, datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date(), note)
            for name, note in cursor.fetchall()
        ]


def _copy(statement: str, rows: Iterable[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _draw(points: Sequence[tuple[int, datetime, Decimal, Decimal]], *, trades: bool, imported: bool = False) -> None:
    if not points:
        return
    tokens, times, prices, shares = (list(column) for column in zip(*points, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(_CANDLES, [1 if trades else 0, imported, tokens, times, prices, shares, list(SPANS_S)])


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
