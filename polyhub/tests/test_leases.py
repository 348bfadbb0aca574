"""One owner at a time, by the database's clock, with a token that only grows."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from polyhub.lib import leases
from polyhub.lib.held_lease import HeldLease, boot_clock
from polyhub.lib.models import Service

pytestmark = pytest.mark.django_db
TTL = timedelta(seconds=30)


def expire(name: str = "one") -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lib_service SET expires_at = now() - interval '1 s' WHERE name = %s", [name])


def take(name: str = "one", owner: str = "a") -> leases.Lease | None:
    leases.ensure(names=[name])
    return leases.acquire(name=name, owner=owner, ttl=TTL)


def held(name: str = "one", owner: str = "a") -> leases.Lease:
    lease = take(name, owner)
    assert lease is not None
    return lease


def test_a_held_lease_cannot_be_taken() -> None:
    held()
    assert take(owner="b") is None
    assert leases.owner_of(name="one") == "a"


def test_the_token_grows_with_each_owner_and_the_old_one_is_worth_nothing() -> None:
    first = held()
    expire()
    second = held(owner="b")
    assert second.token == first.token + 1
    assert not leases.renew(lease=first, ttl=TTL, state="RUNNING", detail={})
    assert not leases.is_held(lease=first)
    assert leases.is_held(lease=second)


def test_an_expired_lease_cannot_be_renewed_even_if_nobody_took_it() -> None:
    lease = held()
    expire()
    assert not leases.renew(lease=lease, ttl=TTL, state="RUNNING", detail={})


def test_a_released_lease_is_free_at_once() -> None:
    leases.release(lease=held())
    assert take(owner="b") is not None


def test_releasing_late_does_not_take_the_lease_from_the_next_owner() -> None:
    old = held()
    expire()
    held(owner="b")
    leases.release(lease=old)
    assert leases.owner_of(name="one") == "b"


def test_renewing_reports_state_and_detail() -> None:
    lease = held()
    assert leases.renew(lease=lease, ttl=TTL, state="RUNNING", detail={"accounts": 3})
    row = Service.objects.get(name="one")
    assert (row.state, row.detail, row.heartbeat_at is not None) == ("RUNNING", {"accounts": 3}, True)


def test_a_missing_service_is_enqueued_once_until_patience_ends() -> None:
    leases.ensure(names=["one", "two"])
    held("two")
    again = timedelta(seconds=15)
    assert leases.claim_missing(names=["one", "two"], again_after=again) == ["one"]
    assert leases.claim_missing(names=["one", "two"], again_after=again) == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lib_service SET enqueued_at = now() - interval '16 s'")
    assert leases.claim_missing(names=["one", "two"], again_after=again) == ["one"]
    held("one")
    expire("one")
    assert leases.claim_missing(names=["one", "two"], again_after=again) == ["one"]


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_gets_it() -> None:
    leases.ensure(names=["one"])
    barrier = threading.Barrier(8)

    def ask(number: int) -> leases.Lease | None:
        barrier.wait(timeout=10)
        try:
            return leases.acquire(name="one", owner=str(number), ttl=TTL)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(lease is not None for lease in pool.map(ask, range(8))) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda lease: None, True),
        (lambda lease: lease.lose(), False),
        (lambda lease: lease.renewed(asked_at=boot_clock() - 60), True),
    ],
)
def test_a_lease_is_alive_until_lost_and_an_old_renewal_never_shortens_it(
    change: Callable[[HeldLease], None], expected: bool
) -> None:
    lease = HeldLease(name="one", token=1, ttl_s=30, asked_at=boot_clock())
    change(lease)
    assert lease.alive() is expected


def test_a_lease_whose_time_passed_unnoticed_is_dead_until_renewed() -> None:
    lease = HeldLease(name="one", token=1, ttl_s=5, asked_at=boot_clock() - 6)
    assert not lease.alive()
    lease.renewed(asked_at=boot_clock())
    assert lease.alive()
