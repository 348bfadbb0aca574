"""Builds the tapes in `tapes/` out of the recorded tables in `../shared/data`.

    python -m markets.venue.sandbox.build_tape [DATA_FOLDER]

Run it only to change the demo data: the result is kept in the repository, and the same input gives the same bytes.
"""

import math
import sys
from pathlib import Path

import msgspec
import polars as pl

from markets.venue.sandbox import recordings, tape
from markets.venue.sandbox.events import Tape, TapeEvent

FEATURED_WALLETS = 24
DEMO_SPEED = 60.0
# Pauses up to this long are kept; longer ones grow with their logarithm only.
_KEPT_PAUSE_S = 20.0
_LONGER_PAUSE_S = 12.0
# Others' trades are kept from this long before a featured wallet enters a market until this long after it leaves.
_AROUND_S = 3600


def main(data: Path) -> None:
    activity = data / "a_wallets" / "activity_multiwallet.parquet"
    trades = recordings.activity_trades(activity)
    for built, about in (_demo(trades), _busy_day(activity), _sports_books(data)):
        tape.write(tape.TAPES / about.name, tape=built, header=about)
        sys.stdout.write(f"{about.name}: {len(built.markets)} markets, {len(built.events)} events\n")


def _demo(trades: pl.DataFrame) -> tuple[Tape, tape.Header]:
    """The whole record of the featured wallets and what others traded around it, in the true order."""
    featured = featured_wallets(trades)
    theirs = trades.filter(pl.col("proxyWallet").is_in(featured))
    stays = theirs.group_by("conditionId").agg(
        entered=pl.col("timestamp").min() - _AROUND_S, left=pl.col("timestamp").max() + _AROUND_S
    )
    chosen = (
        trades.join(stays, on="conditionId", maintain_order="left")
        .filter(pl.col("timestamp").is_between("entered", "left"))
        .drop("entered", "left")
    )
    whole = recordings.activity_tape(name="demo", trades=chosen, everything=trades, source="")
    source = "Public trades of real wallets, April to June 2026, long pauses shortened; see SOURCES.md."
    about = tape.Header(name="demo", source=source, speed=DEMO_SPEED, featured=tuple(featured))
    return msgspec.structs.replace(whole, events=shorten_pauses(whole.events), source=source), about


def _busy_day(activity: Path) -> tuple[Tape, tape.Header]:
    source = "Public trades of 5 April 2026 as recorded; see SOURCES.md."
    day = recordings.read(activity)
    return msgspec.structs.replace(day, name="busy-day", source=source), tape.Header(name="busy-day", source=source)


def _sports_books(data: Path) -> tuple[Tape, tape.Header]:
    source = "Market socket of six sports markets, 7 June 2026 (Polymarket-Tickscope, MIT); see SOURCES.md."
    books = recordings.read(data / "b_ws_recordings" / "ws_ticks_sports_20260607_0130.parquet")
    about = tape.Header(name="sports-books", source=source)
    return msgspec.structs.replace(books, name="sports-books", source=source), about


def featured_wallets(trades: pl.DataFrame) -> list[str]:
    """Wallets whose record shows most often a token bought and later sold, whatever came of it.

    They trade at least 5 dollars at the median, mostly between 8 and 92 cents, and at most 300 times. Those with the
    most entries between 5 and 95 cents come first.
    """
    is_buy, is_sell = pl.col("side") == "BUY", pl.col("side") == "SELL"
    round_trips = (
        trades.group_by("proxyWallet", "asset")
        .agg(
            bought_at=pl.col("timestamp").filter(is_buy).min(),
            sold_at=pl.col("timestamp").filter(is_sell).max(),
        )
        .filter(pl.col("sold_at") > pl.col("bought_at"))
        .group_by("proxyWallet")
        .agg(round_trips=pl.len())
    )
    habits = trades.group_by("proxyWallet").agg(
        trades=pl.len(),
        median_usdc=pl.col("usdcSize").median(),
        middling=pl.col("price").is_between(0.08, 0.92).mean(),
        entries=(is_buy & pl.col("price").is_between(0.05, 0.95)).sum(),
    )
    fitting = habits.join(round_trips, on="proxyWallet").filter(
        (pl.col("median_usdc") >= 5) & (pl.col("middling") > 0.6) & (pl.col("trades") <= 300)
    )
    ranked = fitting.sort(["round_trips", "proxyWallet"], descending=[True, False])
    busiest_first = ranked.head(FEATURED_WALLETS).sort(["entries", "proxyWallet"], descending=[True, False])
    return [str(wallet) for wallet in busiest_first["proxyWallet"]]


def shorten_pauses(events: tuple[TapeEvent, ...]) -> tuple[TapeEvent, ...]:
    """The same order with weeks pressed into hours."""
    shortened: list[TapeEvent] = []
    at_ms = previous_ms = events[0].at_ms
    for event in events:
        pause_s = (event.at_ms - previous_ms) / 1000
        if pause_s > _KEPT_PAUSE_S:
            pause_s = _KEPT_PAUSE_S + _LONGER_PAUSE_S * math.log(pause_s / _KEPT_PAUSE_S)
        at_ms += round(pause_s * 1000)
        previous_ms = event.at_ms
        shortened.append(msgspec.structs.replace(event, at_ms=at_ms))
    return tuple(shortened)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data"))
