import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.layers import channel_layers
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import path
from pytest_django.fixtures import Settings

from accounts.models import User
from copytrade.models import CopyRule
from copytrade.services import rules
from polyhub import asgi
from polyhub.lib import events
from polyhub.lib.models import PushEvent
from polyhub.lib.push import Push, push
from polyhub.origin import SameOrigin, is_ours
from polyhub.tests import world as worlds
from polyhub.tests.world import NOW, World
from trading.consumers import MOST_MESSAGES, PLACES, TOO_MANY, HubConsumer, Places
from trading.tests.test_runner import database_away

pytestmark = pytest.mark.django_db(transaction=True)

ORIGIN = b"http://testserver"
POLL_S = 0.05
RECHECK_S = 0.2
NEVER_S = 3600.0


@pytest.fixture(autouse=True)
def layer(settings: Settings) -> None:
    """A layer of this process: what crosses processes is tested where it is used."""
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    channel_layers.backends.clear()


@pytest.fixture
def world(transactional_db: None) -> World:
    return worlds.build()


def application(*, poll_s: float = POLL_S, recheck_s: float = NEVER_S, places: Places = PLACES) -> Any:
    from channels.auth import AuthMiddlewareStack

    consumer = HubConsumer.as_asgi(parts=asgi.PARTS, poll_s=poll_s, recheck_s=recheck_s, places=places)
    return SameOrigin(AuthMiddlewareStack(URLRouter([path("ws/", consumer)])))


in_db: Callable[..., Callable[..., Awaitable[Any]]] = database_sync_to_async


async def cookie_of(user: User) -> bytes:
    client = Client()
    await in_db(client.force_login)(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()


@asynccontextmanager
async def socket(
    *, user: User | None = None, origin: bytes | None = ORIGIN, cookie: bytes | None = None, **how: Any
) -> AsyncIterator[WebsocketCommunicator]:
    headers = [(b"host", b"testserver")]
    if origin is not None:
        headers.append((b"origin", origin))
    if user is not None:
        cookie = await cookie_of(user)
    if cookie is not None:
        headers.append((b"cookie", cookie))
    communicator = WebsocketCommunicator(application(**how), "/ws/", headers=headers)
    connected, _ = await communicator.connect(timeout=20)
    assert connected
    awake = asyncio.create_task(_stay_awake())
    try:
        yield communicator
    finally:
        awake.cancel()
        await communicator.disconnect(timeout=20)


async def _stay_awake() -> None:
    """Hints come from another thread, and this layer does not wake a sleeping loop as a socket would."""
    while True:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.02)


async def hear(communicator: WebsocketCommunicator, kind: str) -> dict[str, Any]:
    """The next message of a kind."""
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = await communicator.receive_json_from(timeout=20)
            if message["type"] == kind:
                return message


async def snapshot(communicator: WebsocketCommunicator) -> dict[str, Any]:
    await communicator.send_json_to({"type": "hello", "after": None})
    return await hear(communicator, "snapshot")


async def tell(user_id: int, topic: str = "test.changed", **payload: Any) -> None:
    await in_db(push)(pushes=[Push(user_id, topic, payload)], now=NOW)


async def test_a_snapshot_holds_what_is_mine_and_nothing_of_alice(world: World) -> None:
    async with socket(user=world.alice) as mine:
        first = await snapshot(mine)
    assert [row["name"] for row in first["accounts"]] == [worlds.ACCOUNT_NAME]
    assert [row["shares"] for row in first["positions"]] == ["19.607800"]
    assert [row["code"] for row in first["decisions"]] == ["COPIED"]
    async with socket(user=world.bob) as others:
        foreign = await snapshot(others)
    assert foreign["positions"] == foreign["decisions"] == foreign["rules"] == foreign["orders"] == []
    assert not [secret for secret in world.secrets if secret in str(foreign)]


async def test_changes_follow_with_their_numbers(world: World) -> None:
    async with socket(user=world.alice) as mine:
        first = await snapshot(mine)
        await tell(world.alice.pk, n=1)
        await tell(world.alice.pk, n=2)
        heard = [await hear(mine, "event") for _ in range(2)]
    assert [event["seq"] for event in heard] == [first["seq"] + 1, first["seq"] + 2]
    assert [event["payload"] for event in heard] == [{"n": 1}, {"n": 2}]


async def test_the_hint_wakes_a_connection_that_would_look_much_later(world: World) -> None:
    async with socket(user=world.alice, poll_s=NEVER_S) as mine:
        await snapshot(mine)
        await tell(world.alice.pk, n=1)
        assert (await hear(mine, "event"))["payload"] == {"n": 1}


async def test_a_lost_hint_costs_one_poll(world: World) -> None:
    async with socket(user=world.alice) as mine:
        first = await snapshot(mine)

        def quietly() -> None:
            from polyhub.lib.models import PushStream

            PushEvent.objects.create(user_id=world.alice.pk, seq=first["seq"] + 1, topic="quiet", payload={}, at=NOW)
            PushStream.objects.filter(user_id=world.alice.pk).update(last_seq=first["seq"] + 1)

        await in_db(quietly)()
        assert (await hear(mine, "event"))["topic"] == "quiet"


async def test_bob_hears_nothing_of_alice(world: World) -> None:
    async with socket(user=world.bob) as others:
        await snapshot(others)
        await tell(world.alice.pk, secret="hers")
        await tell(world.bob.pk, own="his")
        assert (await hear(others, "event"))["payload"] == {"own": "his"}


async def test_a_client_that_was_away_resumes_by_number(world: World) -> None:
    async with socket(user=world.alice) as mine:
        seq = (await snapshot(mine))["seq"]
    await tell(world.alice.pk, n=1)
    async with socket(user=world.alice) as back:
        await back.send_json_to({"type": "hello", "after": seq})
        assert (await hear(back, "event"))["payload"] == {"n": 1}
        assert (await hear(back, "resumed"))["seq"] == seq + 1


@pytest.mark.parametrize("after", [10**9, -1, "7", True, 1.5])
async def test_a_number_that_is_not_one_of_ours_gets_a_snapshot(after: object, world: World) -> None:
    async with socket(user=world.alice) as mine:
        await mine.send_json_to({"type": "hello", "after": after})
        assert (await hear(mine, "snapshot"))["seq"] == await in_db(events.last_seq)(user_id=world.alice.pk)


async def test_who_missed_too_much_or_what_was_deleted_gets_a_snapshot(world: World) -> None:
    await tell(world.alice.pk, n=1)
    newest = await in_db(events.last_seq)(user_id=world.alice.pk)
    await in_db(PushEvent.objects.filter(user_id=world.alice.pk, seq__lt=newest).delete)()
    assert await in_db(events.after)(user_id=world.alice.pk, seq=0) is None
    assert await in_db(events.after)(user_id=world.alice.pk, seq=newest - 1)
    await in_db(lambda: push(pushes=[Push(world.alice.pk, "many", {})] * (events.MOST + 1), now=NOW))()
    assert await in_db(events.after)(user_id=world.alice.pk, seq=newest) is None


async def test_snapshot_and_changes_make_a_fresh_snapshot(world: World) -> None:
    def change() -> None:
        rules.pause_rule(rule=CopyRule.objects.get(pk=world.rule.pk), now=NOW)

    async with socket(user=world.alice) as mine:
        held = {row["rule"]: row for row in (await snapshot(mine))["rules"]}
        await in_db(change)()
        event = await hear(mine, "event")
        assert event["topic"] == "rule.changed"
        held[event["payload"]["rule"]] = event["payload"]
    async with socket(user=world.alice) as again:
        fresh = {row["rule"]: row for row in (await snapshot(again))["rules"]}
    assert held == fresh


async def test_another_site_cannot_connect_with_the_visitors_cookies(world: World) -> None:
    cookie = await cookie_of(world.alice)
    for origin in (b"https://evil.example", b"http://testserver:9999", b"null"):
        headers = [(b"host", b"testserver"), (b"origin", origin), (b"cookie", cookie)]
        communicator = WebsocketCommunicator(application(), "/ws/", headers=headers)
        connected, _ = await communicator.connect(timeout=20)
        assert not connected


async def test_a_cookie_without_an_origin_signs_nobody_in(world: World) -> None:
    async with socket(origin=None, cookie=await cookie_of(world.alice)) as program:
        await program.send_json_to({"type": "hello", "after": None})
        assert (await hear(program, "error"))["code"] == "NOT_SIGNED_IN"
        assert (await program.receive_output(timeout=20))["code"] == 4401


async def test_a_program_signs_in_with_its_token(world: World) -> None:
    async with socket(origin=None) as program:
        await program.send_json_to({"type": "auth", "token": world.api_token_text})
        assert [row["name"] for row in (await snapshot(program))["accounts"]] == [worlds.ACCOUNT_NAME]


@pytest.mark.parametrize("token", ["phub_wrong", None, 7])
async def test_a_wrong_token_ends_the_connection(token: object, world: World) -> None:
    async with socket(origin=None) as program:
        await program.send_json_to({"type": "auth", "token": token})
        assert (await hear(program, "error"))["code"] == "NOT_SIGNED_IN"


async def test_a_token_without_the_scope_hears_nothing(world: World) -> None:
    def narrow() -> None:
        world.api_token.scopes = ["read:market"]
        world.api_token.save(update_fields=["scopes"])

    await in_db(narrow)()
    async with socket(origin=None) as program:
        await program.send_json_to({"type": "auth", "token": world.api_token_text})
        assert (await hear(program, "error"))["code"] == "NOT_SIGNED_IN"


async def test_a_session_that_ended_ends_the_connection(world: World) -> None:
    def sign_out() -> None:
        from django.contrib.sessions.models import Session

        Session.objects.all().delete()

    async with socket(user=world.alice, recheck_s=RECHECK_S) as mine:
        await snapshot(mine)
        await in_db(sign_out)()
        assert (await hear(mine, "error"))["code"] == "NOT_SIGNED_IN"


async def test_a_revoked_token_ends_the_connection(world: World) -> None:
    async with socket(origin=None, recheck_s=RECHECK_S) as program:
        await program.send_json_to({"type": "auth", "token": world.api_token_text})
        await snapshot(program)
        await in_db(world.api_token.delete)()
        assert (await hear(program, "error"))["code"] == "NOT_SIGNED_IN"


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 4000, '{"type": 1}', '{"type": "hello", "pad": "' + "x" * 5000 + '"}']
)
async def test_nonsense_ends_the_connection(text: str, world: World) -> None:
    async with socket(user=world.alice) as mine:
        await mine.send_to(text_data=text)
        assert (await hear(mine, "error"))["code"] == "BAD_MESSAGE"


async def test_a_flood_ends_the_connection(world: World) -> None:
    async with socket(user=world.alice) as mine:
        for _ in range(MOST_MESSAGES + 1):
            await mine.send_json_to({"type": "hello", "after": None})
        async with asyncio.timeout(60):
            while (message := await mine.receive_output(timeout=60))["type"] != "websocket.close":
                continue
        assert message["code"] == TOO_MANY


async def test_one_user_has_so_many_connections_and_others_still_get_in(world: World) -> None:
    places = Places(of_user=2)
    cookie = await cookie_of(world.alice)
    async with socket(cookie=cookie, places=places) as first:
        await snapshot(first)
        async with socket(cookie=cookie, places=places) as second, socket(cookie=cookie, places=places) as third:
            await snapshot(second)
            assert (await hear(third, "error"))["code"] == "TOO_MANY_CONNECTIONS"
            assert (await third.receive_output(timeout=20))["code"] == TOO_MANY
            async with socket(user=world.bob, places=places) as others:
                await snapshot(others)
        async with socket(cookie=cookie, places=places) as again:
            await snapshot(again)
    assert not places._taken


async def test_a_token_opens_no_more_connections_than_its_user_may_have(world: World) -> None:
    places = Places(of_user=1, unknown=2)
    async with socket(user=world.alice, places=places) as page, socket(origin=None, places=places) as program:
        await snapshot(page)
        await program.send_json_to({"type": "auth", "token": world.api_token_text})
        assert (await hear(program, "error"))["code"] == "TOO_MANY_CONNECTIONS"
    async with socket(origin=None, places=places) as one, socket(origin=None, places=places) as two:
        async with socket(origin=None, places=places) as three:
            assert (await hear(three, "error"))["code"] == "TOO_MANY_CONNECTIONS"
        # Who signs in makes room for the next stranger.
        await one.send_json_to({"type": "auth", "token": world.api_token_text})
        await snapshot(one)
        async with socket(origin=None, places=places) as four:
            await four.send_json_to({"type": "hello", "after": None})
            assert (await hear(four, "error"))["code"] == "NOT_SIGNED_IN"
        assert await two.receive_nothing()
    assert not places._taken


@pytest.fixture
def own_connection(world: World) -> Iterator[None]:
    """An outage cuts the connection of the test's own thread too."""
    yield
    connection.close()


@pytest.mark.usefixtures("own_connection")
async def test_a_client_is_told_once_that_the_database_is_away_and_goes_on_after_it(world: World) -> None:
    async with socket(user=world.alice) as mine:
        seq = (await snapshot(mine))["seq"]
        with database_away():
            assert (await hear(mine, "error"))["code"] == "UNAVAILABLE"
            assert await mine.receive_nothing(timeout=POLL_S * 4)
        assert (await hear(mine, "resumed"))["seq"] == seq
        await tell(world.alice.pk, n=1)
        assert (await hear(mine, "event"))["payload"] == {"n": 1}


async def test_a_token_with_a_nul_is_refused_like_any_other(world: World) -> None:
    async with socket(origin=None) as program:
        await program.send_json_to({"type": "auth", "token": "phub_\0"})
        assert (await hear(program, "error"))["code"] == "NOT_SIGNED_IN"


def test_an_origin_is_ours_by_host_and_port(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["testserver", "[::1]"]
    assert is_ours("http://testserver:8000", host="testserver:8000")
    assert is_ours("http://[::1]:8000", host="[::1]:8000")
    assert not is_ours("http://testserver:8001", host="testserver:8000")
    assert not is_ours("http://rebound.example", host="rebound.example")
