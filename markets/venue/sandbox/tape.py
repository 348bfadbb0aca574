"""Tapes: where they lie, how they are written and read, and how one is played again and again.

A tape folder holds `tape.json` (name, source, usual speed), `markets.jsonl.gz`, `events.jsonl.gz` and SOURCES.md.
"""

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

import msgspec

from markets.venue.sandbox import recordings
from markets.venue.sandbox.events import (
    BookEvent,
    LeaderTradeEvent,
    MarketDef,
    ResolveEvent,
    Tape,
    TapeEvent,
    TickSizeEvent,
)
from markets.venue.sandbox.recordings import RecordedTrade

TAPES = Path(__file__).parent / "tapes"
DEMO = "demo"
# Between the last event of one lap and the first of the next.
_LAP_PAUSE_MS = 60_000

_StoredEvent = RecordedTrade | BookEvent | TickSizeEvent | ResolveEvent


class TapeNotFound(ValueError):
    """No tape has this name and no file lies at this path."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`speed` is what the tape is meant to be played at; `featured` are wallets with entries and exits to copy."""

    name: str
    source: str
    speed: float = 1.0
    featured: tuple[str, ...] = ()


def names() -> list[str]:
    return sorted(path.parent.name for path in TAPES.glob("*/tape.json"))


def load(name_or_path: str) -> Tape:
    """A tape of the project by name, a tape folder by path, or a Parquet recording, optionally `path@2026-04-11`."""
    if (TAPES / name_or_path / "tape.json").exists():
        return _read_folder(TAPES / name_or_path)
    path_text, _, day = name_or_path.partition("@")
    path = Path(path_text)
    if path.suffix == ".parquet" and path.is_file():
        return recordings.read(path, day=date.fromisoformat(day) if day else None)
    if (path / "tape.json").exists():
        return _read_folder(path)
    raise TapeNotFound(
        f"No tape {name_or_path!r}. Give one of: {', '.join(names())}, or a path to a Parquet recording."
    )


def header(name_or_path: str) -> Header:
    folder = TAPES / name_or_path
    if not (folder / "tape.json").exists():
        folder = Path(name_or_path)
    if not (folder / "tape.json").exists():
        return Header(name=name_or_path, source=name_or_path)
    return msgspec.json.decode((folder / "tape.json").read_bytes(), type=Header)


def replay(tape: Tape, *, salt: str, laps: int | None = None) -> Iterator[TapeEvent]:
    """The events of the tape, lap after lap (`laps` None: without end), each lap later by the length of the tape.

    Each trade gets a fresh transaction hash, a function of the salt, the lap and the recorded hash: whoever remembers
    an earlier run (salt) or lap must not take a replayed trade for one it already knows.
    """
    if not tape.events:
        return
    length_ms = tape.events[-1].at_ms - tape.events[0].at_ms + _LAP_PAUSE_MS
    lap = 0
    while laps is None or lap < laps:
        for event in tape.events:
            yield _shifted(event, by_ms=lap * length_ms, salt=f"{salt}/{lap}")
        lap += 1


def _shifted(event: TapeEvent, *, by_ms: int, salt: str) -> TapeEvent:
    at_ms = event.at_ms + by_ms
    if isinstance(event, LeaderTradeEvent):
        fresh = hashlib.sha256(f"{salt}/{event.tx_hash}".encode()).hexdigest()
        return msgspec.structs.replace(event, at_ms=at_ms, tx_hash=f"0x{fresh}")
    return msgspec.structs.replace(event, at_ms=at_ms)


def write(folder: Path, *, tape: Tape, header: Header) -> None:
    """The same tape gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tape.json").write_bytes(msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")
    _write_lines(folder / "markets.jsonl.gz", tape.markets)
    _write_lines(folder / "events.jsonl.gz", tape.events)


def _write_lines(path: Path, rows: Iterable[MarketDef | TapeEvent]) -> None:
    with path.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")


def _read_folder(folder: Path) -> Tape:
    about = header(str(folder))
    markets = msgspec.json.Decoder(MarketDef)
    events = msgspec.json.Decoder(_StoredEvent)
    return Tape(
        name=about.name,
        markets=tuple(markets.decode_lines(_unpacked(folder / "markets.jsonl.gz"))),
        events=tuple(events.decode_lines(_unpacked(folder / "events.jsonl.gz"))),
        source=about.source,
    )


def _unpacked(path: Path) -> bytes:
    with gzip.open(path, "rb") as file:
        return file.read()
