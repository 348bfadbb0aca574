"""The market-data socket: the newest whole book, every print once, and nothing without a sign-in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.fixtures import Settings

from accounts.models import User
from accounts.services import tokens
from markets import consumers, live
from markets.models import Interest, Token
from markets.services import history, interest
from markets.services.history import TradeTick
from markets.services.interest import ShownBook
from markets.tests.factories import make_token
from polyhub import asgi
from polyhub.lib.clock import SystemClock
from polyhub.origin import SameOrigin

pytestmark = pytest.mark.django_db(transaction=True)
in_db = database_sync_to_async


@pytest.fixture(autouse=True)
def here(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]


@pytest.fixture
def token(transactional_db: None) -> Token:
    return make_token()


@pytest.fixture
def alice(transactional_db: None) -> User:
    return User.objects.create(email="alice@example.com")


@asynccontextmanager
async def socket(user: User | None = None) -> AsyncIterator[WebsocketCommunicator]:
    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
    if user is not None:
        client = Client()
        await in_db(client.force_login)(user)
        name = django_settings.SESSION_COOKIE_NAME
        headers.append((b"cookie", f"{name}={client.cookies[name].value}".encode()))
    application = SameOrigin(AuthMiddlewareStack(URLRouter(asgi.socket_routes)))
    communicator = WebsocketCommunicator(application, "/ws/markets/", headers=headers)
    connected, _ = await communicator.connect(timeout=20)
    assert connected
    try:
        yield communicator
    finally:
        await communicator.disconnect(timeout=20)


async def hear(communicator: WebsocketCommunicator, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = await communicator.receive_json_from(timeout=20)
            if message["type"] == kind:
                return message


async def subscribe(communicator: WebsocketCommunicator, *token_ids: str, channels: tuple[str, ...]) -> dict[str, Any]:
    await communicator.send_json_to({"type": "subscribe", "tokens": [*token_ids], "channels": [*channels]})
    return await hear(communicator, "subscribed")


def show(token: Token, bid: str, doubt: str = "") -> None:
    interest.publish(books=[ShownBook(token.pk, [(bid, "10")], [], doubt=doubt)], now=SystemClock().now())


def prints(token: Token, *prices: int) -> None:
    for price in prices:
        now = SystemClock().now()
        history.record(quotes=[], trades=[TradeTick(token.pk, now, now, True, price, 10**6)])
    interest.announce_trades(tokens=[token.pk])


async def test_a_subscriber_gets_the_book_and_then_its_changes(alice: User, token: Token) -> None:
    await in_db(show)(token, "0.40")
    async with socket(alice) as client:
        told = await subscribe(client, token.token_id, "404", channels=("orderbook",))
        assert (told["tokens"], told["unknown"]) == ([token.token_id], ["404"])
        first = await hear(client, "orderbook")
        assert (first["bids"], first["trusted"]) == ([["0.40", "10"]], True)
        await in_db(show)(token, "0.41", "FEED_DOWN")
        # Connecting the listener tells everything once more.
        while (book := await hear(client, "orderbook"))["bids"] != [["0.41", "10"]]:
            continue
        assert (book["trusted"], book["doubt"]) == (False, "FEED_DOWN")
    assert await in_db(Interest.objects.filter(token=token).exists)()


async def test_a_slow_client_finds_the_newest_book_not_a_queue_of_old_ones(
    alice: User, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between two messages is made long, as a client that does not read makes it."""
    await in_db(show)(token, "0.10")
    async with socket(alice) as client:
        await subscribe(client, token.token_id, channels=("orderbook",))
        await hear(client, "orderbook")
        monkeypatch.setattr(consumers, "PAUSE_S", 0.5)
        for cents in range(11, 60):
            await in_db(show)(token, f"0.{cents}")
        heard: list[str] = []
        while not heard or heard[-1] != "0.59":
            heard.append((await hear(client, "orderbook"))["bids"][0][0])
    assert heard == sorted(heard)
    assert len(heard) < 20, "49 changes were told in fewer messages"


async def test_each_print_is_told_once_and_in_order(alice: User, token: Token) -> None:
    await in_db(prints)(token, 3900)
    async with socket(alice) as client:
        await subscribe(client, token.token_id, channels=("trades",))
        await in_db(prints)(token, 4000, 4100)
        await in_db(prints)(token, 4200)
        heard: list[str] = []
        while len(heard) < 3:
            message = await hear(client, "trades")
            assert message["missed"] == 0
            heard += [one["price"] for one in message["trades"]]
    assert heard == ["0.4000", "0.4100", "0.4200"]


async def test_clients_that_come_together_hear_no_print_twice(alice: User, token: Token) -> None:
    await in_db(prints)(token, 3900, 3950)
    market = live.here()
    await asyncio.gather(*(market.load([token.pk]) for _ in range(5)))
    assert [one["price"] for _, one in market.prints[token.pk]] == [Decimal("0.39"), Decimal("0.395")]
    assert market.number(token.pk) == 2


async def test_nobody_listens_without_a_sign_in(token: Token) -> None:
    async with socket() as client:
        await client.send_json_to({"type": "subscribe", "tokens": [token.token_id]})
        assert (await hear(client, "error"))["code"] == "NOT_SIGNED_IN"
        assert (await client.receive_output(timeout=20))["code"] == consumers.SIGNED_OUT


@pytest.mark.parametrize(("scope", "works"), [("read:market", True), ("read:portfolio", False)])
async def test_a_program_signs_in_with_a_token_for_market_data(
    alice: User, token: Token, scope: str, works: bool
) -> None:
    def make() -> str:
        now = SystemClock().now()
        return tokens.create_token(user=alice, name="t", scopes=[scope], days=1, now=now)[1]

    text = await in_db(make)()
    async with socket() as client:
        await client.send_json_to({"type": "auth", "token": text})
        if works:
            assert (await subscribe(client, token.token_id, channels=("trades",)))["tokens"] == [token.token_id]
        else:
            assert (await hear(client, "error"))["code"] == "NOT_SIGNED_IN"


async def test_more_tokens_than_a_page_can_show_are_refused(alice: User) -> None:
    async with socket(alice) as client:
        await client.send_json_to({"type": "subscribe", "tokens": [str(number) for number in range(51)]})
        assert (await hear(client, "error"))["code"] == "TOO_MANY"


@pytest.mark.parametrize("text", ["[]", "nonsense", '{"type": "hello"}', '{"type": "subscribe", "x": "' + "y" * 20_000])
async def test_what_is_not_understood_ends_the_connection(alice: User, text: str) -> None:
    async with socket(alice) as client:
        await client.send_to(text_data=text)
        assert (await hear(client, "error"))["code"] == "BAD_MESSAGE"


def test_the_api_tells_the_same(alice: User, token: Token) -> None:
    client = Client()
    client.force_login(alice)
    where = {"condition_id": token.market.condition_id}
    book = client.get(reverse("api-markets-book", kwargs=where)).json()
    assert (book["doubt"], book["trusted"], book["bids"]) == ("NO_BOOK", False, [])
    show(token, "0.40")
    prints(token, 4000, 4100)
    book = client.get(reverse("api-markets-book", kwargs=where)).json()
    assert (book["token"], book["trusted"], book["bids"]) == (token.token_id, True, [["0.40", "10"]])
    trades = client.get(reverse("api-markets-trades", kwargs=where)).json()
    assert [(one["price"], one["side"]) for one in trades] == [("0.4100", "BUY"), ("0.4000", "BUY")]
    candles = client.get(reverse("api-markets-candles", kwargs=where), {"span_s": 60}).json()
    assert candles["results"][0]["close"] == "0.41000"
    assert client.get(reverse("api-markets-candles", kwargs=where), {"span_s": 7}).status_code == 400
    listed = client.get(reverse("api-markets-list"), {"search": "number"}).json()["results"]
    assert listed[0]["outcomes"][0]["token"] == token.token_id


def test_looking_again_and_again_writes_nothing_until_it_is_needed(token: Token) -> None:
    now = SystemClock().now()
    interest.look(token_ids=[token.pk], now=now)
    with CaptureQueriesContext(connection) as asked:
        interest.look(token_ids=[token.pk], now=now + timedelta(seconds=30))
    assert not [query for query in asked.captured_queries if "INSERT" in query["sql"] or "notify" in query["sql"]]
    interest.look(token_ids=[token.pk], now=now + timedelta(seconds=60))
    assert interest.looked_at(now=now + timedelta(seconds=149))


def test_interest_ends_by_itself(token: Token) -> None:
    now = SystemClock().now()
    interest.look(token_ids=[token.pk], now=now)
    assert interest.looked_at(now=now) == {token.token_id: token.pk}
    assert interest.looked_at(now=now + interest.KEPT + timedelta(seconds=1)) == {}


@pytest.mark.parametrize(
    "frame",
    ['{"type":"auth","token":"\\ud800"}', '{"type":"auth","token":"\\u0000"}', "[" * 3000, '{"type":"subscribe"}'],
)
async def test_a_strangers_frame_gets_an_answer_and_no_crash(frame: str) -> None:
    async with socket(None) as client:
        await client.send_to(text_data=frame)
        assert (await hear(client, "error"))["code"] in {"NOT_SIGNED_IN", "BAD_MESSAGE"}


@pytest.mark.parametrize("name", ["\\ud800", "\\u0000", "1\\u0000"])
async def test_what_cannot_be_a_tokens_number_is_nobodys(alice: User, token: Token, name: str) -> None:
    async with socket(alice) as client:
        frame = f'{{"type":"subscribe","tokens":["{name}","{token.token_id}"]}}'
        await client.send_to(text_data=frame)
        assert (await hear(client, "subscribed"))["tokens"] == [token.token_id]
