"""What the engines' django-q2 cluster runs: slices of services, and the guard that starts what is missing.

A task may run twice or again hours later (docs of the queue, and measured): the lease makes that harmless.
"""

import logging
import os
import time
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django_q.conf import Conf
from django_q.status import Stat
from django_q.tasks import async_task
from redis import RedisError

from polyhub import services
from polyhub.hosting import Host
from polyhub.lib import leases
from polyhub.lib.held_lease import boot_clock

logger = logging.getLogger(__name__)

CLUSTER = "engines"
RUN_SERVICE = "polyhub.tasks.run_service"
# A task that was enqueued this long ago and took no lease is enqueued again.
ENQUEUE_AGAIN = timedelta(seconds=15)
BEGIN_EVERY_S = 0.5
# A running cluster renews its word each second.
SILENCE_S = 5.0
_OVER = {str(Conf.STOPPING), str(Conf.STOPPED)}


def run_service(name: str) -> None:
    """Run one service for one slice if nobody does, then enqueue its successor."""
    factory = services.factories().get(name)
    if factory is None:
        return
    leases.ensure(names=services.names())
    cluster = ClusterWatch(os.getppid())
    host = Host(
        name=name,
        factory=factory,
        slice_s=settings.SERVICE_SLICE_S,
        ttl_s=settings.SERVICE_LEASE_S,
        watch=guard_services,
        leaving=cluster.is_stopping,
    )
    if host.run() and not cluster.is_stopping():
        guard_services()


def guard_services() -> None:
    """Enqueue every service that has no live lease and no task on its way."""
    leases.ensure(names=services.names())
    for name in leases.claim_missing(names=services.names(), again_after=ENQUEUE_AGAIN):
        try:
            async_task(RUN_SERVICE, name, cluster=CLUSTER, task_name=f"service {name}")
        except RedisError as error:
            logger.warning("Redis is away; %s starts once it is back", name, extra={"reason": type(error).__name__})


def begin_services() -> None:
    """The first task of a cluster: guard until every service gives a new sign of life.

    After a kill the leases of the dead run on for seconds. Once they end nobody else would look: the services watch
    over each other only while one of them lives, and the schedule comes once a minute.
    """
    cluster = ClusterWatch(os.getppid())
    until = boot_clock() + settings.SERVICE_LEASE_S + 2 * ENQUEUE_AGAIN.total_seconds()
    first: Mapping[str, object] | None = None
    while boot_clock() < until and not cluster.is_stopping():
        try:
            guard_services()
            beats = leases.heartbeats(names=services.names())
        except (DatabaseError, InterfaceError):
            connection.close()
        else:
            first = first or beats
            if all(beats[name] not in {None, first[name]} for name in beats):
                return
        time.sleep(BEGIN_EVERY_S)


class ClusterWatch:
    """Tells a busy worker that its cluster is shutting down, or gone: django-q2 does not.

    The cluster's own word is kept for three seconds only. Who was busy meanwhile notices the silence after it.
    """

    def __init__(self, sentinel_pid: int) -> None:
        self._sentinel_pid = sentinel_pid
        self._was_heard = False
        self._silent_since: float | None = None

    def is_stopping(self) -> bool:
        if os.getppid() != self._sentinel_pid:
            return True
        try:
            ours = [stat for stat in Stat.get_all() if stat.sentinel == self._sentinel_pid]
        except RedisError:
            return False
        if ours:
            self._was_heard, self._silent_since = True, None
            return any(str(stat.status) in _OVER for stat in ours)
        if not self._was_heard:
            return False
        self._silent_since = boot_clock() if self._silent_since is None else self._silent_since
        return boot_clock() - self._silent_since > SILENCE_S
