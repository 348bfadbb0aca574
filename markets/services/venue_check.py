"""The open points about the real venue: what nobody here could try, how to try it, and what was answered so far."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markets.venue import registry
from markets.venue.registry import Finding, PublicClient, Transport

RECORD = "venue_check.jsonl"


@dataclass(frozen=True, slots=True)
class Point:
    """A question; `probe` names the read-only way to ask it, empty where only money can tell."""

    name: str
    question: str
    how: str
    probe: str = ""


POINTS: tuple[Point, ...] = (
    Point(
        "order-hash",
        "Is the hash we compute the live orderID (deposit wallet, session key, both exchanges)?",
        "Place one resting order of the minimum size far from the book in each kind of market; compare, then cancel.",
    ),
    Point(
        "duplicates",
        "Are identical bytes answered 'Duplicated', also after a fill, a cancel and the end of a GTD order?",
        "Send the same stored bytes again after each; never a FAK or FOK.",
    ),
    Point(
        "session-limits",
        "What is a session key refused, and by whom: transfer, approve, authorise another, extend itself, its end?",
        "With a wallet that holds one dollar; each attempt must fail. Again for each release of the official client.",
    ),
    Point(
        "session-terms",
        "May session keys live shorter than 179 days, what do they see, and do orders outlive a revocation?",
        "Read the venue's page on session keys, authorise one for two hours, look at orders from both sides.",
    ),
    Point(
        "lateness",
        "How late can an order be accepted after our time-out? (It sets ORDER_HORIZON_S.)",
        "Cut the connection after the POST of a resting order and ask for its hash each second.",
    ),
    Point(
        "look-up",
        "Does /data/order/{hash} show orders just accepted, and cancelled ones?",
        "Ask for the hash at once after placing, and after cancelling, one resting order.",
    ),
    Point(
        "heartbeat",
        "Do heartbeats work with a session key's credentials?",
        "Start one, let it stop with one resting order open; the order must be gone within 15 seconds.",
    ),
    Point("limits", "Are rate limits per key, per wallet or per address?", "Look at the headers.", "limit-headers"),
    Point("clock", "Does our clock agree with the venue's?", "GET /time", "clock"),
    Point("version", "Which order version does the venue want?", "GET /version", "version"),
    Point("region", "Does the venue serve this machine's region?", "GET /api/geoblock", "region"),
    Point("market", "Are trading terms and books of the form we read?", "The largest open market.", "market"),
    Point(
        "second-protocol",
        "Are there markets of the second protocol, with ids as we expect?",
        "Gamma",
        "second-protocol",
    ),
    Point("data-api", "Does the second Data API answer as we read it?", "GET /v2/trades", "data-api"),
    Point("activity", "Does the public activity stream tell trades with wallets?", "Listen for a moment.", "activity"),
    Point("chain-fills", "Are OrderFilled logs of the form we read?", "eth_getLogs of the last minute.", "chain-fills"),
    Point("chain-domains", "Do the exchanges sign under the domains we compute?", "eth_call", "chain-domains"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found when; `venue` is where it was asked."""

    point: str
    answer: str
    as_relied_on: bool | None
    venue: str
    asked_at: str


def read_only() -> tuple[Point, ...]:
    return tuple(point for point in POINTS if point.probe)


async def ask(
    points: Sequence[Point], *, transport: Transport, public: PublicClient, venue: str, now: datetime
) -> list[Answer]:
    """One after the other: nobody is in a hurry, and the venue counts."""
    answers = []
    for point in points:
        try:
            found = await registry.ask_about(point.probe, transport=transport, public=public)
        except TimeoutError:
            found = Finding("no answer in time", None)
        answers.append(Answer(point.name, found.answer, found.as_relied_on, venue, now.isoformat()))
    return answers


def record(answers: Sequence[Answer], *, folder: Path) -> Path:
    """Append to the record of this installation."""
    path = folder / RECORD
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(answer)) + "\n" for answer in answers)
    return path


def recorded(*, folder: Path) -> dict[str, Answer]:
    """The newest answer to each point."""
    path = folder / RECORD
    return {answer.point: answer for answer in _read(path)} if path.exists() else {}


def _read(path: Path) -> Iterator[Answer]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields: Any = json.loads(line)
            yield Answer(**fields)
        except (ValueError, TypeError):
            # A line cut short by a full disk must not hide the others.
            continue
