"""How sign-up and MFA behave here."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter


class AccountAdapter(DefaultAccountAdapter):
    """allauth's behaviour, named so that it can be changed in one place."""


class MFAAdapter(DefaultMFAAdapter):
    """allauth's behaviour, named so that it can be changed in one place."""
