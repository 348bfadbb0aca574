"""Every route of the site x anonymous, bob, alice. The rows are written by hand: a route without one fails."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from polyhub import asgi
from polyhub.tests import world as worlds
from polyhub.tests.world import LEADER, World

pytestmark = pytest.mark.django_db

Values = Callable[[World], Mapping[str, Any]]


class Who(Enum):
    """PUBLIC: everybody. SIGNED_IN: every person, each their own. OWNER: whose row it is, nobody else."""

    PUBLIC = auto()
    SIGNED_IN = auto()
    OWNER = auto()


def nothing(world: World) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Row:
    who: Who
    method: str = "GET"
    path: Values = nothing
    data: Values = nothing
    # What alice is answered; never an error.
    alice: frozenset[int] = field(default_factory=lambda: frozenset({200}))


def to(*codes: int) -> frozenset[int]:
    return frozenset(codes)


def order(world: World) -> Mapping[str, Any]:
    return {"order_id": world.order.pk}


def rule(world: World) -> Mapping[str, Any]:
    return {"rule_id": world.rule.pk}


def account(world: World) -> Mapping[str, Any]:
    return {"account_id": world.account.pk}


def condition(world: World) -> Mapping[str, Any]:
    return {"condition_id": world.token.market.condition_id}


def leader(world: World) -> Mapping[str, Any]:
    return {"address": LEADER}


def pk_of(name: str) -> Values:
    return lambda world: {"pk": getattr(world, name).pk}


P, S, O = Who.PUBLIC, Who.SIGNED_IN, Who.OWNER  # noqa: E741 - a table is read by its letters

ROWS: dict[str, Row] = {
    "landing": Row(P, alice=to(302)),
    "health": Row(P),
    "ready": Row(P, alice=to(200, 503)),
    "system-strip": Row(S),
    "cockpit": Row(S),
    "equity": Row(S),
    "leaders": Row(S),
    "wallet": Row(S, path=leader),
    "follow": Row(S, path=leader),
    "follow-preview": Row(S, "POST", path=leader),
    "copy-desk": Row(S),
    "activity": Row(S),
    "rule": Row(O, path=rule),
    "rule-move": Row(O, "POST", path=lambda world: {**rule(world), "action": "pause"}, alice=to(302)),
    "orders": Row(S),
    "order": Row(O, path=order),
    "order-cancel": Row(O, "POST", path=order, alice=to(409)),
    "positions": Row(S),
    "markets": Row(S),
    "market": Row(S, path=condition),
    "market-candles": Row(S, path=condition),
    "ticket": Row(S, "POST", path=condition, alice=to(400)),
    "data-status": Row(S),
    "accounts": Row(S),
    "account-create": Row(S),
    "account-import": Row(S, alice=to(200, 302)),
    "account-primary": Row(O, "POST", path=account, alice=to(302)),
    "account-status": Row(O, "POST", path=account, data=lambda world: {"status": "PAUSED"}, alice=to(302)),
    "account-reset": Row(O, "POST", path=account, alice=to(200, 302, 400, 409)),
    "account-key": Row(O, "POST", path=account, alice=to(302)),
    "account-policy": Row(O, "POST", path=account, alice=to(200, 302, 400)),
    "account-test": Row(O, "POST", path=account, alice=to(200, 302, 400, 409)),
    "account-doctor": Row(O, path=account),
    "account-session": Row(S, alice=to(200, 302)),
    "account-keys": Row(O, "POST", path=account, alice=to(302)),
    "account-session-import": Row(O, path=account, alice=to(200, 302)),
    "custody": Row(S),
    "mode-switch": Row(S, "POST", alice=to(302)),
    "tokens": Row(S),
    "token-create": Row(S, alice=to(302)),
    "token-revoke": Row(O, "POST", path=lambda world: {"token_id": world.api_token.id}, alice=to(302)),
    # REST
    "api-schema": Row(P),
    "api-docs": Row(P),
    "api-orders-list": Row(S),
    "api-orders-detail": Row(O, path=pk_of("order")),
    "api-orders-cancel": Row(O, "POST", path=pk_of("order"), alice=to(409)),
    "api-positions-list": Row(S),
    "api-rules-list": Row(S),
    "api-rules-detail": Row(O, path=pk_of("rule")),
    "api-rules-pause": Row(O, "POST", path=pk_of("rule")),
    "api-rules-resume": Row(O, "POST", path=pk_of("rule")),
    "api-rules-stop": Row(O, "POST", path=pk_of("rule")),
    "api-decisions-list": Row(S),
    "api-decisions-detail": Row(O, path=pk_of("decision")),
    "api-accounts-list": Row(S),
    "api-accounts-detail": Row(O, path=pk_of("account")),
    "api-tokens-list": Row(S),
    "api-tokens-detail": Row(O, "DELETE", path=lambda world: {"id": world.api_token.id}, alice=to(204)),
    "api-leaders-list": Row(S),
    "api-leaders-detail": Row(S, path=leader),
    "api-leaders-trades": Row(S, path=leader),
    "api-markets-list": Row(S),
    "api-markets-detail": Row(S, path=condition),
    "api-markets-book": Row(S, path=condition),
    "api-markets-trades": Row(S, path=condition),
    "api-markets-candles": Row(S, path=condition),
    "api-data-metrics": Row(S),
    # Signing in and a person's own second factor; these take no id of anybody.
    "account_login": Row(P, alice=to(302)),
    "account_signup": Row(P, alice=to(302)),
    "account_logout": Row(P, alice=to(200, 302)),
    "account_inactive": Row(P),
    "account_email_verification_sent": Row(P, alice=to(200, 302)),
    "account_confirm_email": Row(P, path=lambda world: {"key": "MQ:x:y"}),
    "account_confirm_login_code": Row(P, alice=to(200, 302)),
    "account_reset_password": Row(P, alice=to(200, 302)),
    "account_reset_password_done": Row(P, alice=to(200, 302)),
    "account_reset_password_from_key": Row(P, path=lambda world: {"uidb36": "1", "key": "x-y"}, alice=to(200, 302)),
    "account_reset_password_from_key_done": Row(P, alice=to(200, 302)),
    "account_reauthenticate": Row(S, alice=to(200, 302)),
    "account_email": Row(S),
    "account_change_password": Row(S, alice=to(200, 302)),
    "account_set_password": Row(S, alice=to(200, 302)),
    "mfa_index": Row(S),
    "mfa_authenticate": Row(P, alice=to(302)),
    "mfa_reauthenticate": Row(S, alice=to(200, 302)),
    "mfa_activate_totp": Row(S, alice=to(200, 302)),
    "mfa_deactivate_totp": Row(S, alice=to(200, 302, 404)),
    "mfa_view_recovery_codes": Row(S, alice=to(200, 302, 404)),
    "mfa_generate_recovery_codes": Row(S, alice=to(200, 302, 403, 404)),
    "mfa_download_recovery_codes": Row(S, alice=to(200, 302, 404)),
    "usersessions_list": Row(S),
}

# Other methods of routes above that change something, and whose they are.
CHANGES: list[tuple[str, str, Values]] = [
    ("rule", "POST", rule),
    ("api-rules-detail", "PUT", pk_of("rule")),
    ("api-rules-detail", "DELETE", pk_of("rule")),
]

# The rows staff may look at. Everything else about the admin site follows from being staff.
ADMIN_TABLES = {
    "accounts.user",
    "accounts.tradingaccount",
    "accounts.apitoken",
    "auth.group",
    "copytrade.copydecision",
    "copytrade.copyrule",
    "lib.service",
    "markets.leadertrade",
    "markets.market",
    "markets.watchedwallet",
    "scanner.wallet",
    "trading.balance",
    "trading.engine",
    "trading.fill",
    "trading.order",
    "trading.orderevent",
    "trading.position",
}
SOCKETS = {"ws", "ws-markets"}


@pytest.fixture
def world() -> World:
    cache.clear()
    return worlds.build()


def routes(resolver: URLResolver | None = None, inside: str = "") -> Iterator[tuple[str, str]]:
    """(name, pattern) of every route; those of the admin site are named admin:..."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from routes(entry, f"{inside}{entry.namespace}:" if entry.namespace else inside)
        elif isinstance(entry, URLPattern):
            yield f"{inside}{entry.name}", str(entry.pattern)


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    named = {name for name, _ in routes() if not name.startswith("admin:")}
    assert named == set(ROWS)


def test_every_socket_has_its_own_test() -> None:
    """What bob hears is tested in test_ws; ws-markets tells everybody the same and is tested in test_ws_markets."""
    assert {route.name for route in asgi.socket_routes} == SOCKETS


def test_every_table_in_the_admin_site_has_a_row() -> None:
    assert {model._meta.label_lower for model in admin.site._registry} == ADMIN_TABLES


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_route_answers_whose_it_is(name: str, world: World) -> None:
    row = ROWS[name]
    address = reverse(name, kwargs=dict(row.path(world)))
    refuses_anonymous(name, row.who, address, row.method, world)
    by_bob = ask(world, world.bob, row.method, address, row.data(world))
    assert by_bob.status_code == 404 if row.who is Who.OWNER else by_bob.status_code < 500 or name == "ready"
    holds_nothing_of_alice(by_bob, world)
    by_alice = ask(world, world.alice, row.method, address, row.data(world))
    assert by_alice.status_code in row.alice, by_alice.content[:500]


@pytest.mark.parametrize(("name", "method", "path"), CHANGES)
def test_bob_changes_nothing_of_alice(name: str, method: str, path: Values, world: World) -> None:
    address = reverse(name, kwargs=dict(path(world)))
    refuses_anonymous(name, Who.OWNER, address, method, world)
    assert ask(world, world.bob, method, address, {}).status_code == 404


@pytest.mark.parametrize("table", sorted(ADMIN_TABLES))
def test_the_admin_site_is_for_staff(table: str, world: World) -> None:
    address = reverse(f"admin:{table.replace('.', '_')}_changelist")
    for user in (None, world.bob, world.alice):
        answer = ask(world, user, "GET", address, {})
        assert answer.status_code in {302, 403}
        holds_nothing_of_alice(answer, world)
    assert ask(world, world.staff, "GET", address, {}).status_code == 200


@pytest.mark.parametrize("name", ["index", "password_change", "jsi18n", "autocomplete"])
def test_the_other_pages_of_the_admin_site_are_for_staff_too(name: str, world: World) -> None:
    for user in (None, world.bob):
        assert ask(world, user, "GET", reverse(f"admin:{name}"), {}).status_code in {302, 403}


def test_staff_cannot_change_money_leases_or_rules(world: World) -> None:
    client = Client()
    client.force_login(world.staff)
    tables = ("lib_service", "accounts_tradingaccount", "copytrade_copyrule", "copytrade_copydecision", "trading_order")
    for label in tables:
        assert client.get(reverse(f"admin:{label}_add")).status_code == 403
    address = reverse("admin:accounts_tradingaccount_change", args=[world.account.pk])
    order_page = client.get(reverse("admin:trading_order_change", args=[world.order.pk]))
    assert order_page.status_code == 200
    assert "Wire" not in order_page.content.decode()
    assert client.get(address).status_code == 200
    assert client.post(address, {"name": "Taken over"}).status_code == 403
    assert client.post(reverse("admin:accounts_tradingaccount_delete", args=[world.account.pk])).status_code == 403


def test_an_id_that_is_nobodys_answers_as_one_that_is_somebody_elses(world: World) -> None:
    foreign = ask(world, world.bob, "GET", reverse("api-rules-detail", args=[world.rule.pk]), {})
    missing = ask(world, world.bob, "GET", reverse("api-rules-detail", args=[UUID(int=0)]), {})
    assert (foreign.status_code, foreign.content) == (missing.status_code, missing.content)


def ask(world: World, user: Any, method: str, address: str, data: Mapping[str, Any]) -> Any:
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    if address.startswith("/api/") or method in {"PUT", "DELETE"}:
        return client.generic(method, address, data="{}", content_type="application/json")
    return client.generic(method, address) if method != "POST" else client.post(address, dict(data))


def refuses_anonymous(name: str, who: Who, address: str, method: str, world: World) -> None:
    answer = ask(world, None, method, address, {})
    holds_nothing_of_alice(answer, world)
    if who is Who.PUBLIC:
        assert answer.status_code < 500 or name == "ready"
    elif address.startswith("/api/"):
        assert answer.status_code == 401
    else:
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(reverse("account_login"))


def holds_nothing_of_alice(answer: Any, world: World) -> None:
    text = answer.content.decode(errors="replace") + str(answer.headers)
    # The address asked for may be named: it is what the asker wrote.
    found = [secret for secret in world.secrets if secret in text.replace(answer.request["PATH_INFO"], "")]
    assert not found
