"""The whole listing reaches the catalogue, is found by its words, and what leaves the listing is closed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import pytest
from django.db import connection

from markets import selectors
from markets.catalogue_sync import EVERY, START_PAGES, CatalogueSync, Listing
from markets.domain.catalogue import MarketFacts, MarketPage, OutcomeFacts, Resolution, listed_price, payout_of_first
from markets.models import CataloguePass, Market
from markets.services import catalogue
from markets.tests.factories import NOW
from markets.tests.venue_fixtures import connected
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.errors import Unavailable
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib.clock import ReplayClock

PAGE = 100


def facts(number: int, **fields: object) -> MarketFacts:
    made = MarketFacts(
        condition_id=f"0x{number:064x}",
        outcomes=(OutcomeFacts(f"9{number}0", "Yes", 0), OutcomeFacts(f"9{number}1", "No", 1)),
        question=f"Will candidate {number} win the election?",
        fee_rate=Decimal(0),
        volume_24h_usdc=Decimal(number),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@dataclass
class MemoryListing:
    """A venue that lists `rows`, PAGE at a time, and knows `ended` ones by their id only."""

    rows: list[MarketFacts]
    ended: list[MarketFacts] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    failures: int = 0

    def listing(self) -> Listing:
        return Listing(page=self._page, closed=self._closed)

    async def _page(self, cursor: str, order: str) -> MarketPage:
        self.asked.append((cursor, order))
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        rows = sorted(self.rows, key=lambda row: -(row.volume_24h_usdc or 0)) if order else self.rows
        start = int(cursor or 0)
        more = start + PAGE < len(rows)
        return MarketPage(tuple(rows[start : start + PAGE]), str(start + PAGE) if more else "")

    async def _closed(self, conditions: Sequence[str]) -> Sequence[MarketFacts]:
        return [row for row in self.ended if row.condition_id in conditions]


def synced(venue: MemoryListing, work: Callable[[CatalogueSync], Awaitable[object]], *, at: datetime = NOW) -> object:
    async def one() -> object:
        sync = CatalogueSync(source=venue.listing(), clock=ReplayClock(at), page_s=0)
        try:
            return await work(sync)
        finally:
            await sync.close()

    return asyncio.run(one())


@pytest.mark.django_db(transaction=True)
def test_a_start_is_capped_to_the_largest_markets() -> None:
    venue = MemoryListing([facts(number) for number in range(1, PAGE * START_PAGES + 150)])
    assert synced(venue, CatalogueSync.start) == PAGE * START_PAGES
    assert len(venue.asked) == START_PAGES
    smallest = Market.objects.order_by("volume_24h_usdc").first()
    assert smallest is not None
    assert smallest.volume_24h_usdc == 150


@pytest.mark.django_db(transaction=True)
def test_g8_the_rest_is_walked_page_by_page_and_a_restart_goes_on_where_it_stopped() -> None:
    venue = MemoryListing([facts(number) for number in range(1, 251)])

    async def interrupted(sync: CatalogueSync) -> None:
        venue.failures = 0
        walk = sync.walk()
        page = venue._page

        async def once(cursor: str, order: str) -> MarketPage:
            if cursor == str(PAGE):
                raise Unavailable("away")
            return await page(cursor, order)

        sync._source = Listing(page=once, closed=venue._closed)
        with pytest.raises(Unavailable):
            await walk

    synced(venue, interrupted)
    assert Market.objects.count() == PAGE
    venue.asked.clear()
    synced(venue, CatalogueSync.walk)
    assert [cursor for cursor, _ in venue.asked] == ["100", "200"], "the stored pages are not fetched again"
    assert Market.objects.count() == 250
    walk = CataloguePass.objects.get()
    assert (walk.markets, walk.completed_since) == (250, walk.started_at)


@pytest.mark.django_db(transaction=True)
def test_a_pass_is_made_again_every_five_minutes_and_not_sooner() -> None:
    venue = MemoryListing([facts(1)])
    for at, pages in ((NOW, 1), (NOW + EVERY / 2, 1), (NOW + EVERY, 2)):
        synced(venue, CatalogueSync.walk, at=at)
        assert len(venue.asked) == pages


@pytest.mark.django_db(transaction=True)
def test_what_leaves_the_listing_is_read_by_id_and_closes_with_its_result() -> None:
    venue = MemoryListing([facts(1), facts(2), facts(3)])
    synced(venue, CatalogueSync.walk)
    gone = venue.rows.pop(0)
    venue.rows.pop(0)
    venue.ended = [replace(gone, closed=True, resolution=Resolution.RESOLVED, payout_of_first=Decimal(1))]
    synced(venue, CatalogueSync.walk, at=NOW + EVERY)
    ended = Market.objects.get(condition_id=gone.condition_id)
    assert (ended.closed, ended.resolution, ended.payout_of_first) == (True, "resolved", 1)
    unknown = Market.objects.get(condition_id=facts(2).condition_id)
    assert not unknown.closed, "the venue said nothing of it, so nothing is known"
    assert unknown.updated_at == NOW + EVERY, "but it is not asked for in a loop"


@pytest.mark.django_db
def test_a_market_is_found_by_beginnings_of_its_words_in_any_order() -> None:
    rain = facts(1, question="Rain in Berlin on Monday?", event_title="Weather of Germany", volume_24h_usdc=None)
    catalogue.upsert_markets(markets=[rain, facts(2), facts(3, closed=True)], now=NOW)

    def found(search: str, state: str = "open") -> list[str]:
        return [row.condition_id for row in selectors.find_markets(search=search, state=state)]

    assert found("berl rain") == found("germ") == found(rain.condition_id) == [rain.condition_id]
    assert found("candidate") == [facts(2).condition_id]
    assert found("candidate", "all") == [facts(3).condition_id, facts(2).condition_id], "largest first"
    assert found("berlin snow") == []
    assert found("!!! & | <->") == found("%") == []
    assert found("rain & ! candidate:") == [], "operators are words, never operators"
    assert found("9" + "1" + "0" * 35) == []


@pytest.mark.django_db
def test_search_uses_the_word_index_over_many_markets() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO markets_market (condition_id, slug, question, category, neg_risk, tick_size,
                   min_order_shares, fee_exponent, fee_taker_only, active, closed, accepting_orders, rules, group_title,
                   neg_risk_group, resolution, taker_delay_s, keywords, volume_24h_usdc, updated_at)
               SELECT '0x' || lpad(to_hex(n), 64, '0'), 'm', 'Will thing' || n || ' happen in city' || n %% 997, '',
                   false, 0.01, 5, 1, true, true, false, true, '', '', '', 'none', 0, '', n, now()
               FROM generate_series(1, 50000) n""",
            [],
        )
        cursor.execute("ANALYZE markets_market")
    for search in ("thing4711", "happen city77"):
        plan = selectors.find_markets(search=search)[:50].explain()
        assert "market_words" in plan, plan
        assert "Seq Scan on markets_market" not in plan
        assert len(selectors.find_markets(search=search)[:50]) > 0
    assert "market_open_by_volume" in selectors.find_markets()[:50].explain()


@pytest.mark.parametrize(
    ("prices", "paid"),
    [(["1", "0"], 1), (["0", "1"], 0), (["0.5", "0.5"], Decimal("0.5")), (["0", "0"], None), (["0.97", "0.03"], None)],
)
def test_a_result_is_only_what_adds_up_to_one(prices: list[str], paid: Decimal | None) -> None:
    assert payout_of_first(closed=True, resolution=Resolution.RESOLVED, prices=prices) == paid
    assert payout_of_first(closed=False, resolution=Resolution.RESOLVED, prices=prices) is None
    assert payout_of_first(closed=True, resolution=Resolution.PROPOSED, prices=prices) is None


@pytest.mark.parametrize(
    ("prices", "listed"),
    [
        (["0.535", "0.465"], Decimal("0.5350")),
        (["0.53496", "0.46504"], Decimal("0.5350")),
        (["0", "0"], None),
        (["1", "0"], None),
        (["0.9", "0.9"], None),
        (["NaN", "0.5"], None),
        (["x", "0.5"], None),
        (["0.2", "0.3", "0.5"], None),
        ([], None),
    ],
)
def test_a_listed_price_is_shown_only_where_both_outcomes_agree(prices: list[str], listed: Decimal | None) -> None:
    assert listed_price(closed=False, prices=prices) == listed
    assert listed_price(closed=True, prices=prices) is None


async def test_the_adapter_lists_the_local_venue_page_by_page(sandbox: RunningSandbox) -> None:
    made = [sandbox.create_market(f"listed-{number}", bids=[("0.48", "100")]) for number in range(5)]
    async with connected(sandbox) as (_, public):
        seen: list[MarketFacts] = []
        page = await public.market_page(limit=2, order="volume24hr")
        while True:
            seen += page.markets
            if not page.next_cursor:
                break
            page = await public.market_page(limit=2, order="volume24hr", cursor=page.next_cursor)
    assert len({one.condition_id for one in seen}) == len(seen)
    assert {one.condition_id for one in made} <= {one.condition_id for one in seen}
    assert all(one.volume_usdc is not None for one in seen)
    assert any(one.listed_price is not None for one in seen)
