import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

import manage
from polyhub import postgres, settings
from polyhub.tests.eventually import eventually

# Longer than a unix socket's path may be, with what a shell would trip over.
AWKWARD = "a checkout with spaces, 'quotes' and " + "a very long name " * 5


@contextmanager
def folder_anyone_may_enter(name: str) -> Iterator[Path]:
    """Unlike pytest's own: a checkout is usually readable, and its data then stays inside."""
    with tempfile.TemporaryDirectory(prefix="polyhub-test-") as made:
        Path(made).chmod(0o755)
        folder = Path(made) / name / "var"
        yield folder
        postgres.stop(folder)
        forget(folder)


@pytest.fixture(scope="module")
def var_dir() -> Iterator[Path]:
    with folder_anyone_may_enter(AWKWARD) as folder:
        postgres.ensure_running(folder)
        assert not (folder / "pg").is_symlink()
        yield folder


@pytest.fixture
def fresh() -> Iterator[Path]:
    with folder_anyone_may_enter("checkout") as folder:
        yield folder


def forget(folder: Path) -> None:
    shutil.rmtree(postgres.socket_dir(folder), ignore_errors=True)
    if (folder / "pg").is_symlink():
        shutil.rmtree(postgres.data_dir(folder).parent, ignore_errors=True)


def value(folder: Path, query: str) -> str:
    with psycopg.connect(postgres.dsn(folder)) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return str(row[0])


def server_pid(folder: Path) -> int:
    return int((postgres.data_dir(folder) / "postmaster.pid").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("max_connections", "200"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
    ],
)
def test_the_server_is_durable_local_and_roomy(var_dir: Path, name: str, expected: str) -> None:
    assert value(var_dir, f'SHOW "{name}"') == expected


def test_text_sorts_the_same_everywhere(var_dir: Path) -> None:
    assert value(var_dir, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C.UTF-8"


def test_only_its_owner_may_reach_the_socket(var_dir: Path) -> None:
    assert postgres.socket_dir(var_dir).stat().st_mode & 0o777 == 0o700
    assert len(str(postgres.socket_dir(var_dir) / ".s.PGSQL.5432")) < 107


@pytest.mark.skipif(os.getuid() != 0, reason="only root has somebody else to be")
def test_root_does_not_run_the_server_itself(var_dir: Path) -> None:
    assert psutil.Process(server_pid(var_dir)).uids().real == postgres.NOBODY


def test_starting_again_keeps_the_server_that_runs(var_dir: Path) -> None:
    before = server_pid(var_dir)
    assert postgres.ensure_running(var_dir) == postgres.dsn(var_dir)
    assert server_pid(var_dir) == before


def test_other_shells_temporary_folders_lead_to_the_same_server(
    var_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert postgres.is_running(var_dir)


def test_an_idle_stop_leaves_a_server_in_use_alone(var_dir: Path) -> None:
    with psycopg.connect(postgres.dsn(var_dir)):
        assert not postgres.stop(var_dir, only_if_idle=True)
    assert postgres.is_running(var_dir)


def test_many_starts_at_once_make_one_server_and_data_survives(fresh: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(postgres.ensure_running, [fresh] * 4))) == 1
    with psycopg.connect(postgres.dsn(fresh)) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    # Killed, as by a power cut: its lock file and socket stay behind.
    os.kill(server_pid(fresh), signal.SIGKILL)
    eventually(lambda: not postgres.is_running(fresh))
    eventually(lambda: restarted(fresh))
    assert value(fresh, "SELECT count(*) FROM kept") == "0"


def restarted(folder: Path) -> bool:
    """PostgreSQL refuses while workers of the killed server still hold its memory."""
    try:
        postgres.ensure_running(folder)
    except postgres.PostgresFailed:
        return False
    return True


def test_a_database_half_made_is_made_again(fresh: Path) -> None:
    (fresh / "pg.new").mkdir(parents=True)
    (fresh / "pg.new" / "PG_VERSION").write_text("18")
    postgres.ensure_running(fresh)
    assert not (fresh / "pg.new").exists()


def test_a_socket_folder_open_to_others_is_refused(fresh: Path) -> None:
    sockets = postgres.socket_dir(fresh)
    sockets.mkdir()
    sockets.chmod(0o777)
    with pytest.raises(postgres.PostgresFailed, match="not ours alone"):
        postgres.ensure_running(fresh)


def test_a_link_in_place_of_the_socket_folder_is_refused(fresh: Path, tmp_path: Path) -> None:
    sockets = postgres.socket_dir(fresh)
    sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(postgres.PostgresFailed, match="not ours alone"):
            postgres.ensure_running(fresh)
    finally:
        sockets.unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root has folders others may not enter and yet runs as another")
def test_root_may_work_in_a_folder_nobody_may_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    var_dir = closed / "var"
    try:
        postgres.ensure_running(var_dir)
        assert (var_dir / "pg").is_symlink()
        assert value(var_dir, "SELECT 1") == "1"
    finally:
        postgres.stop(var_dir)
        forget(var_dir)


def test_database_url_is_read_whole() -> None:
    found = postgres.database_settings(
        url="postgresql://me:p%40ss@db.example:6432/hub?sslmode=require", var_dir=Path("/nowhere")
    )
    assert (found["HOST"], found["PORT"], found["NAME"], found["USER"], found["PASSWORD"]) == (
        "db.example",
        "6432",
        "hub",
        "me",
        "p@ss",
    )
    assert found["OPTIONS"]["sslmode"] == "require"


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="PostgreSQL only"):
        postgres.database_settings(url="mysql://localhost/hub", var_dir=Path("/nowhere"))


@pytest.mark.parametrize(
    "arguments", [["help"], ["--help"], ["status"], ["migrate", "--help"], ["collectstatic", "--noinput"], []]
)
def test_a_command_that_needs_no_database_starts_none(arguments: list[str]) -> None:
    assert not manage.needs_database(arguments)


@pytest.mark.parametrize("arguments", [["migrate"], ["up", "--port", "9000"], ["qcluster"], ["shell"]])
def test_other_commands_start_it(arguments: list[str]) -> None:
    assert manage.needs_database(arguments)


def test_reading_the_settings_starts_no_server(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "version"]
    env = {**os.environ, "POLYHUB_VAR_DIR": str(tmp_path)}
    subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=True, capture_output=True, timeout=60)
    assert not (tmp_path / "pg").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root needs a copy of the server")
def test_root_runs_a_copy_of_the_server_where_nobody_may_not_enter_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = postgres.installed_server().parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in (postgres.PACKAGE, f"{postgres.PACKAGE}.libs"):
        shutil.copytree(packages / name, closed / name, symlinks=True)
    with tempfile.TemporaryDirectory(prefix="polyhub-test-") as state:
        monkeypatch.setattr(postgres, "ROOT_STATE", Path(state))
        monkeypatch.setattr(postgres, "installed_server", lambda: closed / postgres.PACKAGE / "pginstall")
        var_dir = closed / "var"
        try:
            postgres.ensure_running(var_dir)
            assert value(var_dir, "SELECT 1") == "1"
            assert str(psutil.Process(server_pid(var_dir)).exe()).startswith(state)
        finally:
            postgres.stop(var_dir)
            forget(var_dir)
