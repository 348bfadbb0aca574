"""Numbered push events: written in the transaction of the change, announced after its commit.

The row lock on `PushStream` makes a user's numbers follow commit order, so "everything after N" has no holes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction

from polyhub.lib import hints


@dataclass(frozen=True, slots=True)
class Push:
    """One event for one user, e.g. topic "order.changed"."""

    user_id: int
    topic: str
    payload: Mapping[str, Any]


def push(*, pushes: Sequence[Push], now: datetime) -> None:
    """Write events inside the current transaction; the hint to browsers leaves on commit.

    Call it last in a transaction: it takes one row lock per user, always in ascending order of user id.
    """
    if not pushes:
        return
    counts: dict[int, int] = {}
    for event in pushes:
        counts[event.user_id] = counts.get(event.user_id, 0) + 1
    next_seq = _reserve(counts)
    rows: list[dict[str, Any]] = []
    for event in pushes:
        seq = next_seq[event.user_id]
        next_seq[event.user_id] = seq + 1
        rows.append({"user_id": event.user_id, "seq": seq, "topic": event.topic, "payload": event.payload})
    _insert(rows, now=now)
    users = sorted(counts)
    transaction.on_commit(lambda: hints.announce(users), robust=True)


def _insert(rows: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """All rows as one JSON value: with hundreds of users a tenth of the time that as many bound values take."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO lib_pushevent (user_id, seq, topic, payload, at)
               SELECT v.user_id, v.seq, v.topic, v.payload, %s
               FROM jsonb_to_recordset(%s::jsonb) AS v(user_id bigint, seq bigint, topic text, payload jsonb)""",
            [now, json.dumps(rows, cls=DjangoJSONEncoder)],
        )


def _reserve(counts: Mapping[int, int]) -> dict[int, int]:
    users = sorted(counts)
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO lib_pushstream (user_id, last_seq)
               SELECT u, n FROM unnest(%s::bigint[], %s::bigint[]) AS t(u, n) ORDER BY u
               ON CONFLICT (user_id) DO UPDATE SET last_seq = lib_pushstream.last_seq + EXCLUDED.last_seq
               RETURNING user_id, last_seq""",
            [users, [counts[user] for user in users]],
        )
        return {int(user): int(last) - counts[int(user)] + 1 for user, last in cursor.fetchall()}
