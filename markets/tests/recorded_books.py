"""A recorded order-book day as the frames the market socket sent, and how well a cache that hears them agrees.

`recordings/` holds one game; the folder of recorded payloads (`recorded.FOLDER`) may hold all of them.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from markets.books import BookCache, TrustedBook
from markets.tests import recorded
from markets.tests.test_books import HandFedStream, Shelf
from markets.venue.polymarket.streams import MarketStream
from markets.venue.ports import BookSnapshot, FeedStatus
from polyhub.lib.clock import ReplayClock, from_ms

GAME = Path(__file__).parent / "recordings" / "mlb-laa-nyy-2025-06-19.jsonl.gz"
WHOLE = "book_events_mlb_2025.parquet"


@dataclass(slots=True)
class Agreement:
    """Levels of the venue's own snapshots, and how many of them we had just before each came."""

    levels: int = 0
    equal: int = 0
    snapshots: int = 0
    looks: int = 0
    crossed_while_trusted: int = 0

    @property
    def share(self) -> float:
        return self.equal / self.levels


def game() -> list[str]:
    """The frames of one recorded game."""
    with gzip.open(GAME, "rt") as lines:
        return lines.read().splitlines()


def all_games() -> Iterator[tuple[str, list[str]]]:
    """(name, frames) of every recorded game, where the recordings are at hand."""
    for path in recorded.FOLDER.rglob(WHOLE):
        for (name,), rows in pl.read_parquet(path).group_by("market_slug", maintain_order=True):
            yield str(name), list(frames(rows.sort("seq").to_dicts()))


def frames(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Rows of a recording (one per level) to the frames they came in."""
    for (asset, kind, at, hash_), some in groupby(rows, key=_frame_of):
        levels = [(row["side"], f"{row['price']:g}", _size(row["size"])) for row in some]
        frame: dict[str, object] = {"event_type": kind, "market": "", "timestamp": str(at)}
        if kind == "book":
            sides = {"bids": "BUY", "asks": "SELL"}
            told = {
                name: [{"price": price, "size": size} for is_side, price, size in levels if is_side == side]
                for name, side in sides.items()
            }
            frame |= {"asset_id": asset, "hash": hash_, **told}
        else:
            frame["price_changes"] = [
                {"asset_id": asset, "price": price, "size": size, "side": side, "hash": hash_}
                for side, price, size in levels
            ]
        yield msgspec.json.encode(frame).decode()


def replay(told: Iterable[str], stream: MarketStream, clock: ReplayClock) -> Agreement:
    """Decode and apply every frame as the product does; compare with each whole book before it is taken."""
    found = Agreement()
    cache = BookCache(stream=HandFedStream(), fetch=Shelf().fetch, clock=clock)
    for text in told:
        for event in stream.read(text):
            token_id = getattr(event, "token_id", "")
            if token_id and token_id not in cache.token_ids:
                cache.need([token_id])
                cache.apply(FeedStatus(connected=True, tokens=(token_id,)))
            if isinstance(event, BookSnapshot):
                clock.set(from_ms(event.venue_ms))
                _compare(cache, event, found)
            cache.apply(event)
        view = cache.view(token_id)
        found.looks += 1
        found.crossed_while_trusted += isinstance(view, TrustedBook) and view.book.crossed
    return found


def _compare(cache: BookCache, theirs: BookSnapshot, found: Agreement) -> None:
    view = cache.view(theirs.token_id)
    if not isinstance(view, TrustedBook):
        return
    found.snapshots += 1
    for side, levels in (("BUY", theirs.bids), ("SELL", theirs.asks)):
        ours = dict(view.book.levels(side))
        whole = {level.price_units: level.share_units for level in levels}
        prices = ours.keys() | whole.keys()
        found.levels += len(prices)
        found.equal += sum(ours.get(price) == whole.get(price) for price in prices)


def _frame_of(row: Mapping[str, Any]) -> tuple[str, str, int, str]:
    return row["asset_id"], row["event_type"], row["timestamp"], row["hash"]


def _size(shares: float) -> str:
    text = f"{shares:.6f}".rstrip("0").rstrip(".")
    return text or "0"
