"""Whether each part of the running system works, and how old its last sign of life is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Min
from django.utils.dateparse import parse_datetime
from django_q.models import OrmQ, Schedule
from redis import Redis, RedisError

from polyhub.lib.models import Service

# A due task that waits longer than this is not being picked up.
QUEUE_STALE = timedelta(seconds=30)
# Schedules run each minute at the most often; three missed turns mean that no cluster looks at them.
SCHEDULE_STALE = timedelta(minutes=3)
FEED_STALE = timedelta(seconds=120)
FEED = "feed"


@dataclass(frozen=True, slots=True)
class Part:
    """One part: does it work, the age of its last sign of life in seconds (None: never), and words."""

    name: str
    ok: bool
    age_s: float | None
    detail: str


def parts(*, now: datetime) -> list[Part]:
    """Every part of readiness, cheapest first. Without a database the others cannot be known."""
    database = _database()
    if not database.ok:
        return [database, *(Part(name, False, None, "unknown without the database") for name in CHECKS)]
    return [database, *(_checked(name, check, now) for name, check in CHECKS.items())]


def is_ready(found: Sequence[Part]) -> bool:
    return all(part.ok for part in found)


def service_names() -> list[str]:
    """The services that must hold a lease."""
    return [FEED, *(f"engine-{shard}" for shard in range(settings.ENGINE_SHARDS))]


def _checked(name: str, check: Callable[[datetime], Part], now: datetime) -> Part:
    try:
        return check(now)
    except DatabaseError as error:
        return Part(name, False, None, type(error).__name__)


def _database() -> Part:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return Part("database", False, None, f"does not answer ({type(error).__name__})")
    return Part("database", True, 0.0, "answers")


def _migrations(now: datetime) -> Part:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return Part("migrations", not missing, 0.0, f"{len(missing)} not applied" if missing else "all applied")


def _broker(now: datetime) -> Part:
    if settings.REDIS_URL:
        unreachable = redis_problem()
        if unreachable:
            return Part("broker", False, None, unreachable)
    oldest = None if settings.REDIS_URL else _oldest_due(now)
    late = Schedule.objects.exclude(repeats=0).filter(next_run__lt=now - SCHEDULE_STALE).count()
    waits = (now - oldest).total_seconds() if oldest else 0.0
    if late:
        return Part("broker", False, waits, f"{late} schedules overdue: is the jobs cluster running?")
    if waits > QUEUE_STALE.total_seconds():
        return Part("broker", False, waits, f"a due task waits for {waits:.0f} s: are the clusters running?")
    return Part("broker", True, waits, "tasks are picked up")


def _oldest_due(now: datetime) -> datetime | None:
    """Since when the oldest due task waits in the database's queue, which is the queue without Redis."""
    oldest: datetime | None = OrmQ.objects.filter(lock__lte=now).aggregate(at=Min("lock"))["at"]
    return oldest


def redis_problem() -> str:
    """Why the Redis of the settings cannot be used, in words; empty when it can."""
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as redis:
            redis.ping()
    except ValueError:
        return "REDIS_URL is not the address of a Redis (redis://host:port/number)"
    except RedisError as error:
        # Only the type: the address may hold a password.
        return f"Redis does not answer ({type(error).__name__})"
    return ""


def _leases(now: datetime) -> Part:
    rows = {service.name: service for service in Service.objects.filter(name__in=service_names())}
    dead = [name for name in service_names() if name not in rows or not _holds(rows[name], now)]
    beats = [row.heartbeat_at for row in rows.values() if row.heartbeat_at]
    age = max((now - beat).total_seconds() for beat in beats) if beats else None
    return Part("leases", not dead, age, f"no live lease: {', '.join(dead)}" if dead else f"{len(rows)} services run")


def _holds(service: Service, now: datetime) -> bool:
    return service.expires_at is not None and service.expires_at > now


def _feed(now: datetime) -> Part:
    try:
        feed = Service.objects.get(name=FEED)
    except ObjectDoesNotExist:
        return Part("feed", False, None, "never started")
    seen = parse_datetime(str(feed.detail.get("last_event_at") or "")) or feed.started_at
    age = (now - seen).total_seconds() if seen else None
    if not _holds(feed, now):
        return Part("feed", False, age, "does not run")
    if not feed.detail.get("connected"):
        return Part("feed", False, age, "not connected to the venue")
    fresh = age is not None and age <= FEED_STALE.total_seconds()
    return Part("feed", fresh, age, "receives" if fresh else "connected but silent")


CHECKS: dict[str, Callable[[datetime], Part]] = {
    "migrations": _migrations,
    "broker": _broker,
    "leases": _leases,
    "feed": _feed,
}
