"""What goes away comes back: the database, the venue, the signer, an engine. Nothing is lost, nothing is doubled."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from polyhub.hosting import Host
from polyhub.lib import leases
from polyhub.lib.models import Service
from polyhub.tests.eventually import eventually
from polyhub.tests.test_services import Idle

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def hosted(idle: Idle, *, watch: Callable[[], None], leaving: Callable[[], bool]) -> Iterator[None]:
    leases.ensure(names=["idle"])
    host = Host(name="idle", factory=idle.factory, slice_s=60, ttl_s=2, watch=watch, leaving=leaving)

    def work() -> None:
        try:
            host.run()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        host.stop()
        thread.join(20)
        assert not thread.is_alive()


def outlives_its_lease(idle: Idle) -> bool:
    row = Service.objects.get(name="idle")
    assert row.started_at is not None
    assert row.heartbeat_at is not None
    return (row.heartbeat_at - row.started_at).total_seconds() > 2.5 and len(idle.tokens) == 1


def test_a_lease_is_renewed_while_it_is_not_known_whether_to_leave() -> None:
    def unknown() -> bool:
        if threading.current_thread().name.startswith("lease-"):
            raise OperationalError("away")
        return False

    idle = Idle()
    with hosted(idle, watch=lambda: None, leaving=unknown):
        eventually(lambda: outlives_its_lease(idle))


@pytest.mark.parametrize("error", [OperationalError("away"), ConnectionError("away")], ids=["database", "other"])
def test_a_lease_is_renewed_while_the_others_cannot_be_watched(error: Exception) -> None:
    def fail() -> None:
        raise error

    idle = Idle()
    with hosted(idle, watch=fail, leaving=lambda: False):
        eventually(lambda: outlives_its_lease(idle))
