"""The walk over the venue's listing of open markets: how far it has come, and who was not met on it."""

from datetime import datetime

from django.db import transaction

from markets.domain.catalogue import MarketPage
from markets.models import CataloguePass, Market
from markets.services import catalogue

OPEN = "open"


def current(*, now: datetime) -> CataloguePass:
    """The pass under way, begun if there is none."""
    return CataloguePass.objects.get_or_create(name=OPEN, defaults={"started_at": now, "updated_at": now})[0]


@transaction.atomic
def store_page(*, page: MarketPage, now: datetime) -> CataloguePass:
    """One page of the pass: its markets, and the place of the next one. The last page completes the pass."""
    catalogue.upsert_markets(markets=page.markets, now=now)
    walk = CataloguePass.objects.select_for_update().get(name=OPEN)
    walk.markets += len(page.markets)
    walk.unreadable += page.unreadable
    walk.cursor = page.next_cursor
    walk.updated_at = now
    if not page.next_cursor:
        walk.completed_at, walk.completed_since = now, walk.started_at
    walk.save(update_fields=["cursor", "markets", "unreadable", "updated_at", "completed_at", "completed_since"])
    return walk


def begin(*, now: datetime) -> CataloguePass:
    """A new pass from the first page."""
    CataloguePass.objects.filter(name=OPEN).update(cursor="", started_at=now, updated_at=now, markets=0, unreadable=0)
    return CataloguePass.objects.get(name=OPEN)


def vanished(*, before: datetime, limit: int) -> list[str]:
    """Conditions we hold open that the listing has not shown since: most have closed."""
    rows = Market.objects.filter(closed=False, updated_at__lt=before).order_by("updated_at", "id")
    return list(rows.values_list("condition_id", flat=True)[:limit])


def touch(*, conditions: list[str], now: datetime) -> None:
    """Asked for and not found at all: looked for again after the next pass, not in a loop."""
    Market.objects.filter(condition_id__in=conditions).update(updated_at=now)
