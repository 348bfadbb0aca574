"""No secret leaves its place: fresh random secrets are used everywhere, then looked for where they must not be."""

import logging
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.urls import reverse
from django.views.debug import ExceptionReporter, get_exception_reporter_filter

from accounts.adapters import MFAAdapter
from accounts.models import TradingAccount, TradingKey, User
from accounts.tests import factories
from polyhub.lib import crypto
from polyhub.lib.masking import MaskingFormatter
from polyhub.logs import LOGGING
from trading.services import accounts as opening

pytestmark = pytest.mark.django_db


class Canaries:
    """Secrets made for this run, and everything they were seen in."""

    def __init__(self) -> None:
        self.private_key = secrets.token_hex(32)
        self.password = f"Canary {secrets.token_urlsafe(18)}"
        self.known: dict[str, str] = {"private key": self.private_key, "password": self.password}

    def assert_absent(self, text: str, *, where: str, allow: str = "") -> None:
        for name, canary in self.known.items():
            if name != allow:
                assert canary not in text, f"{name} in {where}"
        raw = bytes.fromhex(self.private_key)
        assert repr(raw)[2:-1] not in text, f"raw private key in {where}"
        assert str(int(self.private_key, 16)) not in text, f"private key as a number in {where}"


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def everything_logged() -> Iterator[list[str]]:
    """Every logger at DEBUG but those our settings pin, as the handlers of production write it."""
    lines: list[str] = []
    formatter = MaskingFormatter("%(levelname)s %(name)s: %(message)s")

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    root, handler = logging.getLogger(), Keep(level=logging.DEBUG)
    pinned = tuple(name for name, given in LOGGING["loggers"].items() if "level" in given)
    names = ("", *(name for name in logging.root.manager.loggerDict if not name.startswith(pinned)))
    levels = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def alice(client: Client, canaries: Canaries, tmp_path: Path, settings: Any, everything_logged: list[str]) -> User:
    """Signed in, with a second factor, a live account, a token, and a few failures behind her."""
    settings.SIGNER_PUBLIC_KEY_FILE = tmp_path / "public.key"
    factories.vault_key(tmp_path)
    user = factories.user("alice", is_staff=True, is_superuser=True)
    user.set_password(canaries.password)
    user.save()
    client.post(reverse("account_login"), {"login": user.email, "password": canaries.password})
    client.post(reverse("account_reauthenticate"), {"password": canaries.password})
    secret = str(client.get(reverse("mfa_activate_totp")).context["form"].secret)
    code = format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))
    client.post(reverse("mfa_activate_totp"), {"code": str(code)})
    canaries.known["second factor"] = secret
    for broken in (canaries.private_key[:-1] + "g", canaries.private_key + "00"):
        client.post(reverse("account-import"), import_form(broken))
    assert client.post(reverse("account-import"), import_form(canaries.private_key)).status_code == 302
    token = client.post(reverse("token-create"), {"name": "bot", "scopes": ["read:portfolio"], "days": "9"})
    canaries.known["token"] = str(token.context["created"])
    return user


def import_form(private_key: str) -> dict[str, str]:
    return {"name": "Live", "private_key": private_key, "signature_type": "0", "trading_address": ""}


def test_logs_at_debug_hold_no_secret(
    client: Client, alice: User, canaries: Canaries, everything_logged: list[str]
) -> None:
    client.get("/api/v1/accounts/", headers={"authorization": f"Token {canaries.known['token']}"})
    client.post(reverse("account_login"), {"login": alice.email, "password": canaries.password + "x"})
    assert everything_logged
    # SQL at DEBUG shows digests and ciphertext, never what they are of.
    canaries.assert_absent("\n".join(everything_logged), where="the logs")


def test_pages_hold_no_secret(client: Client, alice: User, canaries: Canaries) -> None:
    account = TradingAccount.objects.get()
    pages = [
        reverse("accounts"),
        reverse("tokens"),
        reverse("account-import"),
        reverse("account-policy", args=[account.id]),
        reverse("account-key", args=[account.id]),
        reverse("account-test", args=[account.id]),
        reverse("mfa_index"),
        reverse("usersessions_list"),
        "/api/v1/accounts/",
        "/api/v1/tokens/",
        "/no-such-page/",
        f"/accounts/{account.user_id}/nothing/",
    ]
    for address in pages:
        canaries.assert_absent(client.get(address).content.decode(errors="replace"), where=address)


def test_the_admin_site_holds_no_secret_and_no_keys(client: Client, alice: User, canaries: Canaries) -> None:
    names = {model.__name__ for model in admin.site._registry}
    assert not names & {"TradingKey", "Authenticator", "Session", "Schedule", "OrmQ", "Success", "Failure"}
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        page = client.get(reverse(f"{base}_changelist"))
        assert page.status_code == 200, base
        canaries.assert_absent(page.content.decode(), where=base)
        for row in model._default_manager.all()[:2]:
            detail = client.get(reverse(f"{base}_change", args=[row.pk]))
            canaries.assert_absent(detail.content.decode(), where=f"{base} {row.pk}")
            assert bytes(TradingKey.objects.get().sealed).hex() not in detail.content.decode()


def test_no_table_holds_a_secret_in_clear(client: Client, alice: User, canaries: Canaries) -> None:
    client.post(reverse("account-test", args=[TradingAccount.objects.get().id]))
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            rows = repr([[bytes(x) if isinstance(x, memoryview) else x for x in row] for row in cursor.fetchall()])
            canaries.assert_absent(rows, where=f"table {table}")
    for session in Session.objects.all():
        canaries.assert_absent(str(session.get_decoded()), where="a session")
    assert (
        MFAAdapter().decrypt(Authenticator.objects.get(type="totp").data["secret"]) == canaries.known["second factor"]
    )


def test_a_fault_in_the_middle_of_an_import_shows_no_key(
    client: Client, alice: User, canaries: Canaries, everything_logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(crypto, "seal", broken)
    client.raise_request_exception = False
    canaries.known["other key"] = secrets.token_hex(32)
    answer = client.post(reverse("account-import"), {**import_form(canaries.known["other key"]), "name": "Second"})
    assert answer.status_code == 500
    canaries.assert_absent(answer.content.decode(), where="the error page")
    assert any("on fire" in line for line in everything_logged)
    canaries.assert_absent("\n".join(everything_logged), where="the log of the fault")


@pytest.mark.parametrize("as_html", [True, False])
def test_an_error_report_shows_no_key(
    alice: User, canaries: Canaries, as_html: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crypto, "seal", lambda *args, **kwargs: 1 / 0)
    request: HttpRequest = RequestFactory().post("/accounts/import/", import_form(canaries.private_key))
    request.META["HTTP_AUTHORIZATION"] = f"Token {canaries.known['token']}"
    try:
        opening.open_live_account(
            user=alice,
            name="Second",
            private_key="0x" + canaries.private_key[:-2] + "11",
            signature_type=0,
            trading_address="",
            now=factories.NOW,
        )
    except ZeroDivisionError:
        reporter = ExceptionReporter(request, *sys.exc_info())
    canaries.known["other key"] = canaries.private_key[:-2] + "11"
    text = reporter.get_traceback_html() if as_html else reporter.get_traceback_text()
    assert "ZeroDivisionError" in text
    canaries.assert_absent(text, where="the report")


def test_an_error_report_hides_addresses_with_passwords(settings: Any) -> None:
    marker = secrets.token_hex(8)
    settings.DATABASE_URL = f"postgresql://u:{marker}@db/x"
    settings.REDIS_URL = f"redis://:{marker}@r"
    settings.SECRET_KEY = settings.FIELD_SECRET = marker
    shown = get_exception_reporter_filter(None).get_safe_settings()
    assert marker not in str(shown)


def test_the_cache_holds_no_secret(client: Client, alice: User, canaries: Canaries) -> None:
    cache.set("probe", 1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key, value FROM lib_cache")
        canaries.assert_absent(str(cursor.fetchall()), where="the cache")


def test_a_sealed_key_has_no_telling_repr(alice: User, canaries: Canaries) -> None:
    key = TradingKey.objects.get()
    for text in (repr(key), str(key), repr(key.account), repr(crypto.new_key_pair())):
        canaries.assert_absent(text, where=text)
