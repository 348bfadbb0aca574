"""`./hub manage venue_check`: the open points about the real venue; `--ask` puts the harmless questions to it."""

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from markets.services import budgets, venue_check
from markets.services.venue_check import Answer
from markets.venue import registry
from polyhub.lib.clock import SystemClock


class Command(BaseCommand):
    help = "List what could not be checked about the venue, ask the read-only part with --ask, and show the answers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--ask", action="store_true", help="Ask the configured venue; nothing is changed there.")
        parser.add_argument(
            "--real", action="store_true", help="Needed beside --ask when the configured venue is the real one."
        )
        parser.add_argument("--only", nargs="+", default=[], metavar="POINT", help="Ask only these points.")
        parser.add_argument(
            "--resume", action="store_true", help="Let orders leave again after the venue refused their version."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["resume"]:
            ended = budgets.end_standstill()
            self.stdout.write("Orders may leave again." if ended else "Nothing was stopped.")
            return
        if options["ask"]:
            self._ask(only=set(options["only"]), is_real_meant=options["real"])
        self._list()

    def _ask(self, *, only: set[str], is_real_meant: bool) -> None:
        unknown = only - {point.name for point in venue_check.read_only()}
        if unknown:
            raise CommandError(f"Not a read-only point: {', '.join(sorted(unknown))}")
        if settings.VENUE != "sandbox" and not is_real_meant:
            raise CommandError("The configured venue is the real one: say --real beside --ask if you mean it.")
        points = [point for point in venue_check.read_only() if not only or point.name in only]
        answers = asyncio.run(_asked(points))
        path = venue_check.record(answers, folder=settings.VAR_DIR)
        self.stdout.write(f"{len(answers)} answers recorded in {path}\n")

    def _list(self) -> None:
        known = venue_check.recorded(folder=settings.VAR_DIR)
        for point in venue_check.POINTS:
            self.stdout.write(f"{point.name}: {point.question}")
            self.stdout.write(f"    {'read-only' if point.probe else 'costs an order'}: {point.how}")
            if point.name in known:
                self.stdout.write(f"    {_words(known[point.name])}")


def _words(answer: Answer) -> str:
    verdict = {True: "as relied on", False: "NOT as relied on", None: "not settled"}[answer.as_relied_on]
    return f"{verdict} ({answer.venue}, {answer.asked_at[:19]}): {answer.answer}"


async def _asked(points: list[venue_check.Point]) -> list[Answer]:
    clock = SystemClock()
    transport = registry.open_transport(urls=settings.VENUE_URLS, clock=clock)
    try:
        public = registry.open_public_client(transport=transport)
        return await venue_check.ask(points, transport=transport, public=public, venue=settings.VENUE, now=clock.now())
    finally:
        await transport.close()
