from datetime import UTC, datetime, timedelta

import pytest

from polyhub import housekeeping
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
