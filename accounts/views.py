"""Pages of a person's own things that need no trading: API tokens, paper or live, the primary account."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts import reauthentication, selectors
from accounts.domain.statuses import AccountMode
from accounts.forms import TokenForm, refuse
from accounts.services import accounts, tokens
from polyhub.lib.errors import AppError
from polyhub.mixins import MODE_KEY, Owned, Page


class Tokens(Page):
    template_name = "accounts/tokens.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(tokens=selectors.tokens_of(user=self.user), **{"form": TokenForm(), **kwargs})


class CreateToken(Owned):
    """The new token stands on the page that answers, once."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return redirect("tokens")

    def post(self, request: HttpRequest) -> HttpResponseBase:
        if reauthentication.needed(request):
            return reauthentication.ask(request, back_to=reverse("tokens"))
        form = TokenForm(request.POST)
        created = self._create(form) if form.is_valid() else None
        context = {
            "tokens": selectors.tokens_of(user=self.user),
            "form": form if created is None else TokenForm(),
            "created": created,
            "now": self.now,
            "mode": self.mode,
        }
        response = render(request, "accounts/tokens.html", context, status=200 if created else 400)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _create(self, form: TokenForm) -> str | None:
        try:
            _, text = tokens.create_token(user=self.user, now=self.now, **form.cleaned_data)
        except AppError as error:
            refuse(form, error, fields=form.fields)
            return None
        return text


class RevokeToken(Owned):
    def post(self, request: HttpRequest, token_id: UUID) -> HttpResponseBase:
        tokens.revoke_token(user=self.user, token_id=token_id)
        return self.done("The token was revoked.", to=reverse("tokens"))


class SwitchMode(Owned):
    """Paper or live, for everything the pages show. It starts and stops nothing."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        chosen = AccountMode.LIVE if request.POST.get("mode") == AccountMode.LIVE else AccountMode.PAPER
        request.session[MODE_KEY] = chosen.value
        back = self.back(reverse("cockpit"))
        if request.headers.get("HX-Request"):
            return HttpResponse(status=204, headers={"HX-Redirect": back})
        return redirect(back)


class MakePrimary(Owned):
    def post(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        accounts.set_primary(account=account, now=self.now)
        return self.done(f"{account.name} is the primary {account.mode} account.", to=reverse("accounts"))
