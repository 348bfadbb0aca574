"""Every test runs on the database we deploy: the embedded PostgreSQL, unless DATABASE_URL names another.

Nothing outside this machine is contacted, whatever a test or a library tries: connections elsewhere fail.
"""

import os
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polyhub.settings")

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import DjangoDbBlocker

from polyhub import postgres

# Tests marked `live` are run by hand, with this set.
LIVE = bool(os.environ.get("POLYHUB_LIVE_TESTS"))

if settings.EMBEDDED:
    postgres.ensure_running(settings.VAR_DIR)
# whitenoise warns about a missing folder, and warnings are errors here.
settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)


class OutsideContact(AssertionError):
    """A test tried to reach another machine."""


def stay_on_this_machine(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not _is_loopback(arguments[1][0]):
        raise OutsideContact(f"connection to {arguments[1][0]}")
    if event == "socket.getaddrinfo" and arguments[0] is not None and not _is_local_name(arguments[0]):
        raise OutsideContact(f"look-up of {arguments[0]}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_local_name(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    return name in {"", "localhost", "0.0.0.0", "::"} or _is_loopback(name)


if not LIVE:
    sys.addaudithook(stay_on_this_machine)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A worker thread that served a socket keeps its connection, and a database in use cannot be dropped."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
