"""Reads recorded tables of public data into a tape: trades of wallets, and ticks of the market socket."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl

from markets.venue.sandbox import assumptions, ctf
from markets.venue.sandbox.events import BookEvent, LeaderTradeEvent, MarketDef, Tape
from polyhub.lib import money

_SIZE = Decimal("0.000001")
_PRICE = Decimal("0.0000000001")
_LOWEST, _HIGHEST = Decimal("0.001"), Decimal("0.999")
_BOOK_EVERY_MS = 2_000
_BOOK_LEVELS = 12

ACTIVITY_COLUMNS = frozenset({"proxyWallet", "timestamp", "conditionId", "type", "asset", "outcomeIndex"})
TICK_COLUMNS = frozenset({"ts_ms", "event_type", "asset_id", "best_bid", "best_ask"})


class UnknownRecording(ValueError):
    """The file has none of the shapes this module reads."""


class RecordedTrade(LeaderTradeEvent, frozen=True, kw_only=True, tag="leader_trade"):
    """A trade with the time it really happened; `at_ms` is its time on the tape, where long pauses are shortened."""

    recorded_ms: int


def read(path: Path, *, day: date | None = None) -> Tape:
    """A tape from a Parquet file of wallets' activity (one day of it, the busiest unless told) or of socket ticks."""
    columns = set(pl.read_parquet_schema(path))
    if columns >= ACTIVITY_COLUMNS:
        trades = activity_trades(path)
        return activity_tape(name=path.stem, trades=_of_day(trades, day), everything=trades, source=path.name)
    if columns >= TICK_COLUMNS:
        return tick_tape(name=path.stem, ticks=pl.read_parquet(path), source=path.name)
    raise UnknownRecording(f"{path.name} is neither wallets' activity nor socket ticks.")


def activity_trades(path: Path) -> pl.DataFrame:
    """The trades of binary markets in a table of /activity rows, oldest first, each once."""
    rows = pl.read_parquet(path).filter(
        (pl.col("type") == "TRADE")
        & (pl.col("asset") != "")
        & (pl.col("conditionId").str.len_chars() == 66)
        & pl.col("outcomeIndex").is_in([0, 1])
        & pl.col("price").is_between(float(_LOWEST), float(_HIGHEST))
        & (pl.col("size") >= 0.01)
    )
    key = ["timestamp", "transactionHash", "proxyWallet", "asset", "side", "price", "size"]
    return rows.unique(subset=key).sort(key)


def _of_day(trades: pl.DataFrame, day: date | None) -> pl.DataFrame:
    dated = trades.with_columns(day=pl.from_epoch("timestamp").dt.date())
    if day is None:
        counts = dated.group_by("day").len().sort(["len", "day"], descending=[True, False])
        day = counts["day"][0]
    return dated.filter(pl.col("day") == day).drop("day")


def activity_tape(*, name: str, trades: pl.DataFrame, everything: pl.DataFrame, source: str) -> Tape:
    """`everything` is the larger table: it names outcomes that nobody traded within `trades`."""
    defs = _markets(trades, everything)
    known = {token for market in defs for token in market.token_ids}
    events = tuple(_trade(row) for row in trades.iter_rows(named=True) if row["asset"] in known)
    return Tape(name=name, markets=defs, events=events, source=source)


def masked_name(wallet: str) -> str:
    """What a wallet is called instead of its public handle."""
    return f"Leader {wallet[2:6].upper()}"


def _trade(row: dict[str, object]) -> RecordedTrade:
    wallet = str(row["proxyWallet"]).lower()
    recorded_ms = int(str(row["timestamp"])) * 1000
    return RecordedTrade(
        at_ms=recorded_ms,
        recorded_ms=recorded_ms,
        wallet=wallet,
        token_id=str(row["asset"]),
        condition_id=str(row["conditionId"]).lower(),
        side="BUY" if row["side"] == "BUY" else "SELL",
        price=_exact(row["price"], _PRICE),
        size=_exact(row["size"], _SIZE),
        tx_hash=str(row["transactionHash"]).lower(),
        name=masked_name(wallet),
    )


def _markets(trades: pl.DataFrame, everything: pl.DataFrame) -> tuple[MarketDef, ...]:
    by_condition: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in trades.iter_rows(named=True):
        by_condition[str(row["conditionId"])].append(row)
    named = everything.filter(pl.col("conditionId").is_in(list(by_condition))).select(
        "conditionId", "outcomeIndex", "outcome"
    )
    outcomes = {(str(row[0]), int(row[1])): str(row[2]) for row in named.unique().sort(named.columns).iter_rows()}
    found = (_market(condition, rows, outcomes) for condition, rows in by_condition.items())
    return tuple(market for market in found if market is not None)


def _market(
    condition: str, rows: Sequence[dict[str, object]], outcomes: dict[tuple[str, int], str]
) -> MarketDef | None:
    """None when the recorded token is not one the condition gives: such a row cannot be trusted."""
    traded = {(int(str(row["outcomeIndex"])), str(row["asset"])) for row in rows}
    for neg_risk in (False, True):
        tokens = ctf.token_ids(condition, neg_risk=neg_risk)
        if all(tokens[index] == token for index, token in traded):
            break
    else:
        return None
    first = rows[0]
    slug, title, event_slug = str(first["slug"]), str(first["title"]), str(first["eventSlug"])
    category = assumptions.category_of(slug=slug, title=title)
    price = _exact(first["price"], _PRICE)
    tick = assumptions.tick_of(_exact(row["price"], _PRICE) for row in rows)
    return MarketDef(
        condition_id=condition.lower(),
        token_ids=tokens,
        outcomes=_outcome_names(condition, outcomes),
        question=title,
        slug=slug,
        event_id=_made_up_number(event_slug),
        event_slug=event_slug,
        event_title=title,
        category=category,
        tick_size=tick,
        neg_risk=neg_risk,
        fee_rate=assumptions.FEE_RATES[category],
        first_price=_on_grid(price if int(str(first["outcomeIndex"])) == 0 else 1 - price, tick),
    )


def _outcome_names(condition: str, outcomes: dict[tuple[str, int], str]) -> tuple[str, str]:
    first, second = outcomes.get((condition, 0), ""), outcomes.get((condition, 1), "")
    return first or assumptions.opposite_outcome(second), second or assumptions.opposite_outcome(first)


def _made_up_number(text: str) -> str:
    """Activity rows do not carry Gamma's event id; the slug's hash keeps events apart."""
    return str(int(hashlib.sha256(text.encode()).hexdigest()[:10], 16))


def _on_grid(price: Decimal, tick: Decimal) -> Decimal:
    """A recorded price is an average of fills; what stands in a book is a multiple of the tick inside (0, 1)."""
    return min(max(money.nearest_to(price, tick), tick), 1 - tick)


def _exact(value: object, step: Decimal) -> Decimal:
    return Decimal(str(value)).quantize(step).normalize()


def tick_tape(*, name: str, ticks: pl.DataFrame, source: str) -> Tape:
    """Whole books each two seconds out of level changes of the market socket.

    The recording has no opening book and no titles: levels appear as they change, and conditions get a made-up id.
    Only the first token of a pair is kept, for the other is its mirror.
    """
    changes = ticks.filter(pl.col("event_type") == "PRICE_CHANGE").sort("ts_ms", maintain_order=True)
    pairs = _pairs(changes)
    events: list[BookEvent] = []
    for first, _ in pairs:
        events += _books(first, changes.filter(pl.col("asset_id") == first))
    events.sort(key=lambda event: (event.at_ms, event.token_id))
    defs = tuple(_ticked_market(number, pair, events) for number, pair in enumerate(pairs, start=1))
    return Tape(name=name, markets=defs, events=tuple(events), source=source)


def _pairs(changes: pl.DataFrame) -> list[tuple[str, str]]:
    """Tokens whose changes mirror each other: same moment, same size, prices that sum to one."""
    moved = changes.select("ts_ms", "size", "asset_id", price=(pl.col("price") * 10_000).round().cast(pl.Int64))
    mirrored = moved.join(moved.with_columns(price=10_000 - pl.col("price")), on=["ts_ms", "size", "price"])
    counts = (
        mirrored.filter(pl.col("asset_id") != pl.col("asset_id_right"))
        .group_by("asset_id", "asset_id_right")
        .len()
        .sort(["len", "asset_id"], descending=[True, False])
    )
    pairs: list[tuple[str, str]] = []
    taken: set[str] = set()
    for one, other, _ in counts.iter_rows():
        if one not in taken and other not in taken:
            pairs.append((min(one, other), max(one, other)))
            taken |= {one, other}
    return pairs


def _books(token_id: str, changes: pl.DataFrame) -> list[BookEvent]:
    sides: dict[str, dict[Decimal, Decimal]] = {"BID": {}, "ASK": {}}
    events: list[BookEvent] = []
    due = 0
    for row in changes.select("ts_ms", "side", "price", "size", "best_bid", "best_ask").iter_rows():
        at_ms, side, price, size, best_bid, best_ask = row
        sides[side][_exact(price, _PRICE)] = _exact(size, _SIZE)
        if at_ms < due:
            continue
        event = _book(token_id, at_ms, sides, _exact(best_bid, _PRICE), _exact(best_ask, _PRICE))
        if event.bids and event.asks:
            events.append(event)
            due = at_ms + _BOOK_EVERY_MS
    return events


def _book(
    token_id: str, at_ms: int, sides: dict[str, dict[Decimal, Decimal]], best_bid: Decimal, best_ask: Decimal
) -> BookEvent:
    """Levels better than the stated best are leftovers of an unseen removal."""
    bids = sorted(((p, s) for p, s in sides["BID"].items() if s and p <= best_bid), reverse=True)
    asks = sorted((p, s) for p, s in sides["ASK"].items() if s and p >= best_ask)
    return BookEvent(at_ms=at_ms, token_id=token_id, bids=tuple(bids[:_BOOK_LEVELS]), asks=tuple(asks[:_BOOK_LEVELS]))


def _ticked_market(number: int, pair: tuple[str, str], events: Sequence[BookEvent]) -> MarketDef:
    own = [event for event in events if event.token_id == pair[0]]
    prices = [price for event in own for price, _ in event.bids + event.asks]
    tick = Decimal("0.001") if any(price % Decimal("0.01") for price in prices) else Decimal("0.01")
    middle = (own[0].bids[0][0] + own[0].asks[0][0]) / 2 if own else Decimal("0.5")
    return MarketDef(
        condition_id="0x" + hashlib.sha256(f"unrecorded condition of {pair[0]}".encode()).hexdigest(),
        token_ids=pair,
        outcomes=("First", "Second"),
        question=f"Sports market {number} of a socket recording (title not recorded)",
        slug=f"recorded-sports-market-{number}",
        event_id=_made_up_number(pair[0]),
        event_slug=f"recorded-sports-market-{number}",
        event_title=f"Sports market {number} of a socket recording",
        category="sports",
        tick_size=tick,
        fee_rate=assumptions.FEE_RATES["sports"],
        first_price=_on_grid(middle, tick),
    )
