"""Runs a local Polymarket."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from markets.venue.sandbox import server, tape


class Command(BaseCommand):
    help = "Run a local Polymarket on one port: the venue's protocol, and a tape of recorded trades if one is named."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--tape", default="", help="name of a tape of the project, or a path")
        parser.add_argument(
            "--speed", type=float, help="how much faster than recorded; the tape's own speed if left out"
        )
        parser.add_argument("--seed", type=int, default=0, help="seed of the faults' chance")
        parser.add_argument("--rate-limits", action="store_true", help="keep callers to the venue's rate limits")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["speed"] is not None and options["speed"] <= 0:
            raise CommandError("--speed must be above 0.")
        try:
            server.run(
                host=options["host"],
                port=options["port"],
                tape_name=options["tape"],
                speed=options["speed"],
                seed=options["seed"],
                rate_limits=options["rate_limits"],
                ready=lambda line: print(line, flush=True),
            )
        except server.PortTaken as taken:
            raise CommandError(f"{taken}. Choose another one with --port.") from taken
        except tape.TapeNotFound as missing:
            raise CommandError(str(missing)) from missing
