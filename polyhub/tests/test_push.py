import threading
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from polyhub.lib import push
from polyhub.lib.models import PushEvent

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.django_db
def test_each_user_counts_from_one_and_events_of_one_call_stay_in_order() -> None:
    push.push(pushes=[push.Push(1, "a", {"n": 1}), push.Push(2, "a", {"n": 2}), push.Push(1, "b", {"n": 3})], now=NOW)
    push.push(pushes=[push.Push(1, "c", {"at": NOW})], now=NOW)
    mine = list(PushEvent.objects.filter(user_id=1).order_by("seq").values_list("seq", "topic"))
    assert mine == [(1, "a"), (2, "b"), (3, "c")]
    assert PushEvent.objects.get(user_id=2).seq == 1


@pytest.mark.django_db
def test_a_rolled_back_change_leaves_no_event_and_no_hole() -> None:
    class Undone(Exception):
        pass

    push.push(pushes=[push.Push(1, "kept", {})], now=NOW)

    def change_and_fail() -> None:
        with transaction.atomic():
            push.push(pushes=[push.Push(1, "undone", {})], now=NOW)
            raise Undone

    with pytest.raises(Undone):
        change_and_fail()
    push.push(pushes=[push.Push(1, "next", {})], now=NOW)
    assert list(PushEvent.objects.order_by("seq").values_list("seq", "topic")) == [(1, "kept"), (2, "next")]


@pytest.mark.django_db(transaction=True)
def test_numbers_follow_commit_order_when_two_transactions_overlap() -> None:
    """A reader that saw number N must never later find a smaller number it had not seen."""
    first_pushed, release = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            push.push(pushes=[push.Push(7, "slow", {})], now=NOW)
            first_pushed.set()
            release.wait(5)
        connection.close()

    def quick() -> None:
        with transaction.atomic():
            push.push(pushes=[push.Push(7, "quick", {})], now=NOW)
        connection.close()

    one, two = threading.Thread(target=slow), threading.Thread(target=quick)
    one.start()
    assert first_pushed.wait(5)
    two.start()
    two.join(0.3)
    assert not PushEvent.objects.filter(user_id=7).exists()  # the later one waits for the earlier commit
    release.set()
    one.join(5)
    two.join(5)
    assert list(PushEvent.objects.filter(user_id=7).order_by("seq").values_list("topic", flat=True)) == [
        "slow",
        "quick",
    ]
