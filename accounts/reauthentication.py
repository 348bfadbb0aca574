"""Asking for the password once more before something that matters, without keeping what was posted."""

from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode


def needed(request: HttpRequest) -> bool:
    """True unless the person confirmed who they are within ACCOUNT_REAUTHENTICATION_TIMEOUT."""
    return not did_recently_reauthenticate(request)


def ask(request: HttpRequest, *, back_to: str) -> HttpResponse:
    """To the password page and back to an empty form.

    allauth's own decorator keeps a posted form in the session until the password is given: with a private key in it
    that would store the key in clear, so nothing is kept here.
    """
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode({REDIRECT_FIELD_NAME: back_to})}")
