"""`hub status`: what runs, and how fresh each part is. Fails when PolyHub is not running or not ready."""

import sys
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from polyhub import monitoring, processes
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import Service


class Command(BaseCommand):
    help = "Processes, services with their leases, and the freshness of each part."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        now = SystemClock().now()
        running = processes.Running(settings.VAR_DIR)
        state = running.read() if running.is_claimed() else {}
        self._table("process", "state", "pid", rows=_process_rows(state, running.alive() if state else {}))
        self._table("service", "state", "lease", "heartbeat", rows=_service_rows(now))
        found = monitoring.parts(now=now)
        self._table("part", "state", "age", "", rows=[_part_row(part) for part in found])
        if not state:
            self.stderr.write("PolyHub is not running here. Start it with ./hub up")
            sys.exit(3)
        self.stdout.write(f"Address: {state.get('address')}")
        if not monitoring.is_ready(found):
            sys.exit(1)

    def _table(self, *titles: str, rows: list[tuple[str, ...]]) -> None:
        if not rows:
            return
        widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
        for row in [titles, *rows]:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        self.stdout.write("")


def _process_rows(state: dict[str, Any], alive: dict[str, int]) -> list[tuple[str, ...]]:
    if not state:
        return []
    rows: list[tuple[str, ...]] = [("hub", "running", str(state["pid"]))]
    for name, process in state.get("processes", {}).items():
        rows.append((name, "running" if name in alive else "ended", str(process["pid"])))
    return rows


def _service_rows(now: datetime) -> list[tuple[str, ...]]:
    try:
        services = list(Service.objects.order_by("name"))
    except DatabaseError:
        return []
    return [
        (
            service.name,
            service.state or "never started",
            _age("ends in", service.expires_at, now) if service.expires_at and service.expires_at > now else "none",
            _age("", service.heartbeat_at, now),
        )
        for service in services
    ]


def _part_row(part: monitoring.Part) -> tuple[str, ...]:
    age = "never" if part.age_s is None else f"{part.age_s:.1f} s"
    return (part.name, "ok" if part.ok else "NOT OK", age, part.detail)


def _age(word: str, at: datetime | None, now: datetime) -> str:
    return "never" if at is None else f"{word} {abs((at - now).total_seconds()):.1f} s".strip()
