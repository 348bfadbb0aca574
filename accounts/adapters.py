"""How sign-up and second factors behave here."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings

from accounts.models import User
from accounts.services import tokens
from polyhub.lib import crypto

# allauth hands over the text alone, so the place names the table and not the row.
_PLACE = crypto.Place(table="mfa_authenticator", row="", user="", field="data")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's behaviour, and what else a new password ends."""

    def set_password(self, user: User, password: str) -> None:
        super().set_password(user, password)
        tokens.revoke_all(user=user)


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Seeds of second factors and recovery codes are encrypted in the database."""

    def encrypt(self, text: str) -> str:
        return crypto.encrypt_field(text, secret=settings.FIELD_SECRET, place=_PLACE)

    def decrypt(self, encrypted_text: str) -> str:
        return crypto.decrypt_field(encrypted_text, secret=settings.FIELD_SECRET, place=_PLACE)
