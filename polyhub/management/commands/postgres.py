"""The embedded PostgreSQL by hand: start, stop, its DSN for psql."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from polyhub import postgres, processes


class Command(BaseCommand):
    help = "Start or stop the embedded PostgreSQL, or say where it is."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["start", "stop", "status"])

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError("DATABASE_URL names a database of your own; the embedded one is not used.")
        try:
            self._act(action)
        except postgres.PostgresFailed as error:
            raise CommandError(str(error)) from error

    def _act(self, action: str) -> None:
        if action == "start":
            self.stdout.write(postgres.ensure_running(settings.VAR_DIR))
        elif action == "stop":
            if processes.Running(settings.VAR_DIR).is_claimed():
                raise CommandError("PolyHub runs here and would start it again. Stop that first: Ctrl-C where it runs.")
            postgres.stop(settings.VAR_DIR)
            self.stdout.write("stopped")
        elif postgres.is_running(settings.VAR_DIR):
            self.stdout.write(f"running: {postgres.dsn(settings.VAR_DIR)}")
        else:
            raise CommandError("not running")
