"""Parts of a limit that all processes share, agreed on in the database.

Each process asks again every few seconds and says how much it needs. The parts never add up to more than the whole: a
part given back, or left behind by a dead process, is handed on only after `linger`, the longest stretch of time the
shared limit looks back on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction

# Half by need, half evenly: who was quiet a moment ago can still send at once.
EVEN_PART = 0.5


@dataclass(frozen=True, slots=True)
class _Row:
    holder: str
    bound: float
    demand: float
    is_alive: bool


def settle(*, pool: str, holder: str, demand: float, whole: float, ttl: timedelta, linger: timedelta) -> float:
    """This holder's part of `pool` (0 to `whole`) for the next `ttl`."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 20))", [f"pool:{pool}"])
        cursor.execute(
            "DELETE FROM lib_poolshare WHERE pool = %s AND expires_at + make_interval(secs => %s) < now()",
            [pool, linger.total_seconds()],
        )
        cursor.execute(
            """INSERT INTO lib_poolshare (pool, holder, part, part_before, kept_until, demand, expires_at)
               VALUES (%s, %s, 0, 0, NULL, %s, now() + make_interval(secs => %s))
               ON CONFLICT (pool, holder) DO UPDATE SET demand = EXCLUDED.demand, expires_at = EXCLUDED.expires_at""",
            [pool, holder, demand, ttl.total_seconds()],
        )
        cursor.execute(
            """SELECT holder, CASE WHEN kept_until > now() THEN greatest(part, part_before) ELSE part END, demand,
                      expires_at > now()
               FROM lib_poolshare WHERE pool = %s""",
            [pool],
        )
        part = _part([_Row(*row) for row in cursor.fetchall()], holder=holder, whole=whole)
        cursor.execute(
            """UPDATE lib_poolshare
               SET part_before = CASE WHEN %s < part THEN greatest(part, CASE WHEN kept_until > now()
                                                                              THEN part_before ELSE 0 END)
                                      ELSE part_before END,
                   kept_until = CASE WHEN %s < part THEN now() + make_interval(secs => %s) ELSE kept_until END,
                   part = %s
               WHERE pool = %s AND holder = %s""",
            [part, part, linger.total_seconds(), part, pool, holder],
        )
    return part


def leave(*, pool: str, holder: str) -> None:
    """Give the part back; it lingers like that of a dead process."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lib_poolshare SET expires_at = now() WHERE pool = %s AND holder = %s", [pool, holder])


def hold(*, name: str, seconds: float, reason: str) -> None:
    """Make every process leave something alone; a longer hold stays."""
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO lib_poolhold (name, until, reason) VALUES (%s, now() + make_interval(secs => %s), %s)
               ON CONFLICT (name) DO UPDATE SET until = EXCLUDED.until, reason = EXCLUDED.reason
               WHERE lib_poolhold.until < EXCLUDED.until""",
            [name, seconds, reason[:200]],
        )


def holds(*, prefix: str) -> Mapping[str, tuple[float, str]]:
    """Seconds left and reason of each hold whose name begins so; the prefix is cut off."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT substr(name, length(%s) + 1), extract(epoch FROM until - now())::float8, reason
               FROM lib_poolhold WHERE starts_with(name, %s) AND until > now()""",
            [prefix, prefix],
        )
        return {name: (left, reason) for name, left, reason in cursor.fetchall()}


def release(*, name: str) -> bool:
    """End a hold; false when there was none."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM lib_poolhold WHERE name = %s", [name])
        return bool(cursor.rowcount)


def _part(rows: list[_Row], *, holder: str, whole: float) -> float:
    """What is fair, as far as the others have let go of it."""
    alive = [row for row in rows if row.is_alive]
    needed = sum(row.demand for row in alive)
    own = next(row.demand for row in alive if row.holder == holder)
    even = 1 / len(alive)
    fair = whole * (EVEN_PART * even + (1 - EVEN_PART) * (own / needed if needed > 0 else even))
    free = whole - sum(row.bound for row in rows if row.holder != holder)
    return max(0.0, min(fair, free))
