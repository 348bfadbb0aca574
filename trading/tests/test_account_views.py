"""The pages of accounts: they work, they refuse, and bob finds nothing of alice's."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import OrmQ

from accounts.models import ApiToken, SigningPolicy, TradingAccount, TradingKey, User
from accounts.tests import factories
from accounts.tests.factories import NOW
from trading.services import accounts
from trading.services import connection as connection_checks

pytestmark = pytest.mark.django_db

KEY = "ab" * 32


@pytest.fixture
def alice() -> User:
    return factories.user("alice")


@pytest.fixture
def vault(tmp_path: Path, settings: Any) -> None:
    settings.SIGNER_PUBLIC_KEY_FILE = tmp_path / "public.key"
    factories.vault_key(tmp_path)


@pytest.fixture
def as_alice(alice: User, client: Client) -> Client:
    client.post(reverse("account_login"), {"login": alice.email, "password": factories.PASSWORD})
    return client


def confirm(client: Client) -> None:
    client.post(reverse("account_reauthenticate"), {"password": factories.PASSWORD})


def paper(user: User, name: str = "Paper") -> TradingAccount:
    return accounts.open_paper_account(user=user, name=name, start_usdc=Decimal(1000), now=NOW)


def live(user: User) -> TradingAccount:
    return accounts.open_live_account(
        user=user, name="Live", private_key=KEY, signature_type=0, trading_address="", now=NOW
    )


def live_form(**given: str) -> dict[str, str]:
    return {"name": "Live", "private_key": KEY, "signature_type": "0", "trading_address": "", **given}


def test_a_paper_account_is_opened_and_shown(as_alice: Client) -> None:
    assert b"No paper account yet" in as_alice.get(reverse("accounts")).content
    answer = as_alice.post(reverse("account-create"), {"name": "Practice", "start_usdc": "2500"}, follow=True)
    assert b"Practice is ready." in answer.content
    assert b"$2,500.00" in answer.content


def test_a_refusal_stands_beside_its_field(as_alice: Client) -> None:
    answer = as_alice.post(reverse("account-create"), {"name": "Practice", "start_usdc": "-5"})
    assert answer.status_code == 400
    assert b"in whole cents" in answer.content
    assert not TradingAccount.objects.exists()


def test_a_key_asks_for_the_password_first_and_keeps_nothing_posted(as_alice: Client, vault: None) -> None:
    assert "reauthenticate" in as_alice.get(reverse("account-import")).headers["Location"]
    answer = as_alice.post(reverse("account-import"), live_form())
    assert "reauthenticate" in answer.headers["Location"]
    assert not TradingAccount.objects.exists()
    assert all(KEY not in str(session.get_decoded()) for session in Session.objects.all())
    confirm(as_alice)
    assert as_alice.get(reverse("account-import")).status_code == 200
    answer = as_alice.post(reverse("account-import"), live_form(), follow=True)
    assert TradingKey.objects.count() == 1
    assert KEY not in answer.content.decode()


def test_a_refused_key_is_not_sent_back(as_alice: Client, vault: None) -> None:
    confirm(as_alice)
    answer = as_alice.post(reverse("account-import"), live_form(private_key=KEY[:-1]))
    assert answer.status_code == 400
    assert KEY[:-1] not in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]


def test_without_a_second_factor_real_money_keys_are_refused(as_alice: Client, vault: None, settings: Any) -> None:
    settings.REQUIRE_MFA_FOR_KEYS = True
    confirm(as_alice)
    assert as_alice.get(reverse("account-import")).status_code == 403
    assert as_alice.post(reverse("account-import"), live_form()).status_code == 403
    assert not TradingKey.objects.exists()


def test_a_key_is_brought_in_again_on_its_page(as_alice: Client, alice: User, vault: None) -> None:
    account = live(alice)
    address, first = reverse("account-key", args=[account.id]), TradingKey.objects.get()
    assert "reauthenticate" in as_alice.post(address, {"private_key": KEY}).headers["Location"]
    assert TradingKey.objects.get() == first
    confirm(as_alice)
    assert address in as_alice.get(reverse("accounts")).content.decode()
    assert as_alice.get(address).status_code == 200
    wrong = as_alice.post(address, {"private_key": "22" * 32})
    assert (wrong.status_code, TradingKey.objects.get()) == (400, first)
    assert b"key of another address" in wrong.content
    assert "no-store" in wrong.headers["Cache-Control"]
    answer = as_alice.post(address, {"private_key": KEY}, follow=True)
    assert answer.status_code == 200
    assert KEY not in answer.content.decode()
    fresh = TradingKey.objects.get()
    assert (fresh.account, fresh != first) == (account, True)
    assert as_alice.post(reverse("account-key", args=[paper(alice).id]), {"private_key": KEY}).status_code == 400


def test_pause_resume_and_stop(as_alice: Client, alice: User) -> None:
    account = paper(alice)
    for status in ("PAUSED", "ACTIVE", "STOPPED"):
        answer = as_alice.post(reverse("account-status", args=[account.id]), {"status": status})
        assert answer.status_code == 302
        account.refresh_from_db()
        assert account.status == status
    assert as_alice.post(reverse("account-status", args=[account.id]), {"status": "ACTIVE"}).status_code == 409
    assert as_alice.post(reverse("account-status", args=[account.id]), {"status": "BOGUS"}).status_code == 400
    assert as_alice.get(reverse("accounts")).status_code == 200


def test_begin_anew_keeps_the_old_account(as_alice: Client, alice: User) -> None:
    account = paper(alice)
    answer = as_alice.post(reverse("account-reset", args=[account.id]), follow=True)
    assert answer.status_code == 200
    assert TradingAccount.objects.filter(user=alice, name="Paper", status="ACTIVE").exists()
    assert TradingAccount.objects.count() == 2


def test_the_signing_limits_ask_for_the_password(as_alice: Client, alice: User, vault: None) -> None:
    address = reverse("account-policy", args=[live(alice).id])
    values = {"max_order_usdc": "50", "max_day_usdc": "100", "min_price": "0.05", "max_price": "0.95"}
    assert "reauthenticate" in as_alice.post(address, values).headers["Location"]
    assert SigningPolicy.objects.get().max_order_usdc == 500
    confirm(as_alice)
    assert as_alice.get(address).status_code == 200
    as_alice.post(address, values)
    assert SigningPolicy.objects.get().max_order_usdc == 50
    assert as_alice.post(address, {**values, "max_day_usdc": "10"}).status_code == 400
    assert as_alice.post(address, {**values, "min_price": "0"}).status_code == 400


def test_a_connection_test_goes_to_the_engines_with_the_id_alone(as_alice: Client, alice: User, vault: None) -> None:
    account = live(alice)
    answer = as_alice.post(reverse("account-test", args=[account.id]))
    assert b"An engine is looking" in answer.content
    (queued,) = OrmQ.objects.all()
    assert queued.key == "engines"
    assert queued.task["args"] == (str(account.id),)
    account.refresh_from_db()
    assert account.connection["state"] == "waiting"
    assert b"An engine is looking" in as_alice.get(reverse("account-test", args=[account.id])).content


def test_asking_without_end_puts_one_check_before_the_engines(as_alice: Client, alice: User, vault: None) -> None:
    account = live(alice)
    for asked in (account, account, paper(alice), account):
        assert as_alice.post(reverse("account-test", args=[asked.id])).status_code == 200
    assert OrmQ.objects.count() == 1
    connection_checks.store(account=account, found={"state": "checked", "checked_at": NOW.isoformat()}, now=NOW)
    as_alice.post(reverse("account-test", args=[account.id]))
    assert OrmQ.objects.count() == 2


def test_paper_or_live_is_remembered(as_alice: Client) -> None:
    as_alice.post(reverse("mode-switch"), {"mode": "live", "next": "/accounts/"})
    assert as_alice.session["mode"] == "live"
    answer = as_alice.post(reverse("mode-switch"), {"mode": "nonsense", "next": "//evil.example/"})
    assert as_alice.session["mode"] == "paper"
    assert answer.headers["Location"].startswith("/")
    assert not answer.headers["Location"].startswith("//")


def test_a_token_is_shown_once(as_alice: Client) -> None:
    form = {"name": "bot", "scopes": ["read:portfolio"], "days": "30"}
    assert "reauthenticate" in as_alice.post(reverse("token-create"), form).headers["Location"]
    confirm(as_alice)
    answer = as_alice.post(reverse("token-create"), form)
    text = answer.context["created"]
    assert text in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    page = as_alice.get(reverse("tokens")).content.decode()
    assert text not in page
    assert ApiToken.objects.get().token_key in page
    as_alice.post(reverse("token-revoke", args=[ApiToken.objects.get().id]))
    assert not ApiToken.objects.exists()


def test_a_token_without_scopes_is_refused_on_its_page(as_alice: Client) -> None:
    confirm(as_alice)
    assert as_alice.post(reverse("token-create"), {"name": "bot", "days": "30"}).status_code == 400
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    "name", ["account-status", "account-reset", "account-test", "account-primary", "account-policy", "account-key"]
)
def test_bob_gets_404_for_alices_account(as_alice: Client, vault: None, name: str) -> None:
    confirm(as_alice)
    account = live(factories.user("bob"))
    before = TradingAccount.objects.values().get(pk=account.pk)
    assert as_alice.post(reverse(name, args=[account.id]), {"status": "STOPPED"}).status_code == 404
    assert as_alice.get(reverse(name, args=[account.id])).status_code in {404, 405}
    assert TradingAccount.objects.values().get(pk=account.pk) == before
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize(
    "name", ["accounts", "account-create", "account-import", "tokens", "token-create", "mode-switch"]
)
def test_strangers_are_sent_to_the_door(client: Client, name: str) -> None:
    for answer in (client.get(reverse(name)), client.post(reverse(name))):
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(reverse("account_login"))


def test_the_list_asks_a_fixed_number_of_questions(
    as_alice: Client, alice: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(3):
        paper(alice, f"P{number}")
    as_alice.get(reverse("accounts"))
    with CaptureQueriesContext(connection) as few:
        as_alice.get(reverse("accounts"))
    for number in range(3, 9):
        paper(alice, f"P{number}")
    with django_assert_max_num_queries(len(few)):
        as_alice.get(reverse("accounts"))
