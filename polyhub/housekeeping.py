"""Removes what has served its time: sessions and tokens, push events, what ended in the cache, old ticks."""

from datetime import datetime, timedelta

from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.management import call_command
from django.db import connection
from knox.models import get_token_model

from markets.services import continuity, history, interest
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import PushEvent

# A browser that was away longer takes a fresh snapshot anyway.
PUSH_EVENTS_KEPT = timedelta(days=2)
INCIDENTS_KEPT = timedelta(days=30)
# Books nobody has looked at since.
BOOKS_KEPT = timedelta(hours=1)
BATCH = 10_000


def tidy() -> None:
    """The scheduled door."""
    now = SystemClock().now()
    call_command("clearsessions")
    get_token_model().objects.filter(expiry__lt=now).delete()
    remove_push_events(before=now - PUSH_EVENTS_KEPT)
    remove_ended_cache(now=now)
    history.retain(now=now)
    continuity.forget(before=now - INCIDENTS_KEPT)
    interest.forget(before=now - BOOKS_KEPT)


def remove_ended_cache(*, now: datetime) -> int:
    """Django leaves what ended in the database cache until it is full, and counts all of it at each write."""
    if not isinstance(caches["default"], DatabaseCache):
        return 0
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM lib_cache WHERE expires < %s", [now])
        return int(cursor.rowcount)


def remove_push_events(*, before: datetime) -> int:
    """Delete in batches, so that no lock is held for long; returns how many."""
    removed = 0
    while True:
        old = PushEvent.objects.filter(at__lt=before).order_by("id").values_list("id", flat=True)[:BATCH]
        count = PushEvent.objects.filter(id__in=list(old)).delete()[0]
        removed += count
        if count < BATCH:
            return removed
