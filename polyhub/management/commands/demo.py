"""`hub demo reset`: the demo users and their data back to the start."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from polyhub import demo, processes
from polyhub.lib.clock import SystemClock
from polyhub.lib.errors import AppError


class Command(BaseCommand):
    help = "Put the demo users, their accounts and orders back to the start."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["reset"])

    def handle(self, *args: Any, **options: Any) -> None:
        if processes.Running(settings.VAR_DIR).is_claimed():
            raise CommandError("PolyHub is running here: stop it with Ctrl-C first, then reset the demo.")
        try:
            demo.reset(now=SystemClock().now())
        except AppError as refused:
            raise CommandError(refused.message) from refused
        for line in demo.welcome():
            self.stdout.write(line)
