"""How the system feels, for the strip on each page: the feed, the engines, and how old that news is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from polyhub.lib.models import Service

FEED = "feed"
ENGINE = "engine-"
# A quiet feed is normal for a while; the whole platform silent for this long is not.
FEED_QUIET_AFTER = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One leased service. `tone` is success, warning or danger; `word` says the same in words."""

    name: str
    tone: str
    word: str
    beat_at: datetime | None
    event_at: datetime | None
    lag_ms: int | None
    detail: dict[str, Any]

    @property
    def label(self) -> str:
        return "Feed" if self.name == FEED else self.name.replace(ENGINE, "Engine ")


@dataclass(frozen=True, slots=True)
class SystemState:
    services: Sequence[ServiceState]
    tone: str
    word: str

    @property
    def feed(self) -> ServiceState | None:
        return next((service for service in self.services if service.name == FEED), None)

    @property
    def engines(self) -> list[ServiceState]:
        return [service for service in self.services if service.name.startswith(ENGINE)]


def state(*, now: datetime) -> SystemState:
    """Every leased service, the feed first. One query."""
    rows = sorted(Service.objects.all(), key=lambda row: (row.name != FEED, row.name))
    services = [_of(row, now=now) for row in rows]
    if not services:
        return SystemState([], "danger", "No service has started yet")
    worst = min(services, key=lambda service: ("danger", "warning", "success").index(service.tone))
    word = "All systems running" if worst.tone == "success" else f"{worst.label}: {worst.word}"
    return SystemState(services, worst.tone, word)


def _of(row: Service, *, now: datetime) -> ServiceState:
    detail = row.detail if isinstance(row.detail, dict) else {}
    event_at = _time(detail.get("last_event_at"))
    lag = detail.get("lag_ms")
    tone, word = _feeling(row, detail, event_at, now=now)
    lag_ms = int(lag) if isinstance(lag, int | float) else None
    return ServiceState(row.name, tone, word, row.heartbeat_at, event_at, lag_ms, detail)


def _feeling(row: Service, detail: dict[str, Any], event_at: datetime | None, *, now: datetime) -> tuple[str, str]:
    if row.expires_at is None or row.expires_at <= now:
        return "danger", "not running, restarts by itself"
    if row.name == FEED:
        if detail.get("connected") is False:
            return "danger", "reconnecting to the venue"
        if event_at is None:
            return "warning", "waiting for the first trade"
        if now - event_at > FEED_QUIET_AFTER:
            return "warning", "connected, but quiet"
    return "success", "running"


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else None
