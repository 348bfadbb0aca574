"""Pages about what an account needs to trade, and about the keys that trade for it."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django_q.tasks import async_task

from accounts import reauthentication, selectors
from accounts.domain import custody, doctor
from accounts.domain.custody import AtStake, Countdown, KeyKind
from accounts.domain.statuses import AccountMode
from accounts.forms import SessionAccountForm, SessionKeyForm, refuse
from accounts.models import NextKey, TradingAccount, TradingKey
from accounts.services import session_keys
from markets.venue import grants
from polyhub.lib.errors import AppError
from polyhub.mixins import Owned, Page
from trading.selectors import portfolio_of
from trading.services import connection, key_rotation


class Doctor(Owned):
    """Every check with its state, its age and the one thing to do."""

    def get(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        context = {
            "account": account,
            "diagnosis": doctor.diagnose(account.connection, now=self.now),
            "is_waiting": account.connection.get("state") == "waiting",
            "overdue": connection.is_overdue(account, now=self.now),
            "now": self.now,
            "mode": self.mode,
        }
        return render(request, "accounts/doctor.html", context)

    def post(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        if connection.ask(account=account, now=self.now):
            async_task("trading.tasks.check_connection", str(account.id), cluster="engines")
        return redirect("account-doctor", account.id)


@dataclass(frozen=True, slots=True)
class Card:
    """One live account's keys as the page shows them."""

    account: TradingAccount
    key: TradingKey | None
    countdown: Countdown
    at_stake: AtStake
    waiting: NextKey | None
    waiting_countdown: Countdown | None
    left: str
    # The call the wallet's owner has to sign for the key that is not authorised yet; empty when there is none.
    grant: str

    @property
    def is_session(self) -> bool:
        return self.key is not None and self.key.kind == KeyKind.SESSION


class Custody(Page):
    template_name = "accounts/custody.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        figures = portfolio_of(user=self.user, mode=AccountMode.LIVE).accounts
        cards = [self._card(each.account, equity_usdc=each.equity_usdc) for each in figures]
        return super().get_context_data(
            cards=cards,
            scope=custody.SCOPE,
            days=custody.DEFAULT_LIFE.days,
            may_import=selectors.may_import_keys(user=self.user),
            **kwargs,
        )

    def _card(self, account: TradingAccount, *, equity_usdc: Decimal) -> Card:
        key = TradingKey.objects.filter(account=account).defer("sealed").first()
        waiting = NextKey.objects.filter(account=account).defer("sealed").first()
        countdown = custody.countdown(expires_at=key.expires_at if key else None, now=self.now)
        policy = getattr(account, "signing_policy", None)
        at_stake = custody.at_stake(
            kind=KeyKind(key.kind) if key else KeyKind.SESSION,
            is_expired=key is None or countdown.health is custody.Health.EXPIRED,
            equity_usdc=equity_usdc,
            max_day_usdc=policy.max_day_usdc if policy else Decimal(0),
        )
        return Card(
            account,
            key,
            countdown,
            at_stake,
            waiting,
            custody.countdown(expires_at=waiting.expires_at, now=self.now) if waiting else None,
            key_rotation.what_is_left(account=account, now=self.now) if waiting and waiting.draining_at else "",
            _grant(account, waiting or key),
        )


def _grant(account: TradingAccount, key: TradingKey | NextKey | None) -> str:
    if key is None or key.expires_at is None:
        return ""
    call = grants.authorize_call(
        wallet=account.trading_address, session_signer=key.address, valid_until_s=int(key.expires_at.timestamp())
    )
    return call.data


class _Guarded(Owned):
    """Keys are touched only with a second factor and a password given a moment ago."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            if "account_id" in kwargs:
                try:
                    selectors.account_of(user=self.user, account_id=kwargs["account_id"])
                except selectors.NotFound as error:
                    return self.told(error)
            if not selectors.may_import_keys(user=self.user):
                return render(request, "accounts/mfa_first.html", status=403)
            if reauthentication.needed(request):
                return reauthentication.ask(request, back_to=reverse("custody"))
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        return response

    def show(self, form: forms.Form, *, title: str, status: int = 200) -> HttpResponseBase:
        context = {"form": form, "title": title, "now": self.now, "mode": self.mode}
        return render(self.request, "accounts/form.html", context, status=status)


class ConnectBySessionKey(_Guarded):
    """A live account without its owner's key."""

    title = "Connect by a session key"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self.show(SessionAccountForm(), title=self.title)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = SessionAccountForm(request.POST)
        if form.is_valid():
            life = timedelta(days=form.cleaned_data.pop("days"))
            try:
                account = key_rotation.open_with_session_key(
                    user=self.user, life=life, now=self.now, **form.cleaned_data
                )
            except AppError as error:
                refuse(form, error, fields=form.fields)
            else:
                return self.done(f"{account.name} waits for its key to be authorised.", to=reverse("custody"))
        return self.show(form, title=self.title, status=400)


@method_decorator(sensitive_post_parameters("private_key"), name="dispatch")
class ImportSessionKey(_Guarded):
    title = "Bring in a session key"

    def get(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        return self.show(SessionKeyForm(), title=self.title)

    def post(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        form = SessionKeyForm(request.POST)
        if form.is_valid():
            try:
                key_rotation.import_session_key(
                    account=account,
                    private_key=form.cleaned_data["private_key"],
                    expires_at=self.now + timedelta(days=form.cleaned_data["days"]),
                    now=self.now,
                )
            except AppError as error:
                refuse(form, error, fields=form.fields)
            else:
                return self.done("The key waits to take over.", to=reverse("custody"))
        return self.show(form, title=self.title, status=400)


class ChangeKey(_Guarded):
    """One step from key to key; each says what it did."""

    def post(self, request: HttpRequest, account_id: UUID) -> HttpResponseBase:
        account = selectors.account_of(user=self.user, account_id=account_id)
        return self.done(self._act(account, request.POST.get("step", "")), to=reverse("custody"))

    def _act(self, account: TradingAccount, step: str) -> str:
        actor = f"user:{self.user.pk}"
        if step == "make":
            key_rotation.make_session_key(account=account, life=custody.DEFAULT_LIFE, now=self.now)
            return "A session key was made. Authorise its address with the wallet's owner."
        if step == "drop":
            session_keys.drop_next(account=account)
            return "The waiting key was destroyed."
        if step == "begin":
            key_rotation.begin(account=account, actor=actor, now=self.now)
            return f"{account.name} lets go of its key: open orders are being cancelled."
        if step == "finish":
            key_rotation.finish(account=account, now=self.now)
            return f"{account.name} trades with its new key. Resume it when you are ready."
        if step == "destroy":
            key_rotation.destroy_keys(account=account, actor=actor, now=self.now)
            return f"{account.name} is stopped and its keys are destroyed."
        raise session_keys.NoNextKey("There is no such step.")
