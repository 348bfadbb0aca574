"""`manage.py qcluster`: django-q2's own command; on the engines' cluster the services are its first work."""

import logging
import os
from typing import Any

from django.db import DatabaseError, InterfaceError, connections
from django_q.management.commands import qcluster
from redis import RedisError

from polyhub import schedules

logger = logging.getLogger(__name__)


class Command(qcluster.Command):  # type: ignore[misc]
    def handle(self, *args: Any, **options: Any) -> None:
        name = options.get("cluster_name") or os.environ.get("Q_CLUSTER_NAME", "")
        if name == schedules.ENGINES:
            _begin()
        super().handle(*args, **options)


def _begin() -> None:
    try:
        schedules.start_services()
    except (DatabaseError, InterfaceError, RedisError) as error:
        logger.warning("Services wait for their schedule: %s", type(error).__name__)
    finally:
        # The cluster forks: its processes must not share our connections.
        connections.close_all()
