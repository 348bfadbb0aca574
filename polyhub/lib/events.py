"""Reading a user's numbered events: what a browser missed, or that it missed too much."""

from dataclasses import dataclass
from typing import Any

from polyhub.lib.models import PushEvent, PushStream

# More than this is cheaper told as a snapshot.
MOST = 500


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    topic: str
    payload: dict[str, Any]


def last_seq(*, user_id: int) -> int:
    """The number of the newest committed event; 0 before the first."""
    return PushStream.objects.filter(user_id=user_id).values_list("last_seq", flat=True).first() or 0


def after(*, user_id: int, seq: int) -> list[Event] | None:
    """Events with higher numbers, oldest first; None when they are too many, too old or not ours to number."""
    newest = last_seq(user_id=user_id)
    if seq == newest:
        return []
    if not 0 <= seq < newest or newest - seq > MOST:
        return None
    rows = PushEvent.objects.filter(user_id=user_id, seq__gt=seq, seq__lte=newest).order_by("seq")
    events = [Event(row.seq, row.topic, row.payload) for row in rows]
    # Old events are deleted: a hole at the start means that the client slept too long.
    return events if len(events) == newest - seq else None
