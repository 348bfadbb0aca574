"""`manage.py create_token`: an API token from the command line, printed once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from accounts.services import tokens
from polyhub.lib.clock import SystemClock


class Command(BaseCommand):
    help = "Makes an API token for a user and prints it once."

    def add_arguments(self, parser: CommandParser) -> None:
        known = ", ".join(tokens.Scope)
        parser.add_argument("--user", required=True, metavar="EMAIL")
        parser.add_argument("--scopes", required=True, nargs="+", metavar="SCOPE", help=f"One or more of: {known}")
        parser.add_argument("--days", type=int, default=30)
        parser.add_argument("--name", default="command line")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email=options["user"].lower(), is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {options['user']}.")
        scopes = [scope for text in options["scopes"] for scope in text.split(",") if scope]
        try:
            _, text = tokens.create_token(
                user=user, name=options["name"], scopes=scopes, days=options["days"], now=SystemClock().now()
            )
        except tokens.BadToken as error:
            raise CommandError(error.message) from None
        self.stdout.write(text)
