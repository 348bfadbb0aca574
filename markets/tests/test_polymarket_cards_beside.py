"""Lifetimes, heartbeats, session keys and streams on a local Polymarket that goes wrong."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from markets.tests.local_signer import LocalSigner
from markets.tests.venue_cards import adapter, prepared
from markets.tests.venue_cards import market as market  # noqa: PLC0414
from markets.tests.venue_fixtures import LiveSession, approved, connected, fault, live_session, new_key
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import lifetimes, registry, signing
from markets.venue.errors import Refused, VenueError
from markets.venue.polymarket.session import PolymarketVenue
from markets.venue.polymarket.socket import Watch
from markets.venue.polymarket.user_stream import UserStream
from markets.venue.ports import (
    OrderType,
    Side,
    StreamStatus,
    SubmitReport,
    TradeStatus,
    VenueOrderStatus,
    VenueTrade,
)
from markets.venue.sandbox.session_keys import CLOB, SessionKey
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from markets.venue.signers import SignedOrder, SignRequest, VenueAccount
from polyhub.lib.clock import SystemClock

# -- lifetimes, heartbeats, session keys -------------------------------------------------------------------------


async def test_a_gtd_order_lives_until_a_minute_before_its_end_and_others_are_not_sent(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        now_s = session.transport.venue_clock.now_s()
        wanted = approved(market.yes, Side.BUY, OrderType.GTD, price=45, shares=10, now=SystemClock().now())
        ends = lifetimes.gtd_expiration_s(now_s=now_s, life_s=300)
        good = replace(wanted, terms=replace(wanted.terms, expiration_s=ends))
        assert (await session.venue.send(await session.venue.prepare(good))).status is VenueOrderStatus.LIVE
        signed = session.signer.orders_signed
        for terms in (
            replace(wanted.terms, expiration_s=now_s + 170),
            replace(wanted.terms, order_type=OrderType.GTC, expiration_s=ends),
            replace(wanted.terms, order_type=OrderType.FAK, expiration_s=0, post_only=True),
        ):
            with pytest.raises(Refused):
                await session.venue.prepare(replace(wanted, terms=terms))
        assert session.signer.orders_signed == signed


async def test_k13_orders_rest_while_the_heart_beats_and_a_wrong_id_is_put_right(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        await session.venue.send(await prepared(session, market))
        heart, other = adapter(session).heartbeat(), adapter(session).heartbeat()
        assert await heart.once()
        assert await other.once()
        # Another process has beaten in between: the venue names the id that counts, and the beat goes on.
        assert await heart.once()
        assert await heart.once()
        assert not heart.missed
        with fault(sandbox, "http_5xx", route="/clob/v1/heartbeats"):
            assert not await heart.once()
        assert await heart.once()
        assert len(await session.venue.open_orders()) == 1


class SessionSigner(LocalSigner):
    """Signs with a session key of the account's deposit wallet."""

    async def sign_order(self, request: SignRequest) -> SignedOrder:
        account, key = self._accounts[request.account_id]
        wallet = account.trading_address
        return SignedOrder(
            order_hash=signing.order_hash(request.terms, maker=wallet, signer=wallet, signature_type=3),
            signature=signing.sign_order(
                request.terms,
                key=key,
                maker=wallet,
                signer=wallet,
                signature_type=3,
                session_signer=signing.address_of(key),
            ),
        )


@asynccontextmanager
async def by_session_key(sandbox: RunningSandbox, *, scopes: tuple[str, ...] = (CLOB,)) -> AsyncIterator[LiveSession]:
    owner, lent = new_key(), new_key()
    wallet = sandbox.register_wallet(private_key="0x" + owner.hex(), usdc=100, signature_type=3)
    ends = int(SystemClock().now().timestamp()) + 3600
    sandbox._sandbox.sessions.authorize(
        SessionKey(signing.address_of(lent), wallet.address.lower(), scopes, valid_until_s=ends)
    )
    account = VenueAccount(uuid4(), 3, signing.address_of(lent), wallet.address)
    signer = SessionSigner()
    signer.add(account, lent)
    async with connected(sandbox) as (transport, public):
        venue = PolymarketVenue(
            account=account, transport=transport, public=public, signer=signer, chance=random.Random(1)
        )
        yield LiveSession(venue, account, signer, transport, public)


async def test_a_session_key_trades_for_its_wallet(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with by_session_key(sandbox) as session:
        await session.venue.open()
        order = await prepared(session, market)
        assert (await session.venue.send(order)).status is VenueOrderStatus.LIVE
        assert [each.order_hash for each in await session.venue.open_orders()] == [order.order_hash]


async def test_a_session_key_of_another_scope_places_nothing(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with by_session_key(sandbox, scopes=("COMBOSRFQ",)) as session:
        with pytest.raises(VenueError):
            await _trade(session, market)


async def _trade(session: LiveSession, market: SandboxMarket) -> SubmitReport:
    await session.venue.open()
    return await session.venue.send(await prepared(session, market))


# -- streams -----------------------------------------------------------------------------------------------------


async def test_w03_a_fill_told_twice_and_out_of_order_names_itself_the_same(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market, order_type=OrderType.FAK, price=52, shares=10)
        with fault(sandbox, "duplicate_frames", channel="user", wallet=session.account.trading_address):
            async with aclosing(adapter(session).user_events()) as events:
                assert isinstance(await anext(events), StreamStatus)
                await session.venue.send(order)
                told: list[VenueTrade] = []
                async with asyncio.timeout(10):
                    async for event in events:
                        if isinstance(event, VenueTrade):
                            told.append(event)
                            if sum(1 for each in told if each.status is TradeStatus.CONFIRMED) == 2:
                                break
        assert len({(trade.trade_id, trade.order_hash) for trade in told}) == 1
        assert len({(trade.trade_id, trade.status) for trade in told}) == 3


async def test_w05_fills_missed_by_the_stream_are_all_in_the_list(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        start = SystemClock().now()
        with fault(sandbox, "drop_frames", channel="user"):
            orders = [await prepared(session, market, order_type=OrderType.FAK, price=53, shares=10) for _ in range(3)]
            for order in orders:
                await session.venue.send(order)
        found = await session.venue.trades(after=start)
        placed = [await session.venue.order_by_hash(order.order_hash) for order in orders]
        assert {trade.order_hash for trade in found} == {order.order_hash for order in orders}
        assert sum(trade.share_units for trade in found) == sum(each.matched_share_units for each in placed if each)


async def test_w01_a_user_socket_that_answers_no_ping_is_replaced_and_said_so(sandbox: RunningSandbox) -> None:
    async with live_session(sandbox) as session:
        stream = UserStream(
            session.transport,
            credentials=lambda: adapter(session)._client.credentials,
            is_mine=lambda _: True,
            chance=random.Random(1),
            watch=Watch(ping_s=0.05, silence_s=0.2, pong_counts=True),
        )
        with fault(sandbox, "silent_socket", channel="user", pong=False):
            async with aclosing(stream.events()) as events, asyncio.timeout(10):
                assert await anext(events) == StreamStatus(connected=True)
                lost = await anext(events)
                assert isinstance(lost, StreamStatus)
                assert not lost.connected
                assert await anext(events) == StreamStatus(connected=True)


@pytest.fixture
def giant() -> bytes:
    return b'[{"event_type":"trade","id":"' + b"x" * (20 << 20) + b'"}]'


async def test_w08_a_frame_beyond_all_measure_ends_the_socket_and_not_the_process(giant: bytes) -> None:
    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str(giant.decode())
        await socket.receive()
        return socket

    application = web.Application()
    application.router.add_get("/ws", serve)
    async with TestServer(application) as server:
        here = str(server.make_url("/ws"))
        urls = dict.fromkeys(("clob", "gamma", "data", "ws_market", "ws_user", "ws_rtds"), here)
        transport = registry.open_transport(urls=urls, clock=SystemClock())
        stream = registry.open_activity_stream(transport=transport, chance=random.Random(1), silence_s=5)
        try:
            async with aclosing(stream.events()) as events, asyncio.timeout(10):
                assert getattr(await anext(events), "connected", None) is True
                assert getattr(await anext(events), "connected", None) is False
        finally:
            await transport.close()
