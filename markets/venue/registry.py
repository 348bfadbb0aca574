"""The one door to the venue: nothing else opens the Polymarket adapter, and nothing else knows paper from live."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

from markets.books import BookCache
from markets.shards import ShardedStream
from markets.venue.polymarket.budget import GUEST_SHARE, READING, TRADING
from markets.venue.polymarket.chain import ChainReader
from markets.venue.polymarket.probes import UNREADABLE, Finding, Probes
from markets.venue.polymarket.public import PublicClient, PublicPosition, TradingTerms
from markets.venue.polymarket.session import PolymarketVenue
from markets.venue.polymarket.streams import ACTIVITY_SILENCE_S, ActivityStream, MarketStream
from markets.venue.polymarket.transport import Transport, VenueUrls
from markets.venue.ports import Venue, VenueCheck
from markets.venue.signers import OrderSigner, VenueAccount
from markets.venue.simulator.external import FeeSchedule
from markets.venue.simulator.paper import MarketTerms, PaperVenue, RestoredState
from polyhub.lib.clock import Clock

__all__ = [
    "GUEST_SHARE",
    "READING",
    "TRADING",
    "ActivityStream",
    "ChainReader",
    "Finding",
    "MarketStream",
    "PublicClient",
    "PublicPosition",
    "TradingTerms",
    "Transport",
    "UnknownMode",
    "ask_about",
    "examine",
    "open_activity_stream",
    "open_books",
    "open_chain_reader",
    "open_market_stream",
    "open_public_client",
    "open_transport",
    "open_venue",
]

PAPER, LIVE = "paper", "live"
PAPER_LATENCY_S = 0.25
PROBE_TIMEOUT_S = 30.0


class UnknownMode(ValueError):
    """Neither paper nor live."""


def open_transport(
    *,
    urls: Mapping[str, str],
    clock: Clock,
    on_order_sent: Callable[[str], None] | None = None,
    share: float = GUEST_SHARE,
    scale: float = 1.0,
) -> Transport:
    """The process's one pool of connections; call inside the running loop, and `close()` it.

    `on_order_sent(order_hash)` is called when an order's bytes have been written. `share` is this process's part of
    the venue's rate limits until it has agreed on one with the others (`markets.services.budgets`); `scale` widens
    them for a venue that keeps none.
    """
    return Transport(VenueUrls.of(urls), clock=clock, on_order_sent=on_order_sent, share=share, scale=scale)


def open_public_client(*, transport: Transport) -> PublicClient:
    return PublicClient(transport)


def open_market_stream(*, transport: Transport, chance: random.Random) -> MarketStream:
    return MarketStream(transport, chance=chance)


def open_activity_stream(
    *, transport: Transport, chance: random.Random, silence_s: float = ACTIVITY_SILENCE_S
) -> ActivityStream:
    """`silence_s` without any trade of anybody ends the connection and opens another."""
    return ActivityStream(transport, chance=chance, silence_s=silence_s)


def open_chain_reader(*, transport: Transport, public: PublicClient, chance: random.Random) -> ChainReader | None:
    """Fills of watched wallets from the chain; None where no node is configured."""
    urls = transport.urls
    nodes = [url.strip() for url in urls.rpc.split(",") if url.strip()]
    sockets = [url.strip() for url in urls.ws_rpc.split(",") if url.strip()]
    if not nodes:
        return None
    return ChainReader(transport, urls=nodes, ws_urls=sockets, place_of=public.place_of, chance=chance)


def open_books(*, transport: Transport, public: PublicClient, chance: random.Random) -> BookCache:
    """The process's one cache of public books, over as many sockets as they need; run its `run()` as a task."""
    stream = ShardedStream(lambda: open_market_stream(transport=transport, chance=chance))
    return BookCache(stream=stream, fetch=public.book, clock=transport.clock)


def open_venue(
    *,
    mode: str,
    account: VenueAccount,
    restored: RestoredState,
    transport: Transport,
    public: PublicClient,
    books: BookCache,
    signer: OrderSigner,
    chance: random.Random,
    paper_latency_s: float = PAPER_LATENCY_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Venue:
    """The venue of one account. A live account knows its own state and does not need `restored`."""
    if mode == LIVE:
        return PolymarketVenue(account=account, transport=transport, public=public, signer=signer, chance=chance)
    if mode != PAPER:
        raise UnknownMode(mode)

    async def market_terms(token_id: str) -> MarketTerms:
        terms = await public.terms(token_id=token_id)
        return MarketTerms(terms.condition_id, FeeSchedule(terms.fee_rate, terms.fee_exponent))

    return PaperVenue(
        account_id=account.account_id,
        books=books,
        market_terms=market_terms,
        clock=transport.clock,
        restored=restored,
        latency_s=paper_latency_s,
        sleep=sleep,
    )


async def examine(venue: Venue) -> tuple[VenueCheck, ...]:
    """What stands between an account and its first order; nothing to look at on paper."""
    return await venue.examine() if isinstance(venue, PolymarketVenue) else ()


async def ask_about(name: str, *, transport: Transport, public: PublicClient) -> Finding:
    """One question to the venue that changes nothing; what cannot be read is a finding too."""
    async with asyncio.timeout(PROBE_TIMEOUT_S):
        try:
            return await Probes(transport, public).all()[name]()
        except UNREADABLE as error:
            return Finding(f"{type(error).__name__}: {error}"[:300], False)
