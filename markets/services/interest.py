"""Which books people look at now, and the books as pages and clients see them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from markets.models import BookView, Interest, Token

# A page that stays open asks again well before this.
KEPT = timedelta(seconds=90)
ENOUGH = timedelta(seconds=45)
BOOKS_CHANNEL, INTEREST_CHANNEL = "market_books", "market_interest"


@dataclass(frozen=True, slots=True)
class ShownBook:
    """A book as it is shown: [price, shares] in words, best first. `doubt` says why it may not be believed."""

    token: int
    bids: Sequence[tuple[str, str]]
    asks: Sequence[tuple[str, str]]
    doubt: str = ""
    tick_size: Decimal = Decimal("0.01")
    venue_at: datetime | None = None


@transaction.atomic
def look(*, token_ids: Sequence[int], now: datetime) -> None:
    """Somebody looks at these tokens (their keys) for the next while; the feed hears of new ones on commit.

    A page asks each time it refreshes a part of itself: most of these calls find that enough was asked for.
    """
    wanted = set(token_ids)
    wanted -= set(
        Interest.objects.filter(token__in=wanted, until_at__gt=now + ENOUGH).values_list("token_id", flat=True)
    )
    if not wanted:
        return
    rows = [Interest(token_id=token_id, until_at=now + KEPT) for token_id in sorted(wanted)]
    Interest.objects.bulk_create(rows, update_conflicts=True, unique_fields=["token"], update_fields=["until_at"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [INTEREST_CHANNEL])


def looked_at(*, now: datetime) -> dict[str, int]:
    """Keys by token id of what somebody looks at."""
    rows = Token.objects.filter(interest__until_at__gt=now, market__closed=False)
    return dict(rows.order_by("id").values_list("token_id", "id"))


def keys_of(*, token_ids: Sequence[str]) -> dict[str, int]:
    """Keys by token id of those the catalogue has."""
    return dict(Token.objects.filter(token_id__in=token_ids).values_list("token_id", "id"))


def conditions_of(*, token_ids: Sequence[str]) -> dict[str, str]:
    """Conditions by token id of those the catalogue has."""
    return dict(Token.objects.filter(token_id__in=token_ids).values_list("token_id", "market__condition_id"))


def without_history(*, now: datetime, limit: int) -> list[tuple[int, str]]:
    """Looked-at tokens whose past was never imported."""
    rows = Token.objects.filter(interest__until_at__gt=now, history_at__isnull=True).order_by("id")
    return list(rows.values_list("id", "token_id")[:limit])


def history_imported(*, token: int, now: datetime) -> None:
    Token.objects.filter(pk=token).update(history_at=now)


@transaction.atomic
def publish(*, books: Sequence[ShownBook], now: datetime) -> None:
    """Replace what pages see of these tokens; the web processes hear which on commit."""
    if not books:
        return
    BookView.objects.bulk_create(
        [
            BookView(
                token_id=book.token,
                bids=[list(level) for level in book.bids],
                asks=[list(level) for level in book.asks],
                doubt=book.doubt,
                tick_size=book.tick_size,
                venue_at=book.venue_at,
                updated_at=now,
            )
            for book in sorted(books, key=lambda book: book.token)
        ],
        update_conflicts=True,
        unique_fields=["token"],
        update_fields=["bids", "asks", "doubt", "tick_size", "venue_at", "updated_at"],
    )
    _announce({"books": [book.token for book in books]})


def announce_trades(*, tokens: Sequence[int]) -> None:
    """The tape of these tokens has grown."""
    if tokens:
        _announce({"trades": sorted(set(tokens))})


def forget(*, before: datetime) -> None:
    """Interest that ended, and the books nobody keeps any more."""
    Interest.objects.filter(until_at__lt=before).delete()
    BookView.objects.filter(updated_at__lt=before).delete()


def _announce(told: Mapping[str, Sequence[int]]) -> None:
    # A notification holds 8,000 bytes: more tokens than that are told as "look at all of yours".
    text = json.dumps(told, separators=(",", ":"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [BOOKS_CHANNEL, text if len(text) < 7_500 else ""])
