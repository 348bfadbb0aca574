"""Pages of trading accounts: open, import a key, test the connection, pause and stop."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django_q.tasks import async_task

from accounts import reauthentication, selectors
from accounts.domain.statuses import AccountMode, AccountStatus
from accounts.forms import KeyAgainForm, KeyForm, PaperForm, PolicyForm, refuse
from accounts.models import TradingAccount
from accounts.services import accounts as bare
from accounts.services import keys
from accounts.services.keys import PolicyValues
from polyhub.lib.errors import AppError
from polyhub.mixins import Owned, Page
from trading.selectors import portfolio_of
from trading.services import accounts, connection


class Accounts(Page):
    template_name = "accounts/accounts.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        portfolios = [portfolio_of(user=self.user, mode=mode) for mode in AccountMode]
        return super().get_context_data(
            portfolios=portfolios, may_import=selectors.may_import_keys(user=self.user), **kwargs
        )


class _Form(Owned):
    """A form on a page of its own; a refusal of the service is shown beside its field."""

    form_class: ClassVar[type[forms.Form]]
    title: ClassVar[str]

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.show(self.form_class())

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = self.form_class(request.POST)
        if form.is_valid():
            try:
                account = self.save(form)
            except AppError as error:
                refuse(form, error, fields=form.fields)
            else:
                return self.done(f"{account.name} is ready.", to=reverse("accounts"))
        return self.show(form, status=400)

    def save(self, form: forms.Form) -> TradingAccount:
        raise NotImplementedError

    def show(self, form: forms.Form, *, status: int = 200) -> HttpResponseBase:
        context = {"form": form, "title": self.title, "now": self.now, "mode": self.mode}
        return render(self.request, "accounts/form.html", context, status=status)


class CreatePaper(_Form):
    form_class = PaperForm
    title = "New paper account"

    def save(self, form: forms.Form) -> TradingAccount:
        return accounts.open_paper_account(user=self.user, now=self.now, **form.cleaned_data)


@method_decorator(sensitive_post_parameters("private_key"), name="dispatch")
class _TakesKey(_Form):
    """Asks for the password first, and keeps nothing of a form that comes too late."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            if not selectors.may_import_keys(user=self.user):
                return render(request, "accounts/mfa_first.html", status=403)
            if reauthentication.needed(request):
                return reauthentication.ask(request, back_to=request.path)
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        return response


class ImportKey(_TakesKey):
    form_class = KeyForm
    title = "Connect a live account"

    def save(self, form: forms.Form) -> TradingAccount:
        return accounts.open_live_account(user=self.user, now=self.now, **form.cleaned_data)


class ReplaceKey(_TakesKey):
    """The same key once more, after the vault was lost or moved."""

    form_class = KeyAgainForm
    title = "Bring the key in again"

    def dispatch(self, request: HttpRequest, *args: Any, account_id: UUID, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            try:
                self._account = selectors.account_of(user=self.user, account_id=account_id)
            except selectors.NotFound as error:
                return self.told(error)
        return super().dispatch(request, *args, **kwargs)

    def save(self, form: forms.Form) -> TradingAccount:
        accounts.replace_key(account=self._account, now=self.now, **form.cleaned_data)
        return self._account


class _OnAccount(Owned):
    """An action on one account of the person; somebody else's is not found."""

    def post(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        return self.done(self.act(account), to=reverse("accounts"))

    def act(self, account: TradingAccount) -> str:
        raise NotImplementedError


class ChangeStatus(_OnAccount):
    def act(self, account: TradingAccount) -> str:
        wanted = self.request.POST.get("status", "")
        if wanted not in set(AccountStatus):
            raise bare.BadAccount("Choose to pause, resume or stop.")
        status = AccountStatus(wanted)
        if status is AccountStatus.STOPPED:
            accounts.stop_account(account=account, actor=f"user:{self.user.pk}", now=self.now)
        else:
            bare.set_status(account=account, status=status, reason="", now=self.now)
        return f"{account.name}: {status.value.lower()}."


class ResetPaper(_OnAccount):
    def act(self, account: TradingAccount) -> str:
        fresh = accounts.reset_paper(account=account, start_usdc=account.paper_start_usdc, now=self.now)
        return f"{fresh.name} begins anew; the old account stays below as history."


class ChangePolicy(Owned):
    """The signer's limits of one account."""

    def get(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        if reauthentication.needed(request):
            return reauthentication.ask(request, back_to=reverse("account-policy", args=[account.id]))
        policy = getattr(account, "signing_policy", None)
        names = PolicyForm.base_fields
        return self._show(PolicyForm(initial={name: getattr(policy, name) for name in names} if policy else None))

    def post(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        if reauthentication.needed(request):
            return reauthentication.ask(request, back_to=reverse("account-policy", args=[account.id]))
        form = PolicyForm(request.POST)
        if form.is_valid():
            try:
                keys.set_policy(account=account, values=PolicyValues(**form.cleaned_data), now=self.now)
            except AppError as error:
                refuse(form, error, fields=form.fields)
            else:
                return self.done(f"The signer's limits of {account.name} are set.", to=reverse("accounts"))
        return self._show(form, status=400)

    def _show(self, form: PolicyForm, *, status: int = 200) -> HttpResponseBase:
        context = {"form": form, "title": "What the signer may sign", "now": self.now, "mode": self.mode}
        return render(self.request, "accounts/form.html", context, status=status)


class TestConnection(Owned):
    """Ask an engine to look; this process holds neither keys nor venue sessions."""

    __test__ = False  # not a test, whatever its name

    def get(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        return self._show(account)

    def post(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        if connection.ask(account=account, now=self.now):
            async_task("trading.tasks.check_connection", str(account.id), cluster="engines")
        return self._show(account)

    def _show(self, account: TradingAccount) -> HttpResponseBase:
        context = {"account": account, "now": self.now, "overdue": connection.is_overdue(account, now=self.now)}
        return render(self.request, "accounts/connection.html", context)
