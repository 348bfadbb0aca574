"""One live account before a venue whose answers are wrong: none is believed that is not proven."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from markets.tests.test_polymarket_session import market as market  # noqa: PLC0414
from markets.tests.test_polymarket_session import prepared
from markets.tests.venue_fixtures import LiveSession, live_session
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue import signing
from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket.private import Credentials
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from polyhub.lib.clock import SystemClock


@asynccontextmanager
async def venue_answering(
    sandbox: RunningSandbox, session: LiveSession, answer: Callable[[web.Request], Any]
) -> AsyncIterator[None]:
    """The session talks to a server of its own that answers POST /order and forwards nothing."""

    async def handle(request: web.Request) -> web.Response:
        payload = answer(request)
        status = payload.pop("_status", 200) if isinstance(payload, dict) else 200
        return web.Response(body=msgspec.json.encode(payload), status=status, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    client = session.venue._client  # type: ignore[attr-defined]
    before, client._clob = client._clob, str(server.make_url("")).rstrip("/")
    try:
        yield
    finally:
        client._clob = before
        await server.close()


@pytest.mark.parametrize(
    ("answer", "outcome", "code"),
    [
        ({"success": True, "errorMsg": "not enough balance / allowance"}, Refused, "NOT_ENOUGH_BALANCE"),
        ({"success": True, "errorMsg": "something new"}, OutcomeUnknown, "UNLISTED_ANSWER"),
        ({"success": False, "errorMsg": ""}, OutcomeUnknown, "UNLISTED_ANSWER"),
        ({"success": True, "orderID": "0xother", "status": "live"}, OutcomeUnknown, "HASH_MISMATCH"),
        ([1, 2], OutcomeUnknown, "BAD_ANSWER"),
        ({"_status": 302}, OutcomeUnknown, "UNLISTED_ANSWER"),
    ],
)
async def test_success_is_believed_only_when_every_part_of_the_answer_says_so(
    sandbox: RunningSandbox, market: SandboxMarket, answer: Any, outcome: type[VenueError], code: str
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        async with venue_answering(sandbox, session, lambda _: answer if isinstance(answer, list) else dict(answer)):
            with pytest.raises(outcome) as got:
                await session.venue.send(order)
        assert got.value.code == code


async def test_a_stale_balance_is_refreshed_once_and_the_same_bytes_sent_again(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        asked: list[str] = []

        def answer(request: web.Request) -> dict[str, Any]:
            asked.append(f"{request.method} {request.path}")
            if request.path != "/order":
                return {"balance": "0", "allowances": {}}
            if asked.count("POST /order") == 1:
                return {"_status": 400, "error": "not enough balance / allowance: balance: 0"}
            return {"success": True, "orderID": order.order_hash, "status": "live"}

        async with venue_answering(sandbox, session, answer):
            report = await session.venue.send(order)
        assert report.order_hash == order.order_hash
        assert asked == ["POST /order", "GET /balance-allowance/update", "GET /balance-allowance", "POST /order"]


@pytest.mark.parametrize("missing", [signing.EXCHANGE, signing.NEG_RISK_EXCHANGE])
async def test_a_missing_allowance_is_named_with_its_contract(
    sandbox: RunningSandbox, market: SandboxMarket, missing: str
) -> None:
    async with live_session(sandbox) as session:
        allowed = {signing.EXCHANGE: "5", signing.NEG_RISK_EXCHANGE: "5", missing: "0"}

        def answer(request: web.Request) -> dict[str, Any]:
            if request.path == "/auth/derive-api-key":
                return {"apiKey": "k", "secret": "eA==", "passphrase": "p"}
            return {"balance": "5000000", "allowances": allowed}

        async with venue_answering(sandbox, session, answer):
            with pytest.raises(Refused, match=missing) as refused:
                await session.venue.open()
        assert refused.value.code == "ALLOWANCE_MISSING"


async def test_a_key_that_does_not_exist_yet_is_created(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as session:
        asked: list[str] = []

        def answer(request: web.Request) -> dict[str, Any]:
            asked.append(f"{request.method} {request.path}")
            if request.path == "/auth/derive-api-key":
                return {"_status": 400, "error": "Could not derive api key"}
            return {"apiKey": "made", "secret": "eA==", "passphrase": "p"}

        client = session.venue._client  # type: ignore[attr-defined]
        async with venue_answering(sandbox, session, answer):
            await client.sign_in()
        assert asked == ["GET /auth/derive-api-key", "POST /auth/api-key"]
        assert client.credentials.api_key == "made"


async def test_a_duplicate_the_venue_cannot_show_stays_unknown(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    async with live_session(sandbox) as session:
        order = await prepared(session, market)
        for status in (404, 500):

            def answer(request: web.Request, status: int = status) -> dict[str, Any]:
                if request.path == "/order":
                    return {"_status": 400, "error": "order 0x is invalid. Duplicated."}
                return {"_status": status, "error": "order not found"}

            async with venue_answering(sandbox, session, answer):
                with pytest.raises(OutcomeUnknown) as unknown:
                    await session.venue.send(order)
            assert unknown.value.code == "DUPLICATED"


async def test_a_list_without_an_end_is_an_error_and_not_half_a_list(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        endless = {"data": [], "next_cursor": "MTAw"}
        async with venue_answering(sandbox, session, lambda _: dict(endless)):
            found = asyncio.ensure_future(session.venue.open_orders())
            with pytest.raises(Unavailable):
                await found


async def test_an_unreadable_row_is_an_error_and_not_a_missing_order(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    row = {"id": "0x1", "asset_id": "1", "side": "BUY", "price": "0.5", "original_size": "1", "size_matched": "0"}
    async with live_session(sandbox) as session:
        for answer in ({**row, "status": "EXPLODED"}, {**row, "status": "LIVE", "price": "nan"}, {"id": 5}):
            async with venue_answering(sandbox, session, lambda _, answer=answer: dict(answer)):  # type: ignore[misc]
                with pytest.raises(Unavailable):
                    await session.venue.order_by_hash("0x1")


async def test_an_answer_of_boundless_size_is_cut_off(
    sandbox: RunningSandbox, market: SandboxMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A small bound stands for the real one of 32 MB.
    monkeypatch.setattr("markets.venue.polymarket.transport.MAX_BODY", 1_000)
    async with live_session(sandbox, opened=False) as session:
        await session.venue.open()
        async with venue_answering(sandbox, session, lambda _: {"data": ["x" * 5_000]}):
            with pytest.raises(Unavailable):
                await session.venue.open_orders()


async def test_forgotten_credentials_are_renewed_but_not_in_a_loop(
    sandbox: RunningSandbox, market: SandboxMarket
) -> None:
    async with live_session(sandbox) as session:
        client = session.venue._client  # type: ignore[attr-defined]
        order = await prepared(session, market)
        posts = 0

        def refuse(_: web.Request) -> dict[str, Any]:
            nonlocal posts
            posts += 1
            return {"_status": 401, "error": "Unauthorized/Invalid api key"}

        # Just signed in: a 401 is final.
        async with venue_answering(sandbox, session, refuse):
            with pytest.raises(Refused) as refused:
                await session.venue.send(order)
        assert (refused.value.code, posts) == ("CREDENTIALS_REFUSED", 1)
        # Signed in long ago with what the venue does not know any more: renewed, and the order placed.
        client._credentials = type(client._credentials)("unknown", b"x", "eA==", "y")
        client._signed_in_at = SystemClock().now() - timedelta(hours=1)
        assert await session.venue.open_orders() == []
        assert (await session.venue.send(order)).order_hash == order.order_hash
        assert session.signer.auths_signed == 2


def test_credentials_do_not_show_themselves() -> None:
    shown = repr(Credentials("canary", b"canary", "canary", "canary"))
    assert "canary" not in shown
