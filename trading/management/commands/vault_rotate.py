"""`manage.py vault_rotate`: a new vault key, and every sealed key re-wrapped to it."""

from typing import Any

from django.core.management.base import BaseCommand

from trading.signer import launch


class Command(BaseCommand):
    help = "Makes a new vault key and re-wraps every sealed key to it. The signer may keep running. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        launch.become_signer("rotate", make_keys=False)
