from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache

from polyhub import housekeeping
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import PushEvent

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.django_db
def test_only_push_events_before_the_limit_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Small batches, so that several are needed.
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    ages = [timedelta(days=days) for days in (1, 3, 4, 5, 6, 7)]
    PushEvent.objects.bulk_create(
        PushEvent(user_id=1, seq=seq, topic="t", payload={}, at=NOW - age) for seq, age in enumerate(ages)
    )
    assert housekeeping.remove_push_events(before=NOW - housekeeping.PUSH_EVENTS_KEPT) == 5
    assert [event.seq for event in PushEvent.objects.all()] == [0]


@pytest.mark.django_db
def test_the_scheduled_run_works_on_an_empty_database() -> None:
    housekeeping.tidy()


@pytest.mark.django_db
def test_only_what_ended_leaves_the_cache() -> None:
    now = SystemClock().now()
    cache.set("ended", 1, timeout=60)
    cache.set("alive", 2, timeout=6000)
    assert housekeeping.remove_ended_cache(now=now + timedelta(minutes=10)) >= 1
    assert (cache.get("ended"), cache.get("alive")) == (None, 2)
