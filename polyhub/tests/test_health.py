import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django_q.models import OrmQ, Schedule
from pytest_django.fixtures import Settings

from polyhub import monitoring, schedules
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import Service
from polyhub.tests.eventually import eventually

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def part(name: str, *, now: datetime = NOW) -> monitoring.Part:
    return next(found for found in monitoring.parts(now=now) if found.name == name)


def run_services(now: datetime, *, seen: timedelta = timedelta(seconds=1), connected: bool = True) -> None:
    """Rows as the running services keep them."""
    for name in monitoring.service_names():
        Service.objects.create(
            name=name,
            owner="here",
            token=1,
            state="RUNNING",
            heartbeat_at=now - timedelta(seconds=2),
            started_at=now - timedelta(hours=1),
            expires_at=now + timedelta(seconds=6),
            detail={"connected": connected, "last_event_at": (now - seen).isoformat()} if name == "feed" else {},
        )


@pytest.fixture
def nobody_listens() -> Iterator[str]:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{reserved.getsockname()[1]}/0"


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A real Redis on a socket of its own."""
    server = shutil.which("redis-server")
    assert server, "Redis is missing, and this test needs it. Debian: apt-get install redis-server"
    path = tmp_path / "redis.sock"
    arguments = [server, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        eventually(path.exists)
        yield f"unix://{path}"
        process.terminate()


def test_health_needs_no_database(client: Client) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"ok": True}


@pytest.mark.django_db
def test_ready_names_each_part_with_its_age(client: Client) -> None:
    run_services(SystemClock().now())
    answer = client.get("/ready")
    assert answer.status_code == 200, answer.json()
    parts = answer.json()["parts"]
    assert list(parts) == ["database", "migrations", "broker", "leases", "feed"]
    assert all(row["ok"] and row["age_s"] is not None for row in parts.values())
    assert answer.headers["Cache-Control"].startswith("max-age=0")


@pytest.mark.django_db
def test_not_ready_is_a_503_that_says_what_is_missing(client: Client) -> None:
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert "engine-0" in answer.json()["parts"]["leases"]["detail"]


@pytest.mark.django_db
def test_an_expired_lease_is_not_live() -> None:
    run_services(NOW)
    assert part("leases").ok
    Service.objects.filter(name="engine-0").update(expires_at=NOW)
    assert part("leases") == monitoring.Part("leases", False, 2.0, "no live lease: engine-0")


@pytest.mark.django_db
def test_every_shard_must_hold_a_lease(settings: Settings) -> None:
    run_services(NOW)
    settings.ENGINE_SHARDS = 2
    assert part("leases").detail == "no live lease: engine-1"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("seen", "connected", "ok"),
    [
        (timedelta(seconds=1), True, True),
        (monitoring.FEED_STALE, True, True),
        (monitoring.FEED_STALE + timedelta(seconds=1), True, False),
        (timedelta(seconds=1), False, False),
    ],
)
def test_the_feed_is_fresh_while_it_is_connected_and_hears_something(
    seen: timedelta, connected: bool, ok: bool
) -> None:
    run_services(NOW, seen=seen, connected=connected)
    feed = part("feed")
    assert (feed.ok, feed.age_s) == (ok, seen.total_seconds())


@pytest.mark.django_db
def test_a_due_task_nobody_takes_shows_that_the_clusters_are_down() -> None:
    task = OrmQ.objects.create(key="engines", payload="x", lock=NOW - timedelta(seconds=5))
    assert part("broker").ok
    OrmQ.objects.filter(pk=task.pk).update(lock=NOW - timedelta(seconds=31))
    assert not part("broker").ok


@pytest.mark.django_db
def test_a_task_being_worked_on_does_not_wait() -> None:
    OrmQ.objects.create(key="engines", payload="x", lock=NOW + timedelta(seconds=600))
    assert part("broker") == monitoring.Part("broker", True, 0.0, "tasks are picked up")


@pytest.mark.django_db
def test_overdue_schedules_show_that_no_cluster_looks_at_them() -> None:
    schedules.sync(now=NOW)
    Schedule.objects.update(next_run=NOW - timedelta(minutes=4))
    assert not part("broker").ok


@pytest.mark.django_db
def test_a_broker_that_does_not_answer_is_named(settings: Settings, nobody_listens: str) -> None:
    settings.REDIS_URL = nobody_listens
    assert part("broker").detail.startswith("Redis does not answer")


@pytest.mark.django_db
def test_a_missing_migration_is_counted() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'lib'")
    assert part("migrations").detail.endswith("not applied")
    assert not part("migrations").ok


@pytest.mark.django_db
def test_without_a_database_every_part_is_unknown_and_nothing_breaks(client: Client) -> None:
    def refuse(*_: object) -> None:
        raise DatabaseError

    with connection.execute_wrapper(refuse):
        answer = client.get("/ready")
    assert answer.status_code == 503
    assert not any(row["ok"] for row in answer.json()["parts"].values())


@pytest.mark.django_db
def test_with_redis_what_lies_in_the_databases_queue_means_nothing(settings: Settings, redis_url: str) -> None:
    OrmQ.objects.create(key="engines", payload="left behind", lock=NOW - timedelta(hours=1))
    assert not part("broker").ok
    settings.REDIS_URL = redis_url
    assert part("broker") == monitoring.Part("broker", True, 0.0, "tasks are picked up")


def test_a_redis_address_that_is_none_is_named_without_its_password(settings: Settings) -> None:
    settings.REDIS_URL = "banana:secret"
    assert monitoring.redis_problem().startswith("REDIS_URL is not the address of a Redis")
    assert "secret" not in monitoring.redis_problem()
