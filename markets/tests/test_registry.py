"""One door to the venue: what it opens, and that nobody else does."""

import random
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from markets.books import BookCache
from markets.tests.local_signer import LocalSigner
from markets.venue import registry
from markets.venue.polymarket.transport import VenueUrls
from markets.venue.ports import Venue
from markets.venue.signers import VenueAccount
from markets.venue.simulator.paper import RestoredState
from polyhub.lib.clock import SystemClock

NOWHERE = dict.fromkeys(("clob", "gamma", "data", "ws_market", "ws_user", "ws_rtds"), "http://127.0.0.1:9/")


@pytest.fixture
async def transport() -> AsyncIterator[registry.Transport]:
    opened = registry.open_transport(urls=NOWHERE, clock=SystemClock())
    yield opened
    await opened.close()


def opened(transport: registry.Transport, mode: str) -> Venue:
    public, chance = registry.open_public_client(transport=transport), random.Random(1)
    books: BookCache = registry.open_books(transport=transport, public=public, chance=chance)
    return registry.open_venue(
        mode=mode,
        account=VenueAccount(uuid4(), 0, "0x" + "11" * 20, "0x" + "11" * 20),
        restored=RestoredState(),
        transport=transport,
        public=public,
        books=books,
        signer=LocalSigner(),
        chance=chance,
    )


async def test_the_mode_alone_chooses_the_venue(transport: registry.Transport) -> None:
    assert (opened(transport, "live").name, opened(transport, "paper").name) == ("polymarket", "paper")


async def test_another_mode_is_refused(transport: registry.Transport) -> None:
    with pytest.raises(registry.UnknownMode):
        opened(transport, "demo")


def test_the_configured_addresses_are_all_the_adapter_needs() -> None:
    from django.conf import settings

    urls = VenueUrls.of(settings.VENUE_URLS)
    assert urls.clob
    assert urls.ws_rtds
    with pytest.raises(KeyError, match="ws_rtds"):
        VenueUrls.of({name: url for name, url in NOWHERE.items() if name != "ws_rtds"})


async def test_addresses_may_end_with_a_slash(transport: registry.Transport) -> None:
    assert transport.urls.clob == "http://127.0.0.1:9"
