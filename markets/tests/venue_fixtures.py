"""Venue sessions against a local Polymarket, ready to trade."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from uuid import uuid4

import pytest

from markets.tests.local_signer import LocalSigner
from markets.venue import amounts, registry, signing
from markets.venue.ports import ApprovedOrder, OrderTerms, OrderType, Side, Venue
from markets.venue.registry import PublicClient, Transport
from markets.venue.sandbox.testing import RunningSandbox, running_sandbox
from markets.venue.signers import VenueAccount
from markets.venue.simulator.paper import RestoredState
from polyhub.lib.clock import SystemClock, to_ms

_keys = count(0x5A11CE)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(mined_after_ms=100, confirmed_after_ms=200) as running:
        yield running


@contextmanager
def fault(sandbox: RunningSandbox, name: str, **fields: object) -> Iterator[None]:
    """A fault of the sandbox while the block runs."""
    number = sandbox.fault(name, **fields)
    try:
        yield
    finally:
        sandbox.clear_faults(number)


def urls_of(sandbox: RunningSandbox) -> dict[str, str]:
    return {
        "clob": f"{sandbox.url}/clob",
        "gamma": f"{sandbox.url}/gamma",
        "data": f"{sandbox.url}/data",
        "ws_market": f"{sandbox.ws_url}/ws/market",
        "ws_user": f"{sandbox.ws_url}/ws/user",
        "ws_rtds": f"{sandbox.ws_url}/ws/rtds",
    }


@asynccontextmanager
async def connected(sandbox: RunningSandbox) -> AsyncIterator[tuple[Transport, PublicClient]]:
    transport = registry.open_transport(urls=urls_of(sandbox), clock=SystemClock(), share=1.0)
    try:
        yield transport, registry.open_public_client(transport=transport)
    finally:
        await transport.close()


@dataclass(slots=True)
class LiveSession:
    """A funded live account and its open venue session."""

    venue: Venue
    account: VenueAccount
    signer: LocalSigner
    transport: Transport
    public: PublicClient


def new_key() -> bytes:
    return next(_keys).to_bytes(32, "big")


@asynccontextmanager
async def live_session(
    sandbox: RunningSandbox, *, usdc: int = 1_000, signature_type: int = 3, opened: bool = True
) -> AsyncIterator[LiveSession]:
    key = new_key()
    wallet = sandbox.register_wallet(private_key="0x" + key.hex(), usdc=usdc, signature_type=signature_type)
    account = VenueAccount(uuid4(), signature_type, signing.address_of(key), wallet.address)
    signer = LocalSigner()
    signer.add(account, key)
    chance = random.Random(1)
    async with connected(sandbox) as (transport, public):
        venue = registry.open_venue(
            mode=registry.LIVE,
            account=account,
            restored=RestoredState(),
            transport=transport,
            public=public,
            books=registry.open_books(transport=transport, public=public, chance=chance),
            signer=signer,
            chance=chance,
        )
        if opened:
            await venue.open()
        yield LiveSession(venue, account, signer, transport, public)


def approved(
    token_id: str,
    side: Side,
    order_type: OrderType,
    *,
    price: int,
    shares: int,
    now: datetime,
    tick: int = 100,
    neg_risk: bool = False,
) -> ApprovedOrder:
    """An order in cents of price (50 = 0.50) and whole shares, past the risk gate."""
    built = amounts.order_amounts(
        side=side, order_type=order_type, price_units=price * 100, share_units=shares * 1_000_000, tick_units=tick
    )
    client_order_id = uuid4()
    terms = OrderTerms(
        client_order_id=client_order_id,
        token_id=token_id,
        side=side,
        order_type=order_type,
        price_units=price * 100,
        share_units=shares * 1_000_000,
        maker_units=built.maker_units,
        taker_units=built.taker_units,
        salt=client_order_id.int & (2**53 - 1),
        timestamp_ms=to_ms(now),
        neg_risk=neg_risk,
    )
    return ApprovedOrder(terms=terms, verdict="OK", fencing_token=1, service="engine-0")
