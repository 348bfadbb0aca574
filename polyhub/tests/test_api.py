from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.services import tokens
from accounts.tests.factories import PASSWORD
from copytrade.models import CopyRule
from polyhub.lib.clock import SystemClock
from polyhub.tests import world as worlds
from polyhub.tests.world import LEADER, World
from trading.models import Order

pytestmark = pytest.mark.django_db

RULE = {"sizing": "FIXED", "fixed_usdc": "5", "leader": "0x" + "cd" * 20}


@pytest.fixture(autouse=True)
def no_old_throttles() -> None:
    cache.clear()


@pytest.fixture
def world() -> World:
    return worlds.build()


class Api:
    """A program with a token."""

    def __init__(self, text: str) -> None:
        self._client, self._headers = Client(), {"Authorization": f"Token {text}"}

    def get(self, path: str) -> Any:
        return self._client.get(f"/api/v1/{path}", headers=self._headers)

    def send(self, method: str, path: str, body: object = None) -> Any:
        return self._client.generic(
            method, f"/api/v1/{path}", data=_json(body), content_type="application/json", headers=self._headers
        )


def _json(body: object) -> str:
    import json

    return "" if body is None else json.dumps(body)


@pytest.fixture
def api(world: World) -> Api:
    return Api(world.api_token_text)


def with_scopes(world: World, *scopes: str, days: int = 1) -> Api:
    _, text = tokens.create_token(
        user=world.alice, name="narrow", scopes=list(scopes), days=days, now=SystemClock().now()
    )
    return Api(text)


@pytest.mark.parametrize("path", ["orders/", "positions/", "copy/rules/", "copy/decisions/", "leaders/", "accounts/"])
def test_a_list_is_paged_and_holds_what_is_mine(path: str, api: Api) -> None:
    body = api.get(path).json()
    assert set(body) == {"count", "next", "previous", "results"}
    assert body["count"] == 1


def test_money_is_text_and_exact(api: Api) -> None:
    order = api.get("orders/").json()["results"][0]
    assert (order["price"], order["shares"]) == ("0.5100", "19.607800")
    position = api.get("positions/").json()["results"][0]
    assert position["value_usdc"] == "9.607822"


def test_an_order_tells_its_life(world: World, api: Api) -> None:
    order = api.get(f"orders/{world.order.pk}/").json()
    assert order["mode"] == "paper"
    assert [event["to_status"] for event in order["events"]] == ["PENDING"]


def test_the_same_client_order_id_twice_is_one_order(world: World, api: Api) -> None:
    asked = {
        "account": str(world.account.pk),
        "client_order_id": str(uuid4()),
        "token": world.token.token_id,
        "side": "BUY",
        "price": "0.40",
        "shares": "10",
    }
    first, again = api.send("POST", "orders/", asked), api.send("POST", "orders/", asked)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["status"] == "PENDING"
    assert Order.objects.filter(source="api").count() == 1


def test_an_order_our_limits_refuse_is_denied_with_its_code(world: World, api: Api) -> None:
    asked = {"account": str(world.account.pk), "token": world.token.token_id, "side": "BUY", "price": "0.5"}
    denied = api.send("POST", "orders/", {**asked, "shares": "1000"}).json()
    assert (denied["status"], denied["code"]) == ("DENIED", "ORDER_ABOVE_MAX")
    assert "above your maximum" in denied["reason"]
    off_tick = api.send("POST", "orders/", {**asked, "price": "0.505", "shares": "10"})
    assert (off_tick.status_code, off_tick.json()["code"]) == (400, "PRICE_OFF_TICK")


def test_the_client_order_id_of_another_tells_nothing_of_the_order(world: World) -> None:
    now = SystemClock().now()
    _, text = tokens.create_token(user=world.bob, name="b", scopes=["trade:execute"], days=1, now=now)
    account = world.bob.trading_accounts.get()
    asked = {
        "account": str(account.pk),
        "client_order_id": str(world.order.client_order_id),
        "token": world.token.token_id,
        "side": "BUY",
        "price": "0.40",
        "shares": "10",
    }
    answer = Api(text).send("POST", "orders/", asked)
    assert (answer.status_code, answer.json()["code"]) == (409, "CLIENT_ORDER_ID_TAKEN")
    assert "id" not in answer.json()


def test_nobody_orders_or_follows_with_the_account_of_another(world: World) -> None:
    now = SystemClock().now()
    _, text = tokens.create_token(user=world.bob, name="b", scopes=["trade:execute"], days=1, now=now)
    asked = {"account": str(world.account.pk), "token": world.token.token_id, "side": "BUY", "price": "0.4"}
    assert Api(text).send("POST", "orders/", {**asked, "shares": "10"}).status_code == 404
    assert Api(text).send("POST", "copy/rules/", {**RULE, "account": str(world.account.pk)}).status_code == 404


def test_a_rule_is_made_changed_paused_resumed_and_stopped(world: World, api: Api) -> None:
    made = api.send("POST", "copy/rules/", {**RULE, "account": str(world.account.pk)})
    assert made.status_code == 201
    path = f"copy/rules/{made.json()['id']}/"
    changed = api.send("PUT", path, {"sizing": "RATIO", "ratio": "0.25"})
    assert (changed.json()["ratio"], changed.json()["fixed_usdc"]) == ("0.250000", None)
    assert api.send("POST", f"{path}pause/").json()["status"] == "PAUSED"
    assert api.send("POST", f"{path}resume/").json()["status"] == "ACTIVE"
    assert api.send("DELETE", path).status_code == 204
    assert CopyRule.objects.get(pk=made.json()["id"]).status == "STOPPED"
    again = api.send("POST", f"{path}resume/")
    assert (again.status_code, again.json()["code"]) == (409, "RULE_STOPPED")


@pytest.mark.parametrize(
    ("change", "field"),
    [({"slippage": "9"}, "slippage"), ({"fixed_usdc": "-1"}, "fixed_usdc"), ({"leader": "0x12"}, "leader")],
)
def test_an_absurd_rule_names_its_field(change: dict[str, str], field: str, world: World, api: Api) -> None:
    answer = api.send("POST", "copy/rules/", {**RULE, "account": str(world.account.pk), **change})
    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_RULE"
    assert answer.json()["details"]["field"] == field


def test_decisions_are_told_in_words_and_filtered(api: Api) -> None:
    row = api.get("copy/decisions/?verdict=ORDERED").json()["results"][0]
    assert row["reason"].startswith("Ordered: 20 shares")
    assert row["numbers"]["best_ask"] == "0.5"
    assert api.get("copy/decisions/?verdict=SKIPPED").json()["count"] == 0
    assert api.get("copy/decisions/?mode=live").json()["count"] == 0


def test_leaders_and_their_trades_are_public_facts(api: Api) -> None:
    assert api.get(f"leaders/{LEADER}/").json()["name"] == "Leader ABAB"
    assert api.get(f"leaders/{LEADER}/trades/").json()["count"] == 2
    assert api.get("leaders/?order=luck").json()["code"] == "UNKNOWN_ORDER"


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("orders/?mode=gold", "INVALID", 400),
        ("orders/?account=me", "INVALID", 400),
        ("orders/999999/", "NOT_FOUND", 404),
        ("copy/rules/00000000-0000-0000-0000-000000000000/", "NOT_FOUND", 404),
        ("accounts/00000000-0000-0000-0000-000000000000/", "NOT_FOUND", 404),
        ("nothing/", "NOT_FOUND", 404),
        ("orders/?page=99", "NOT_FOUND", 404),
    ],
)
def test_every_error_has_one_format(path: str, code: str, status: int, api: Api) -> None:
    answer = api.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message", "details"}
    assert answer.json()["code"] == code


def test_json_nested_without_end_is_bad_json(world: World) -> None:
    headers = {"Authorization": f"Token {world.api_token_text}"}
    address, kind = "/api/v1/copy/rules/", "application/json"
    answer = Client().post(address, data="[" * 100_000, content_type=kind, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "PARSE_ERROR")


def test_a_missing_field_and_bad_json_have_the_same_format(api: Api) -> None:
    missing = api.send("POST", "copy/rules/", {}).json()
    assert (missing["code"], set(missing["details"])) == ("INVALID", {"sizing", "account", "leader"})
    assert api.send("POST", "orders/", None).json()["code"] == "INVALID"


@pytest.mark.parametrize(
    ("scope", "path", "allowed"),
    [
        ("read:market", "leaders/", True),
        ("read:market", "orders/", False),
        ("read:portfolio", "orders/", True),
        ("read:portfolio", "leaders/", False),
        ("trade:execute", "orders/", False),
    ],
)
def test_a_token_reads_what_its_scope_names(scope: str, path: str, allowed: bool, world: World) -> None:
    assert with_scopes(world, scope).get(path).status_code == (200 if allowed else 403)


def test_reading_is_not_trading(world: World) -> None:
    reader = with_scopes(world, "read:portfolio", "read:market")
    assert reader.send("POST", f"copy/rules/{world.rule.pk}/stop/").status_code == 403
    assert reader.send("POST", f"orders/{world.order.pk}/cancel/").status_code == 403
    assert CopyRule.objects.get(pk=world.rule.pk).status == "ACTIVE"


def test_no_token_reaches_tokens_and_a_person_does(world: World, api: Api) -> None:
    assert api.get("tokens/").status_code == 403
    assert api.send("POST", "tokens/", {"name": "x", "scopes": ["read:market"]}).status_code == 403
    client = Client()
    world.alice.set_password(PASSWORD)
    world.alice.save(update_fields=["password"])
    client.force_login(world.alice)
    asked = {"name": "x", "scopes": ["read:market"]}
    # A session alone, stolen perhaps, makes nothing that outlives it.
    early = client.post("/api/v1/tokens/", asked, content_type="application/json")
    assert (early.status_code, early.json()["code"]) == (403, "REAUTHENTICATION_NEEDED")
    client.post("/auth/reauthenticate/", {"password": PASSWORD})
    made = client.post("/api/v1/tokens/", asked, content_type="application/json")
    assert made.status_code == 201
    assert Api(made.json()["token"]).get("leaders/").status_code == 200
    listed = client.get("/api/v1/tokens/").json()["results"]
    assert all("token" not in row and "digest" not in row for row in listed)
    assert client.delete(f"/api/v1/tokens/{made.json()['id']}/").status_code == 204
    assert Api(made.json()["token"]).get("leaders/").status_code == 401


def test_an_expired_or_foreign_looking_token_is_401(world: World) -> None:
    world.api_token.expiry = SystemClock().now() - timedelta(seconds=1)
    world.api_token.save(update_fields=["expiry"])
    assert Api(world.api_token_text).get("orders/").status_code == 401
    assert Api("phub_nonsense").get("orders/").json()["code"] == "AUTHENTICATION_FAILED"
    assert Client().get("/api/v1/orders/").status_code == 401


def test_a_person_at_a_browser_needs_the_csrf_token_to_change_something(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.alice)
    answer = client.post(f"/api/v1/copy/rules/{world.rule.pk}/stop/")
    assert (answer.status_code, answer.json()["code"]) == (403, "PERMISSION_DENIED")


def test_the_schema_names_every_endpoint_and_the_docs_run_without_inline_script() -> None:
    schema = Client().get("/api/v1/schema/", headers={"Accept": "application/json"}).json()
    assert "/api/v1/copy/rules/{id}/pause/" in schema["paths"]
    assert "Problem" in schema["components"]["schemas"]
    assert "token" in schema["components"]["securitySchemes"]
    docs = Client().get("/api/v1/docs/")
    assert "script-src 'self'" in docs.headers["Content-Security-Policy"]
    assert "<script>" not in docs.content.decode()
