"""Books on a socket where things go wrong: whatever it does, the end is the venue's own book, and trust never lies."""

import asyncio
import random
from contextlib import ExitStack

import pytest

from markets import books
from markets.books import TrustedBook
from markets.domain.continuity import Trouble
from markets.tests.test_books import running
from markets.tests.venue_fixtures import connected, fault
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.registry import open_books
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from polyhub.tests.eventually import eventually_async

SOCKET = {"channel": "market"}
# Each alone, and all that can go together.
MODES: dict[str, list[tuple[str, dict[str, object]]]] = {
    "lost": [("drop_frames", {"probability": 0.4})],
    "lost changes": [
        ("drop_frames", {"event": "book"}),
        ("drop_frames", {"event": "price_change", "probability": 0.5}),
    ],
    "lost books": [("drop_frames", {"event": "book"})],
    "twice": [("duplicate_frames", {})],
    "shuffled": [("shuffle_frames", {"frames": 4})],
    "crossed": [("broken_frame", {"kind": "crossed", "probability": 0.4})],
    "negative": [("broken_frame", {"kind": "negative", "probability": 0.4})],
    "nan": [("broken_frame", {"kind": "nan", "probability": 0.4})],
    "all": [
        ("drop_frames", {"probability": 0.2}),
        ("duplicate_frames", {"probability": 0.3}),
        ("broken_frame", {"kind": "nan", "probability": 0.1}),
    ],
}


# What must not pass unnoticed. What a whole book repairs at once may.
NOTICED = {
    "lost changes": {Trouble.DISAGREEMENT},
    "crossed": {Trouble.CHECKSUM, Trouble.DISAGREEMENT},
    "negative": {Trouble.UNREADABLE, Trouble.GAP},
    "nan": {Trouble.UNREADABLE, Trouble.GAP},
    "all": {Trouble.UNREADABLE, Trouble.GAP},
}


@pytest.fixture
def market(sandbox: RunningSandbox, request: pytest.FixtureRequest) -> SandboxMarket:
    bids = [(f"0.{cents}", "500") for cents in range(38, 48)]
    asks = [(f"0.{cents}", "500") for cents in range(53, 63)]
    name = request.node.name.replace("[", "-").replace("]", "").replace(" ", "-").replace("_", "-")
    return sandbox.create_market(name, bids=bids, asks=asks)


@pytest.mark.parametrize("mode", MODES)
async def test_w02_w03_w07_a_troubled_socket_ends_in_the_venues_own_book(
    sandbox: RunningSandbox, market: SandboxMarket, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison over REST, every 30 seconds otherwise, comes sooner here; nothing else is helped along."""
    monkeypatch.setattr(books, "COMPARE_MS", 1_000)
    chance = random.Random(mode)
    async with connected(sandbox) as (transport, public):
        cache = open_books(transport=transport, public=public, chance=random.Random(1))
        crossed = 0

        def look() -> None:
            nonlocal crossed
            view = cache.view(market.yes)
            crossed += isinstance(view, TrustedBook) and view.book.crossed

        cache.watch(market.yes, look)
        async with running(cache):
            assert isinstance(await cache.ready(market.yes, timeout_s=10), TrustedBook)

            async def streamed() -> bool:
                return cache._entries[market.yes].is_streamed

            assert await eventually_async(streamed)
            with ExitStack() as faults:
                for name, fields in MODES[mode]:
                    faults.enter_context(fault(sandbox, name, **SOCKET, **fields))
                for _ in range(20):
                    side, price = chance.choice([("BUY", "0.53"), ("SELL", "0.47")])
                    await asyncio.to_thread(
                        sandbox.leader_trade,
                        wallet="0x" + "5f" * 20,
                        token_id=chance.choice([market.yes, market.no]) if price == "0.53" else market.yes,
                        side=side,
                        price=price,
                        size=str(chance.randint(5, 40)),
                    )

            async def healed() -> bool:
                there, view = await public.book(market.yes), cache.view(market.yes)
                assert there is not None
                return isinstance(view, TrustedBook) and all(
                    view.book.levels(side) == [(level.price_units, level.share_units) for level in levels]
                    for side, levels in (("BUY", there.bids), ("SELL", there.asks))
                )

            assert await eventually_async(healed, timeout_s=15)
            assert crossed == 0, "a trusted book was crossed"
        assert cache.notebook.totals.keys() >= NOTICED.get(mode, set())
