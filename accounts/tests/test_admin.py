"""Staff look after people; they do not become them."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return factories.user("alice")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(user: User) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])


def helper() -> User:
    """Staff who may change users and are no superuser."""
    user = factories.user("helper", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    return user


def test_nobody_sets_the_password_of_another(alice: User) -> None:
    root = factories.user("root", is_staff=True, is_superuser=True)
    new = {"usable_password": "true", "password1": "taken over by root", "password2": "taken over by root"}
    assert signed_in(root).post(f"/admin/accounts/user/{alice.pk}/password/", new).status_code in {403, 404}
    alice.refresh_from_db()
    assert alice.check_password(factories.PASSWORD)


def test_nobody_gives_alice_their_own_address(alice: User) -> None:
    root = factories.user("root", is_staff=True, is_superuser=True)
    row: Any = alice.emailaddress_set.get()  # type: ignore[attr-defined]
    taken = {"user": alice.pk, "email": "root@evil.example", "verified": "on", "primary": "on"}
    signed_in(root).post(f"/admin/account/emailaddress/{row.pk}/change/", taken)
    row.refresh_from_db()
    assert row.email == alice.email


def test_staff_disable_a_user_and_give_nobody_powers(alice: User) -> None:
    staff = helper()
    client = signed_in(staff)
    assert client.post(page_of(alice), {"is_staff": "on", "is_superuser": "on"}).status_code == 302
    client.post(page_of(staff), {"is_active": "on", "is_staff": "on", "is_superuser": "on"})
    alice.refresh_from_db()
    staff.refresh_from_db()
    assert (alice.is_active, alice.is_staff, alice.is_superuser) == (False, False, False)
    assert (staff.is_staff, staff.is_superuser) == (True, False)


def test_only_a_superuser_disables_a_superuser() -> None:
    root = factories.user("root", is_staff=True, is_superuser=True)
    assert signed_in(helper()).post(page_of(root), {}).status_code == 403
    root.refresh_from_db()
    assert root.is_active
