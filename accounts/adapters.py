"""How sign-up and second factors behave here."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from accounts.services import tokens
from polyhub.lib import crypto

# allauth hands over the text alone, so the place names the table and not the row.
_PLACE = crypto.Place(table="mfa_authenticator", row="", user="", field="data")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's behaviour, and what else a new password ends."""

    def get_reauthentication_methods(self, user: User | AnonymousUser) -> list[dict[str, Any]]:
        """Who has a second factor confirms with it: the password alone must not switch it off or bring in a key."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        stronger = [method for method in methods if method["id"] != "reauthenticate"]
        return stronger or methods

    def set_password(self, user: User, password: str) -> None:
        super().set_password(user, password)
        tokens.revoke_all(user=user)


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Seeds of second factors and recovery codes are encrypted in the database."""

    def encrypt(self, text: str) -> str:
        return crypto.encrypt_field(text, secret=settings.FIELD_SECRET, place=_PLACE)

    def decrypt(self, encrypted_text: str) -> str:
        return crypto.decrypt_field(encrypted_text, secret=settings.FIELD_SECRET, place=_PLACE)
