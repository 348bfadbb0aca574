"""What `hub up` does before the processes start: each step is idempotent and says plainly why it failed."""

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection

from polyhub import monitoring

# Maps, type files and optional libraries of the npm packages that no page loads.
STATIC_IGNORED = [
    "*.map", "*.d.ts", "*.esm.*", "*.cjs.js", "*.amd.js", "*.mjs", "*.development.*", "*.rtl.*",
    "libs", "types", "flags", "payments", "social", "redoc", "README*",
]  # fmt: skip
READY_POLL_S = 0.3


class CannotStart(RuntimeError):
    """A condition the person at the keyboard can change; the message says how."""


def check_database() -> None:
    try:
        connection.ensure_connection()
    except OperationalError as error:
        raise CannotStart(
            f"The database does not answer: {str(error).strip()}\n"
            "Check DATABASE_URL, or unset it to use the embedded PostgreSQL."
        ) from error


def check_redis() -> None:
    """Without REDIS_URL there is nothing to check."""
    problem = monitoring.redis_problem() if settings.REDIS_URL else ""
    if problem:
        raise CannotStart(
            f"{problem}.\nCheck REDIS_URL, or unset it: queue, cache and pushes then live in the database."
        )


def prepare_tables() -> None:
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)


def collect_static() -> bool:
    """Gather static files when any of them may have changed; True when it did."""
    stamp = settings.VAR_DIR / "static.stamp"
    wanted = static_fingerprint()
    if stamp.exists() and stamp.read_text() == wanted and settings.STATIC_ROOT.exists():
        return False
    call_command("collectstatic", interactive=False, verbosity=0, clear=True, ignore_patterns=STATIC_IGNORED)
    stamp.write_text(wanted)
    return True


def static_fingerprint() -> str:
    seen = hashlib.sha256(json.dumps(STATIC_IGNORED).encode())
    for path in (*_pinned(), *sorted(_own_static())):
        seen.update(f"{path}|{path.stat().st_mtime_ns}|{path.stat().st_size}\n".encode())
    return seen.hexdigest()


def _pinned() -> Iterator[Path]:
    for name in ("requirements.txt", "package-lock.json"):
        yield settings.BASE_DIR / name


def _own_static() -> Iterator[Path]:
    yield from (path for path in (settings.BASE_DIR / "static").rglob("*") if path.is_file())


def read_ready(host: str, port: int, *, timeout_s: float = 3.0) -> dict[str, Any] | None:
    """The /ready answer, ready or not; None when nobody answers."""
    asked = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        asked.request("GET", "/ready", headers={"Accept": "application/json"})
        return _parsed(asked.getresponse().read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        asked.close()


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
