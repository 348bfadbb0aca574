"""`manage.py run_signer`: checks the settings and becomes the signer process, which is not Django."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from trading.signer import launch


class Command(BaseCommand):
    help = "Runs the signer, the only process that holds keys. Stop it with SIGTERM."

    # The checks ask for the vault key this command makes; the signer checks its own configuration.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--make-keys", action="store_true", help="Make the vault key if there is none yet.")

    def handle(self, *args: Any, **options: Any) -> None:
        launch.become_signer("serve", make_keys=options["make_keys"])
