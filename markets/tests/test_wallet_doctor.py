"""The wallet doctor against a local venue: each fault is named by its own check, whatever the others say."""

import json
import random

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from markets.tests.venue_fixtures import LiveSession, approved, fault, live_session, urls_of
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import registry
from markets.venue.polymarket.session import PolymarketVenue
from markets.venue.ports import OrderType, Side, VenueCheck
from markets.venue.sandbox.testing import RunningSandbox
from markets.venue.signers import VenueAccount
from polyhub.lib.clock import SystemClock


async def looked(session: LiveSession) -> dict[str, VenueCheck]:
    return {check.name: check for check in await registry.examine(session.venue)}


@pytest.mark.parametrize("signature_type", [0, 1, 2, 3])
async def test_a_sound_account_of_each_kind_passes_every_check(sandbox: RunningSandbox, signature_type: int) -> None:
    async with live_session(sandbox, signature_type=signature_type, opened=False) as session:
        found = await looked(session)
        assert {name for name, check in found.items() if check.ok is not True} == {"region", "sales"}
        assert found["region"].ok is None
        assert "1000.00" in found["balance"].message


async def test_the_wrong_kind_of_wallet_is_named_with_the_right_one(sandbox: RunningSandbox) -> None:
    async with live_session(sandbox, signature_type=2, opened=False) as session:
        venue = PolymarketVenue(
            account=VenueAccount(
                session.account.account_id, 3, session.account.signer_address, session.account.trading_address
            ),
            transport=session.transport,
            public=session.public,
            signer=session.signer,
            chance=random.Random(1),
        )
        (check,) = [each for each in await venue.examine() if each.name == "wallet"]
        assert (check.ok, check.code) == (False, "WALLET_KIND")
        assert "a Safe" in check.message


async def test_an_empty_wallet_does_not_hide_that_the_rest_is_well(sandbox: RunningSandbox) -> None:
    async with live_session(sandbox, usdc=0, opened=False) as session:
        found = await looked(session)
        assert (found["balance"].ok, found["balance"].code) == (False, "BALANCE_ZERO")
        assert found["key"].ok
        assert found["standing"].ok
        assert found["allowance"].ok


async def test_a_wallet_whose_cash_is_in_positions_is_well(sandbox: RunningSandbox) -> None:
    market = sandbox.create_market("doctor-spent", bids=[("0.40", "100")], asks=[("0.50", "100")])
    async with live_session(sandbox, usdc=10) as session:
        order = approved(market.yes, Side.BUY, OrderType.FAK, price=50, shares=20, now=SystemClock().now())
        await session.venue.send(await session.venue.prepare(order))
        assert (await looked(session))["balance"].ok


@pytest.mark.parametrize(
    ("name", "route", "check", "code"),
    [
        ("http_5xx", "/clob/time", "venue", "SERVER_ERROR"),
        ("unauthorized", "/clob/auth", "key", "CREDENTIALS_REFUSED"),
        ("http_5xx", "/clob/balance-allowance", "balance", "SERVER_ERROR"),
        ("http_5xx", "/clob/auth/ban-status", "standing", "SERVER_ERROR"),
    ],
)
async def test_each_fault_is_told_by_its_own_check(
    sandbox: RunningSandbox, name: str, route: str, check: str, code: str
) -> None:
    async with live_session(sandbox, opened=False) as session:
        with fault(sandbox, name, route=route):
            found = await looked(session)
        assert (found[check].ok, found[check].code) == (False, code)


@pytest.mark.parametrize("approves", [True, False])
async def test_whether_the_exchanges_may_take_shares_is_asked_of_the_chain(
    sandbox: RunningSandbox, approves: bool
) -> None:
    async with live_session(sandbox, opened=False) as session:
        urls = {**urls_of(sandbox), "rpc": f"{sandbox.url}/rpc"}
        transport = registry.open_transport(urls=urls, clock=SystemClock(), share=1.0)
        account = session.account
        wallet = account.trading_address if approves else "0x" + "5c" * 20
        try:
            venue = PolymarketVenue(
                account=VenueAccount(account.account_id, 3, account.signer_address, wallet),
                transport=transport,
                public=session.public,
                signer=session.signer,
                chance=random.Random(1),
            )
            (check,) = [each for each in await venue.examine() if each.name == "sales"]
        finally:
            await transport.close()
    assert check.ok is approves
    assert (check.code == "SALES_NOT_APPROVED") is not approves


@pytest.mark.parametrize("blocked", [True, False])
async def test_a_region_the_venue_does_not_serve_is_named(sandbox: RunningSandbox, blocked: bool) -> None:
    async def geoblock(request: web.Request) -> web.Response:
        return web.Response(text=json.dumps({"blocked": blocked, "ip": "203.0.113.9", "country": "XX", "region": "YY"}))

    application = web.Application()
    application.router.add_get("/api/geoblock", geoblock)
    async with TestServer(application) as server, live_session(sandbox, opened=False) as session:
        urls = {**urls_of(sandbox), "geoblock": str(server.make_url("/api/geoblock"))}
        transport = registry.open_transport(urls=urls, clock=SystemClock(), share=1.0)
        try:
            venue = PolymarketVenue(
                account=session.account,
                transport=transport,
                public=session.public,
                signer=session.signer,
                chance=random.Random(1),
            )
            (check,) = [each for each in await venue.examine() if each.name == "region"]
        finally:
            await transport.close()
    assert check.ok is not blocked
    assert (check.code == "GEOBLOCKED") is blocked
    assert "203.0.113.9" not in check.message
