"""Services under leases: one at a time, back within seconds after a kill, gone at once when told."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.status import Stat

from markets.venue.sandbox.testing import running_sandbox
from polyhub import services, tasks
from polyhub.hosting import Host
from polyhub.lib import leases
from polyhub.lib.held_lease import HeldLease
from polyhub.lib.models import Service
from polyhub.tests.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Idle:
    """A service that only waits; `tokens` are the leases it ran under."""

    tokens: list[int] = field(default_factory=list)
    running: threading.Event = field(default_factory=threading.Event)
    broken: bool = False

    @asynccontextmanager
    async def factory(self, lease: HeldLease) -> AsyncGenerator["Idle", None]:
        self.tokens.append(lease.token)
        yield self

    async def run(self, *, stop: asyncio.Event) -> None:
        self.running.set()
        if self.broken:
            self.broken = False
            raise OSError("broken")
        await stop.wait()

    def detail(self) -> Mapping[str, Any]:
        return {"idle": True}


@contextlib.contextmanager
def hosted(idle: Idle, *, slice_s: float = 60, ttl_s: float = 3, name: str = "idle") -> Iterator[Host]:
    """A host at work in a thread; leaving tells it to stop."""
    leases.ensure(names=[name])
    host = Host(
        name=name, factory=idle.factory, slice_s=slice_s, ttl_s=ttl_s, watch=lambda: None, leaving=lambda: False
    )

    def work() -> None:
        try:
            host.run()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield host
    finally:
        host.stop()
        thread.join(20)
        assert not thread.is_alive()


def row(name: str = "idle") -> Service:
    return Service.objects.get(name=name)


def test_a_service_runs_reports_and_gives_its_lease_back() -> None:
    idle = Idle()
    with hosted(idle):
        eventually(lambda: row().state == "RUNNING" and row().detail == {"idle": True})
    assert (row().owner, row().expires_at, row().state) == ("", None, "STOPPED")


def test_a_second_host_leaves_at_once() -> None:
    idle, second = Idle(), Idle()
    with hosted(idle):
        assert idle.running.wait(10)
        other = Host(
            name="idle", factory=second.factory, slice_s=60, ttl_s=3, watch=lambda: None, leaving=lambda: False
        )
        assert other.run() is False
    assert second.tokens == []


def test_a_slice_ends_by_itself() -> None:
    idle = Idle()
    with hosted(idle, slice_s=0.3):
        eventually(lambda: row().state == "STOPPED")
    assert len(idle.tokens) == 1


def test_a_stolen_lease_stops_the_service_and_is_left_alone() -> None:
    idle = Idle()
    with hosted(idle) as host:
        assert idle.running.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE lib_service SET owner = 'thief', token = token + 1")
        eventually(lambda: host_is_over(host), timeout_s=15)
    assert (row().owner, len(idle.tokens)) == ("thief", 1)


def host_is_over(host: Host) -> bool:
    return not any(thread.name == "lease-idle" for thread in threading.enumerate())


def test_an_expired_lease_nobody_took_is_taken_again_under_a_new_token() -> None:
    idle = Idle()
    with hosted(idle):
        assert idle.running.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE lib_service SET expires_at = now() - interval '1 s'")
        eventually(lambda: len(idle.tokens) == 2, timeout_s=15)
    assert idle.tokens[1] > idle.tokens[0]


def test_a_service_that_fails_is_started_again() -> None:
    idle = Idle(broken=True)
    with hosted(idle):
        eventually(lambda: len(idle.tokens) == 2, timeout_s=15)


def test_the_guard_enqueues_what_is_missing_once() -> None:
    tasks.guard_services()
    tasks.guard_services()
    assert OrmQ.objects.count() == len(services.names()) == 2
    OrmQ.objects.all().delete()


def test_a_task_of_a_service_that_runs_elsewhere_or_is_unknown_does_nothing() -> None:
    leases.ensure(names=services.names())
    assert leases.acquire(name="feed", owner="other", ttl=tasks.ENQUEUE_AGAIN) is not None
    tasks.run_service("feed")
    tasks.run_service("no-such-service")
    assert row("feed").owner == "other"


def test_a_cluster_that_fell_silent_is_taken_for_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its word that it stops is kept for three seconds; a worker busy for longer would never leave."""
    parent = os.getppid()
    told: list[Any] = []
    clock = [100.0]
    monkeypatch.setattr(Stat, "get_all", lambda: told)
    monkeypatch.setattr(tasks, "boot_clock", lambda: clock[0])
    watch = tasks.ClusterWatch(parent)
    clock[0] += 60
    assert not watch.is_stopping(), "never heard: this is no cluster's worker"
    told.append(SimpleNamespace(sentinel=parent, status="Idle"))
    assert not watch.is_stopping()
    told.clear()
    assert not watch.is_stopping()
    clock[0] += tasks.SILENCE_S + 1
    assert watch.is_stopping()
    told.append(SimpleNamespace(sentinel=parent, status="Idle"))
    assert not watch.is_stopping()
    told[0] = SimpleNamespace(sentinel=parent, status=str(Conf.STOPPING))
    assert watch.is_stopping()


@dataclass
class Clusters:
    """The engines' task queue as it is deployed, on this test's database and a local Polymarket."""

    environment: dict[str, str]
    log: Path
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster", "--name", "engines"],
                cwd=django_settings.BASE_DIR,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Clusters]:
    database = django_settings.DATABASES["default"]
    with running_sandbox() as sandbox:
        environment = {
            **os.environ,
            "DATABASE_URL": f"postgresql://{database['USER']}@/{connection.settings_dict['NAME']}"
            f"?host={quote(str(database['HOST']))}",
            "SECRET_KEY": django_settings.SECRET_KEY,
            "FIELD_SECRET": django_settings.FIELD_SECRET,
            "SANDBOX_URL": sandbox.url,
            "LIVE_TRADING": "false",
            "Q_CLUSTER_NAME": tasks.CLUSTER,
        }
        made = Clusters(environment, tmp_path / "cluster.log")
        try:
            yield made
        finally:
            for process in made.started:
                made.kill(process)


def all_run() -> bool:
    return all(one.state == "RUNNING" for one in Service.objects.all()) and Service.objects.count() == 2


def test_killed_services_come_back_and_the_cluster_stops_when_told(clusters: Clusters) -> None:
    first = clusters.start()
    eventually(all_run, timeout_s=40)
    victim = row("engine-0")
    os.kill(int(victim.owner.rpartition(":")[2]), signal.SIGKILL)
    killed_at = time.monotonic()
    eventually(lambda: row("engine-0").token > victim.token and row("engine-0").state == "RUNNING", timeout_s=40)
    # The lease of 8 s has to run out; then the other service's watch finds it within about a second.
    assert time.monotonic() - killed_at < 15

    # The whole cluster at once: nobody is left to watch, and the next one begins while the leases of the dead run on.
    before = {one.name: one.token for one in Service.objects.all()}
    clusters.kill(first)
    killed_at = time.monotonic()
    second = clusters.start()
    eventually(lambda: all_run() and all(one.token > before[one.name] for one in Service.objects.all()), timeout_s=40)
    assert time.monotonic() - killed_at < 20

    told_at = time.monotonic()
    second.terminate()
    second.wait(20)
    assert time.monotonic() - told_at < 10
    assert not Service.objects.exclude(owner="").exists()
