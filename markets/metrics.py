"""How complete and fresh the data is, as Prometheus reads it. All figures come from the database: any process tells."""

from datetime import datetime, timedelta

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from markets import selectors
from polyhub.lib.models import Service

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(*, now: datetime) -> bytes:
    """The text of one scrape."""
    registry = CollectorRegistry()
    _books(registry, now)
    _sources(registry, now)
    _catalogue(registry, now)
    _budgets(registry)
    return generate_latest(registry)


def _books(registry: CollectorRegistry, now: datetime) -> None:
    trusted = Gauge("polyhub_books_trusted_ratio", "Part of today's needed time books were trusted", registry=registry)
    kept = Gauge("polyhub_books_needed", "Books needed at some time today", registry=registry)
    trouble = Gauge("polyhub_data_troubles_today", "What went wrong with the data today", ["kind"], registry=registry)
    today = next(iter(selectors.continuity_days(until=now.date(), days=1)), None)
    if today is None:
        return
    kept.set(today.books)
    if today.coverage is not None:
        trusted.set(today.coverage)
    for kind in ("reconnects", "gaps", "unreadable", "disagreements"):
        trouble.labels(kind).set(getattr(today, kind))


def _sources(registry: CollectorRegistry, now: datetime) -> None:
    seen = Gauge("polyhub_leader_trades_seen", "Leaders' trades of the last hour told", ["source"], registry=registry)
    share = Gauge("polyhub_leader_trades_ratio", "Part of them that a source told", ["source"], registry=registry)
    lag = Gauge("polyhub_leader_trades_lag_seconds", "Median lag behind the venue", ["source"], registry=registry)
    for one in selectors.leader_sources(since=now - timedelta(hours=1)):
        seen.labels(one.source).set(one.seen)
        if one.share is not None:
            share.labels(one.source).set(float(one.share))
        if one.median_lag_ms is not None:
            lag.labels(one.source).set(one.median_lag_ms / 1000)


def _catalogue(registry: CollectorRegistry, now: datetime) -> None:
    age = Gauge("polyhub_catalogue_age_seconds", "Since the listing was last read whole", registry=registry)
    markets = Gauge("polyhub_catalogue_markets", "Open markets of the listing", registry=registry)
    walk = selectors.catalogue_pass()
    if walk is not None:
        markets.set(walk.markets)
        age.set((now - walk.completed_at).total_seconds() if walk.completed_at else float("inf"))


def _budgets(registry: CollectorRegistry) -> None:
    headroom = Gauge("polyhub_venue_headroom_ratio", "Left of the tightest rate limit", ["service"], registry=registry)
    held = Gauge(
        "polyhub_venue_limited",
        "Requests that waited, were turned away, or got a 429",
        ["service", "how"],
        registry=registry,
    )
    for service in Service.objects.filter(detail__has_key="budget"):
        told = service.detail["budget"]
        headroom.labels(service.name).set(told["headroom"])
        for how in ("waited", "turned_away", "limited"):
            held.labels(service.name, how).set(told[how])
