"""Recording leaders' trades: one row per fill whichever source told first, and what the leader held before it.

Hot path: one transaction and a handful of statements per frame, whatever the number of followers.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from django.db import transaction

from markets.models import TradeSide, TradeSource
from markets.services import catalogue
from markets.venue.ports import LeaderTradeSeen
from polyhub.lib import clock, money, prepared

_PRICE_STEP = Decimal("0.0000000001")
# Two sources print the same average price with different digits; nearer than this it is the same fill.
_SAME_PRICE = Decimal("0.0001")
_SAME_SHARES = Decimal("0.01")
_MAX_SHARES = Decimal(10) ** 12

_TOKENS = """
SELECT t.token_id, t.id, m.fee_rate FROM markets_token t JOIN markets_market m ON m.id = t.market_id
WHERE t.token_id = ANY(%s)
"""
_STORED = """
SELECT transaction_hash, wallet, token_id, side, id, price, shares, rtds_at, data_api_at, chain_at
FROM markets_leadertrade WHERE transaction_hash = ANY(%s)
"""
_POSITIONS = """
SELECT p.wallet, p.token_id, p.shares, p.as_of FROM markets_leaderposition p
JOIN unnest(%s::text[], %s::bigint[]) AS w(wallet, token) ON p.wallet = w.wallet AND p.token_id = w.token
ORDER BY p.id FOR UPDATE OF p
"""
_STORE_POSITIONS = """
INSERT INTO markets_leaderposition (wallet, token_id, shares, as_of)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::numeric[], %s::timestamptz[])
ON CONFLICT (wallet, token_id) DO UPDATE SET shares = EXCLUDED.shares
"""
_INSERT = """
WITH made AS (INSERT INTO markets_leadertrade (wallet, token_id, side, price, shares, transaction_hash,
       held_before_shares, first_source, traded_at, received_at, rtds_at, data_api_at, chain_at)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::numeric[], %s::numeric[], %s::text[], %s::numeric[],
       %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
ON CONFLICT (transaction_hash, wallet, token_id, side, price, shares) DO NOTHING RETURNING id)
SELECT id, pg_notify('leader_trade', '') FROM made
"""

# Transaction, wallet, token row, side, price, shares: what names a fill.
_Key = tuple[str, str, int, str, Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch: ids of new trades, how many were known already, how many could not be read or placed."""

    new_ids: tuple[int, ...] = ()
    known: int = 0
    unreadable: int = 0
    undescribed_tokens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fill:
    """A seen trade in exact values."""

    wallet: str
    token_id: str
    token_pk: int
    side: str
    price: Decimal
    shares: Decimal
    transaction_hash: str
    source: str
    traded_at: datetime
    received_at: datetime
    held_before: Decimal | None = None

    @property
    def key(self) -> _Key:
        return (self.transaction_hash, self.wallet, self.token_pk, self.side, self.price, self.shares)

    @property
    def order_key(self) -> tuple[str, str, int, str]:
        return self.key[:4]


@dataclass(frozen=True, slots=True)
class _Stored:
    """A fill that has its row."""

    pk: int
    price: Decimal
    shares: Decimal
    rtds_at: datetime | None
    data_api_at: datetime | None
    chain_at: datetime | None


@transaction.atomic
def record(*, seen: Sequence[LeaderTradeSeen], now: datetime) -> Recorded:
    """Store a batch; a trade seen before only gets this source's arrival time. Engines are woken on commit.

    Holdings of the leaders move with the new trades, under a lock on each wallet's row of the token.
    """
    fills, unreadable = _read(seen)
    fills, described = _with_tokens(fills, seen, now=now)
    unplaced = sum(1 for fill in fills if not fill.token_pk)
    fills = _once(fill for fill in fills if fill.token_pk)
    if not fills:
        return Recorded(unreadable=unreadable + unplaced)
    known = _known(fills)
    _touch(known)
    with prepared.pipeline():
        fresh = _with_holdings([fill for fill in fills if fill.key not in known], now=now)
        new_ids = _insert(fresh)
    return Recorded(
        new_ids=new_ids,
        known=len(fills) - len(new_ids),
        unreadable=unreadable + unplaced,
        undescribed_tokens=tuple(sorted({fill.token_id for fill in fresh} & described)),
    )


def _read(seen: Sequence[LeaderTradeSeen]) -> tuple[list[_Fill], int]:
    fills: list[_Fill] = []
    unreadable = 0
    for trade in seen:
        try:
            fills.append(_fill(trade))
        except (InvalidOperation, ValueError, OverflowError):
            unreadable += 1
    return fills, unreadable


def _fill(trade: LeaderTradeSeen) -> _Fill:
    """Exact values of a seen trade; ValueError for what cannot be a fill."""
    price = Decimal(trade.price).quantize(_PRICE_STEP, rounding=ROUND_HALF_EVEN)
    shares = money.floor_to(Decimal(trade.shares), money.MICRO)
    if not 0 < price < 1 or not 0 < shares < _MAX_SHARES:
        raise ValueError("price or size outside what a fill can have")
    return _Fill(
        wallet=trade.wallet.lower(),
        token_id=trade.token_id,
        token_pk=0,
        side=TradeSide(str(trade.side)).value,
        price=price,
        shares=shares,
        transaction_hash=trade.transaction_hash.lower(),
        source=TradeSource(trade.source).value,
        traded_at=datetime.fromtimestamp(trade.traded_s, UTC),
        received_at=clock.from_ms(trade.received_ms),
    )


def _with_tokens(fills: list[_Fill], seen: Sequence[LeaderTradeSeen], *, now: datetime) -> tuple[list[_Fill], set[str]]:
    """Fills with their token rows (made when missing), and the tokens whose fee is still unknown."""
    wanted = {fill.token_id for fill in fills}
    rows = _token_rows(wanted)
    missing = wanted - rows.keys()
    if missing:
        catalogue.ensure_placeholders(seen=[trade for trade in seen if trade.token_id in missing], now=now)
        rows = _token_rows(wanted)
    undescribed = {token_id for token_id, (_, fee_rate) in rows.items() if fee_rate is None}
    return [replace(fill, token_pk=rows.get(fill.token_id, (0, None))[0]) for fill in fills], undescribed


def _token_rows(token_ids: set[str]) -> dict[str, tuple[int, Decimal | None]]:
    return {token_id: (pk, fee_rate) for token_id, pk, fee_rate in prepared.rows(_TOKENS, [sorted(token_ids)])}


def _once(fills: Iterable[_Fill]) -> list[_Fill]:
    """One of each, oldest first: a socket tells a taker's trade on two topics."""
    return sorted({fill.key: fill for fill in fills}.values(), key=lambda fill: fill.traded_at)


def _known(fills: Sequence[_Fill]) -> dict[_Key, tuple[int, _Fill]]:
    """Fills that are stored already: exactly, or as another source (that has not told this one yet) printed them."""
    stored: dict[tuple[str, str, int, str], list[_Stored]] = defaultdict(list)
    for row in prepared.rows(_STORED, [sorted({fill.transaction_hash for fill in fills})]):
        stored[row[:4]].append(_Stored(*row[4:]))
    known = {}
    for fill in fills:
        candidates = stored[fill.order_key]
        match = next((row for row in candidates if (row.price, row.shares) == (fill.price, fill.shares)), None)
        match = match or next((row for row in candidates if _is_told_by_another(fill, row)), None)
        if match:
            candidates.remove(match)
            known[fill.key] = (match.pk, fill)
    return known


def _is_told_by_another(fill: _Fill, row: _Stored) -> bool:
    arrived = {TradeSource.RTDS: row.rtds_at, TradeSource.DATA_API: row.data_api_at, TradeSource.CHAIN: row.chain_at}
    return (
        arrived[TradeSource(fill.source)] is None
        and abs(fill.price - row.price) < _SAME_PRICE
        and abs(fill.shares - row.shares) < _SAME_SHARES
    )


def _touch(known: dict[_Key, tuple[int, _Fill]]) -> None:
    by_source: dict[str, list[tuple[int, datetime]]] = defaultdict(list)
    for pk, fill in known.values():
        by_source[fill.source].append((pk, fill.received_at))
    for source, rows in by_source.items():
        column = f"{source}_at"  # one of TradeSource
        prepared.run(
            f"""UPDATE markets_leadertrade t SET {column} = s.at
                FROM unnest(%s::bigint[], %s::timestamptz[]) AS s(id, at)
                WHERE t.id = s.id AND t.{column} IS NULL""",
            [[pk for pk, _ in rows], [at for _, at in rows]],
        )


def _with_holdings(fills: list[_Fill], *, now: datetime) -> list[_Fill]:
    """The fills with what the wallet held before each; the stored holdings move on."""
    pairs = sorted({(fill.wallet, fill.token_pk) for fill in fills})
    if not pairs:
        return fills
    held = _locked_positions(pairs)
    result: list[_Fill] = []
    first: dict[tuple[str, int], datetime] = {}
    for fill in fills:
        pair = (fill.wallet, fill.token_pk)
        position = held.get(pair)
        if position is None:
            # Nothing known before: a buy starts from zero, a sale proves that there was something unknown.
            position = (money.ZERO, fill.traded_at - timedelta(seconds=1))
            before = money.ZERO if fill.side == TradeSide.BUY else None
            first[pair] = position[1]
        else:
            before = position[0]
        result.append(replace(fill, held_before=before))
        # A snapshot newer than the trade contains it already.
        if fill.traded_at > position[1]:
            change = fill.shares if fill.side == TradeSide.BUY else -fill.shares
            position = (max(position[0] + change, money.ZERO), position[1])
        held[pair] = position
    _store_positions({pair: held[pair] for pair in pairs})
    return result


def _locked_positions(pairs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[Decimal, datetime]]:
    rows = prepared.rows(_POSITIONS, [[wallet for wallet, _ in pairs], [token for _, token in pairs]])
    return {(wallet, int(token)): (shares, as_of) for wallet, token, shares, as_of in rows}


def _store_positions(positions: dict[tuple[str, int], tuple[Decimal, datetime]]) -> None:
    rows = sorted(positions.items())
    prepared.run(
        _STORE_POSITIONS,
        [
            [pair[0] for pair, _ in rows],
            [pair[1] for pair, _ in rows],
            [shares for _, (shares, _) in rows],
            [as_of for _, (_, as_of) in rows],
        ],
    )


def _insert(fills: Sequence[_Fill]) -> tuple[int, ...]:
    if not fills:
        return ()
    arrivals = {
        source: [fill.received_at if fill.source == source else None for fill in fills] for source in TradeSource
    }
    rows = prepared.rows(
        _INSERT,
        [
            [fill.wallet for fill in fills],
            [fill.token_pk for fill in fills],
            [fill.side for fill in fills],
            [fill.price for fill in fills],
            [fill.shares for fill in fills],
            [fill.transaction_hash for fill in fills],
            [fill.held_before for fill in fills],
            [fill.source for fill in fills],
            [fill.traded_at for fill in fills],
            [fill.received_at for fill in fills],
            arrivals[TradeSource.RTDS],
            arrivals[TradeSource.DATA_API],
            arrivals[TradeSource.CHAIN],
        ],
    )
    return tuple(sorted(int(row[0]) for row in rows))
