"""Leases with fencing tokens for long-running services.

The database clock decides who holds a lease; a process that slept past its lease finds its token stale,
and every write that matters names the token (`holds` is the SQL condition to repeat there).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from polyhub.lib.models import Service


@dataclass(frozen=True, slots=True)
class Lease:
    name: str
    owner: str
    token: int


def ensure(*, names: list[str]) -> None:
    """Create the rows of services that do not exist yet."""
    Service.objects.bulk_create([Service(name=name) for name in names], ignore_conflicts=True)


def acquire(*, name: str, owner: str, ttl: timedelta) -> Lease | None:
    """Take the lease by compare-and-set if nobody holds it; None when somebody does."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE lib_service SET owner = %s, token = token + 1, expires_at = now() + make_interval(secs => %s),
                      heartbeat_at = now(), started_at = now(), enqueued_at = NULL,
                      state = 'STARTING', detail = '{}'::jsonb
               WHERE name = %s AND (expires_at IS NULL OR expires_at < now()) RETURNING token""",
            [owner, ttl.total_seconds(), name],
        )
        row = cursor.fetchone()
    return Lease(name=name, owner=owner, token=int(row[0])) if row else None


def renew(*, lease: Lease, ttl: timedelta, state: str, detail: Mapping[str, Any]) -> bool:
    """Extend the lease and report; False when it was lost (the holder must stop at once)."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE lib_service SET expires_at = now() + make_interval(secs => %s), heartbeat_at = now(),
                      state = %s, detail = %s::jsonb
               WHERE name = %s AND token = %s AND owner = %s AND expires_at > now()""",
            [ttl.total_seconds(), state, json.dumps(dict(detail)), lease.name, lease.token, lease.owner],
        )
        return bool(cursor.rowcount == 1)


def release(*, lease: Lease) -> None:
    """Give the lease back so that a successor need not wait for its end."""
    Service.objects.filter(name=lease.name, token=lease.token).update(
        owner="", expires_at=None, state="STOPPED", enqueued_at=None
    )


def is_held(*, lease: Lease) -> bool:
    """True while this very token is the current one and not expired, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM lib_service WHERE name = %s AND token = %s AND expires_at > now()", [lease.name, lease.token]
        )
        return cursor.fetchone() is not None


def owner_of(*, name: str) -> str:
    """Who holds the lease now; empty when nobody does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT owner FROM lib_service WHERE name = %s AND expires_at > now()", [name])
        row = cursor.fetchone()
    return str(row[0]) if row else ""


def heartbeats(*, names: list[str]) -> dict[str, datetime | None]:
    """The last sign of life of each service, by name; None for one that never gave any."""
    return dict(Service.objects.filter(name__in=names).values_list("name", "heartbeat_at"))


def claim_missing(*, names: list[str], again_after: timedelta) -> list[str]:
    """Names without a live lease whose task is not on its way: marked as enqueued, for the caller to enqueue."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE lib_service SET enqueued_at = now()
               WHERE name = ANY(%s) AND (expires_at IS NULL OR expires_at < now())
                 AND (enqueued_at IS NULL OR enqueued_at < now() - make_interval(secs => %s)) RETURNING name""",
            [names, again_after.total_seconds()],
        )
        return sorted(row[0] for row in cursor.fetchall())
