"""How sign-up and second factors behave here."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings

from polyhub.lib import crypto

# allauth hands over the text alone, so the place names the table and not the row.
_PLACE = crypto.Place(table="mfa_authenticator", row="", user="", field="data")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's behaviour, named so that it can be changed in one place."""


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Seeds of second factors and recovery codes are encrypted in the database."""

    def encrypt(self, text: str) -> str:
        return crypto.encrypt_field(text, secret=settings.FIELD_SECRET, place=_PLACE)

    def decrypt(self, encrypted_text: str) -> str:
        return crypto.decrypt_field(encrypted_text, secret=settings.FIELD_SECRET, place=_PLACE)
