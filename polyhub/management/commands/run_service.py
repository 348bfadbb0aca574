"""Run one service in this process, without the task queue: for debugging and for tests that kill it."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from polyhub import services
from polyhub.hosting import Host
from polyhub.lib import leases


class Command(BaseCommand):
    help = "Run one service (feed, engine-0, ...) in the foreground, under its lease."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--seconds", type=float, default=0, help="end after this long (default: run on)")

    def handle(self, *args: Any, **options: Any) -> None:
        factory = services.factories().get(options["name"])
        if factory is None:
            raise CommandError(f"No such service. Known: {', '.join(services.names())}.")
        leases.ensure(names=services.names())
        host = Host(
            name=options["name"],
            factory=factory,
            slice_s=options["seconds"] or float("inf"),
            ttl_s=settings.SERVICE_LEASE_S,
            watch=lambda: None,
            leaving=lambda: False,
        )
        if not host.run():
            raise CommandError(f"Another process runs {options['name']}.")
