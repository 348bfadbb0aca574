"""Sign-up to second factor, through the pages."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.adapters import MFAAdapter
from accounts.models import ApiToken, User
from accounts.services import tokens
from accounts.tests import factories
from polyhub.lib import crypto

pytestmark = pytest.mark.django_db

NEW = {"email": "carol@example.com", "password1": factories.PASSWORD, "password2": factories.PASSWORD}


def code_for(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time())))))


def sign_in(client: Client, user: User) -> Any:
    return client.post(reverse("account_login"), {"login": user.email, "password": factories.PASSWORD})


def seed_of(user: User) -> str:
    row = Authenticator.objects.get(user=user, type="totp")
    return MFAAdapter().decrypt(row.data["secret"])


def activate(client: Client) -> str:
    page = client.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret
    answer = client.post(reverse("mfa_activate_totp"), {"code": code_for(secret)})
    assert answer.status_code == 302
    return str(secret)


def confirm_password(client: Client) -> None:
    client.post(reverse("account_reauthenticate"), {"password": factories.PASSWORD})


def test_sign_up_needs_the_letter_and_then_lets_in(client: Client) -> None:
    letter_sent = reverse("account_email_verification_sent")
    assert client.post(reverse("account_signup"), NEW).headers["Location"] == letter_sent
    too_early = client.post(reverse("account_login"), {"login": NEW["email"], "password": factories.PASSWORD})
    assert too_early.headers["Location"] == letter_sent
    link = re.search(r"http://testserver(\S+confirm-email\S+)", str(mail.outbox[0].body))
    assert link
    assert client.get(link[1]).status_code == 200
    client.post(link[1])
    answer = client.post(reverse("account_login"), {"login": "Carol@Example.com", "password": factories.PASSWORD})
    assert answer.status_code == 302
    assert client.session["_auth_user_id"]


def test_a_taken_address_is_not_told_to_whoever_signs_up(client: Client) -> None:
    factories.user("carol")
    answer = client.post(reverse("account_signup"), NEW)
    assert answer.status_code == 302
    assert User.objects.count() == 1


@pytest.mark.parametrize("password", ["short", "password123", "carol@example.com"])
def test_weak_passwords_are_refused(client: Client, password: str) -> None:
    answer = client.post(reverse("account_signup"), {**NEW, "password1": password, "password2": password})
    assert answer.status_code == 200
    assert not User.objects.exists()


def test_a_wrong_password_and_an_unknown_address_answer_alike(client: Client) -> None:
    alice = factories.user("alice")
    pages = [
        client.post(reverse("account_login"), {"login": email, "password": "wrong horse battery"})
        for email in (alice.email, "nobody@example.com")
    ]
    assert {page.status_code for page in pages} == {200}
    errors = [str(page.context["form"].errors) for page in pages]
    assert errors[0] == errors[1]


def test_guessing_is_limited_whatever_address_a_proxy_claims(client: Client) -> None:
    alice = factories.user("alice")
    for number in range(12):
        answer = client.post(
            reverse("account_login"),
            {"login": alice.email, "password": "wrong horse battery"},
            headers={"x-forwarded-for": f"10.0.0.{number}"},
        )
    assert "Too many" in str(answer.context["form"].errors)
    assert not sign_in(client, alice).context["user"].is_authenticated


def test_a_seed_is_encrypted_at_rest_and_opens_the_second_factor(client: Client) -> None:
    alice = factories.user("alice")
    sign_in(client, alice)
    confirm_password(client)
    secret = activate(client)
    stored = Authenticator.objects.get(user=alice, type="totp").data["secret"]
    assert secret not in stored
    assert seed_of(alice) == secret
    codes = Authenticator.objects.get(user=alice, type="recovery_codes").data
    assert codes["seed"].startswith("f1.")
    with pytest.raises(crypto.SealBroken):
        MFAAdapter().decrypt(secret)


def test_with_a_second_factor_a_password_alone_does_not_let_in(client: Client) -> None:
    alice = factories.user("alice")
    sign_in(client, alice)
    confirm_password(client)
    secret = activate(client)
    other = Client()
    assert sign_in(other, alice).url == reverse("mfa_authenticate")
    assert "_auth_user_id" not in other.session
    assert other.get(reverse("mfa_authenticate")).status_code == 200
    assert other.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    assert "_auth_user_id" not in other.session
    cache.clear()  # the code was used up by its activation
    assert other.post(reverse("mfa_authenticate"), {"code": code_for(secret)}).status_code == 302
    assert other.session["_auth_user_id"]


def test_a_code_works_once(client: Client) -> None:
    alice = factories.user("alice")
    sign_in(client, alice)
    confirm_password(client)
    secret = activate(client)
    code = code_for(secret)
    first, second = Client(), Client()
    for each in (first, second):
        sign_in(each, alice)
    first.post(reverse("mfa_authenticate"), {"code": code})
    second.post(reverse("mfa_authenticate"), {"code": code})
    assert "_auth_user_id" not in second.session


def test_the_second_factor_is_switched_off_with_the_second_factor_alone(client: Client) -> None:
    alice = factories.user("alice")
    sign_in(client, alice)
    confirm_password(client)
    activate(client)
    stolen = Client()
    stolen.force_login(alice)
    switch_off, password, code = map(reverse, ("mfa_deactivate_totp", "account_reauthenticate", "mfa_reauthenticate"))
    for answer in (stolen.get(switch_off), stolen.post(switch_off)):
        assert answer.headers["Location"].startswith(code)
    confirm_password(stolen)
    assert stolen.get(password).headers["Location"].startswith(code)
    assert stolen.post(switch_off).headers["Location"].startswith(code)
    assert Authenticator.objects.filter(user=alice, type="totp").exists()
    # Who lost the phone has the recovery codes, and the page says so.
    assert b"one of your recovery codes" in stolen.get(code).content
    recovery = Authenticator.objects.get(user=alice, type="recovery_codes").wrap().get_unused_codes()
    stolen.post(code, {"code": recovery[0]})
    assert stolen.post(switch_off).headers["Location"] == reverse("mfa_index")
    assert not Authenticator.objects.filter(user=alice).exists()


@pytest.mark.django_db(transaction=True)
def test_a_code_used_in_parallel_works_once() -> None:
    alice = factories.user("alice")
    secret = generate_totp_secret()
    row = TOTP.activate(alice, secret).instance
    together = threading.Barrier(4)

    def use(code: str) -> bool:
        try:
            same = TOTP(Authenticator.objects.get(pk=row.pk))
            together.wait(10)
            return bool(same.validate_code(code))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            cache.clear()
            assert sum(pool.map(use, [code_for(secret)] * 4)) == 1


@pytest.mark.parametrize(
    "name",
    [
        "account_change_password",
        "account_email",
        "account_reauthenticate",
        "mfa_index",
        "mfa_activate_totp",
        "mfa_reauthenticate",
        "mfa_deactivate_totp",
        "mfa_generate_recovery_codes",
        "usersessions_list",
    ],
)
def test_the_pages_of_security_are_drawn_in_our_own_frame(client: Client, name: str) -> None:
    alice = factories.user("alice")
    sign_in(client, alice)
    confirm_password(client)
    if name not in {"mfa_activate_totp", "account_reauthenticate"}:
        activate(client)
    page = client.get(reverse(name))
    assert page.status_code == 200, page.headers
    assert b"hub.css" in page.content
    assert b"Menu:" not in page.content


@pytest.mark.parametrize(
    "name", ["account_login", "account_signup", "account_reset_password", "account_email_verification_sent"]
)
def test_the_doors_are_drawn_in_our_own_frame(client: Client, name: str) -> None:
    page = client.get(reverse(name))
    assert page.status_code == 200
    assert b"hub.css" in page.content


def test_a_disabled_user_is_out_at_once(client: Client) -> None:
    alice = factories.user("alice")
    sign_in(client, alice)
    assert client.get(reverse("mfa_index")).status_code == 200
    alice.is_active = False
    alice.save()
    assert client.get(reverse("mfa_index")).status_code == 302


def test_staff_sign_in_to_the_admin_site_through_the_same_door(client: Client) -> None:
    factories.user("root", is_staff=True, is_superuser=True)
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith(reverse("account_login"))
    sign_in(client, factories.user("alice"))
    assert client.get("/admin/login/?next=/admin/").status_code == 403


def test_the_demo_lists_its_people_only_where_there_is_a_demo(client: Client, settings: Any) -> None:
    settings.DEMO = False
    assert b"alice@polyhub.demo" not in client.get(reverse("account_login")).content
    settings.DEMO = True
    assert b"alice@polyhub.demo" in client.get(reverse("account_login")).content


def test_a_stolen_session_cannot_add_an_address_to_reset_the_password_with(client: Client) -> None:
    alice = factories.user("alice")
    sign_in(client, alice)
    added = {"email": "thief@evil.example", "action_add": ""}
    asked = client.post(reverse("account_email"), added).headers["Location"]
    assert asked.startswith(reverse("account_reauthenticate"))
    assert not alice.emailaddress_set.filter(email="thief@evil.example").exists()  # type: ignore[attr-defined]
    confirm_password(client)
    client.post(reverse("account_email"), added)
    assert alice.emailaddress_set.filter(email="thief@evil.example").exists()  # type: ignore[attr-defined]


def test_a_new_password_ends_the_tokens_made_with_the_old_one(client: Client) -> None:
    alice = factories.user("alice")
    tokens.create_token(user=alice, name="bot", scopes=["read:market"], days=1, now=factories.NOW)
    sign_in(client, alice)
    fresh = "another correct horse"
    changed = {"oldpassword": factories.PASSWORD, "password1": fresh, "password2": fresh}
    assert client.post(reverse("account_change_password"), changed).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(fresh)
    assert not ApiToken.objects.exists()


def test_a_flood_of_strangers_does_not_wipe_out_the_sign_in_limits() -> None:
    cache.set("a-limit", 10)
    for number in range(320):
        cache.set(f"stranger-{number}", 1)
    assert cache.get("a-limit") == 10
