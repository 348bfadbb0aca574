"""The official client, unchanged but for its URLs, reads the catalogue and the books of the local venue."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from polymarket import AsyncPublicClient
from polymarket.environments import Environment

from markets.tests.sandbox_sdk import environment_of
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(
        bids=[("0.48", "100")],
        asks=[("0.50", "100"), ("0.55", "100")],
        fee_rate="0.05",
        end_date="2027-01-01T00:00:00Z",
    )


@pytest.fixture
def environment(sandbox: RunningSandbox) -> Environment:
    return environment_of(sandbox)


async def test_markets_books_and_prices(environment: Environment, market: SandboxMarket) -> None:
    async with AsyncPublicClient(environment=environment) as public:
        page = await public.list_markets(page_size=5).first_page()
        (listed,) = page.items
        assert (listed.slug, str(listed.outcomes.yes.token_id)) == (market.slug, market.yes)
        assert (await public.get_market(slug=market.slug)).condition_id == market.condition_id
        events = await public.list_events(page_size=5).first_page()
        assert len(events.items) == 1
        book = await public.get_order_book(token_id=market.yes)
        assert (book.bids[-1].price, book.asks[-1].price) == (Decimal("0.48"), Decimal("0.5"))
        assert [b.asset_id for b in await public.get_order_books(token_ids=[market.yes, market.no])] == [
            market.yes,
            market.no,
        ]
        assert await public.get_midpoint(token_id=market.yes) == Decimal("0.49")
        assert await public.get_spread(token_id=market.yes) == Decimal("0.02")
        assert await public.get_price(token_id=market.yes, side="BUY") == Decimal("0.48")


async def test_maps_of_prices_search_and_tags(environment: Environment, market: SandboxMarket) -> None:
    async with AsyncPublicClient(environment=environment) as public:
        tokens = [market.yes, market.no]
        assert await public.get_midpoints(token_ids=tokens) == {market.yes: Decimal("0.49"), market.no: Decimal("0.51")}
        assert await public.get_spreads(token_ids=tokens) == dict.fromkeys(tokens, Decimal("0.02"))
        assert len(await public.get_last_trade_prices(token_ids=tokens)) <= 2
        found = (await public.search(q="will it happen").first_page()).items
        assert found
        assert (await public.list_tags().first_page()).items is not None
        assert (await public.get_sports_market_types()) is not None
