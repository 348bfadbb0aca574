"""The cockpit, the copy desk, following a leader, and the timeline of verdicts."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse

from copytrade import forms, selectors
from copytrade.domain.rules import RuleStatus, Verdict
from copytrade.models import CopyDecision
from copytrade.services import preview, rules
from markets import selectors as markets
from polyhub.lib.errors import AppError
from polyhub.mixins import Owned, Page, kept, page_of
from scanner import selectors as scanner
from trading import selectors as trading

RECENT = 12
COVERAGE_WINDOW = timedelta(hours=24)
UNANSWERED_AFTER = timedelta(seconds=10)
RANGES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7), "all": None}


class Cockpit(Page):
    template_name = "copytrade/cockpit.html"
    parts = {
        "figures": "copytrade/_figures.html",
        "positions": "trading/_positions.html",
        "activity": "copytrade/_activity.html",
        "attention": "copytrade/_attention.html",
    }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Each part asks the database only for what it shows: a part is fetched for every burst of events."""
        user, mode, now = self.user, self.mode, self.now
        portfolio = cache(lambda: trading.portfolio_of(user=user, mode=mode))
        decisions = cache(lambda: list(selectors.decisions_of(user=user, mode=mode)[:RECENT]))
        return super().get_context_data(
            portfolio=portfolio,
            holdings=cache(lambda: portfolio().holdings[:RECENT]),
            decisions=decisions,
            names=cache(lambda: _names(decisions())),
            today=cache(lambda: selectors.today_of(user=user, mode=mode, since=_midnight(now))),
            unknown=trading.unanswered_of(user=user, mode=mode, before=now - UNANSWERED_AFTER),
            rules=cache(lambda: selectors.active_rules_of(user=user, mode=mode).count()),
            compact=True,
            **kwargs,
        )


class Equity(Owned):
    """The curve of the cockpit as JSON: seconds and dollars."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        chosen = RANGES.get(request.GET.get("range", "all"))
        points = trading.equity_of(user=self.user, mode=self.mode, since=self.now - chosen if chosen else None)
        pairs = [[int(at.timestamp()), f"{worth:.2f}"] for at, worth in points]
        return JsonResponse({"mode": self.mode, "points": pairs})


class CopyDesk(Page):
    template_name = "copytrade/desk.html"
    parts = {"cards": "copytrade/_cards.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        cards = selectors.rule_cards(user=self.user, mode=self.mode)
        leaders = [card.rule.leader for card in cards]
        return super().get_context_data(
            cards=[card for card in cards if card.rule.status != RuleStatus.STOPPED],
            stopped=[card for card in cards if card.rule.status == RuleStatus.STOPPED],
            names=scanner.names_of(addresses=leaders),
            coverage=markets.coverage(wallets=leaders, since=self.now - COVERAGE_WINDOW),
            **kwargs,
        )


class Follow(Page):
    """The form that makes a rule. `preview` answers what it would have made of the leader's recorded buys."""

    template_name = "copytrade/follow.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        address = kwargs["address"].lower()
        followed = selectors.active_rules_of(user=self.user, mode=self.mode).filter(leader=address)
        return super().get_context_data(
            **{
                "form": forms.FollowForm(user=self.user, mode=self.mode, initial=forms.defaults()),
                "leader": address,
                "name": scanner.names_of(addresses=[address]).get(address, ""),
                "followed": list(followed),
                **kwargs,
            }
        )

    def post(self, request: HttpRequest, address: str) -> HttpResponseBase:
        form = forms.FollowForm(request.POST, user=self.user, mode=self.mode)
        if form.is_valid():
            try:
                rule = rules.create_rule(
                    account=form.cleaned_data["account"], leader=address, terms=form.terms(), now=self.now
                )
                return self.done(f"You follow this leader with {rule.account.name}.", to=reverse("copy-desk"))
            except rules.InvalidRule as error:
                form.blame(error)
            except rules.AlreadyFollowed as error:
                form.add_error(None, error.message)
        context = self.get_context_data(address=address, form=form)
        return render(request, self.template_name, context, status=422)


class Preview(Owned):
    """What the rule as written would have made of the leader's recorded buys."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, address: str) -> HttpResponseBase:
        form = forms.RuleForm(request.POST)
        context: dict[str, Any] = {"form": form}
        if form.is_valid():
            try:
                context["preview"] = preview.preview(leader=address, terms=form.terms())
            except AppError as error:
                context["problem"] = error.message
        else:
            context["problem"] = "Fill in every number to see a preview."
        return render(request, "copytrade/_preview.html", context)


class EditRule(Page):
    template_name = "copytrade/rule.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        rule = selectors.rule_of(user=self.user, rule_id=kwargs["rule_id"])
        card = selectors.cards_of(rules=[rule])[0]
        decisions = list(selectors.decisions_of(user=self.user, rule_id=rule.pk)[:RECENT])
        names = scanner.names_of(addresses=[rule.leader])
        return super().get_context_data(
            **{
                "form": forms.RuleForm(initial=forms.values_of(rule)),
                "rule": rule,
                "leader": rule.leader,
                "card": card,
                "decisions": decisions,
                "names": names,
                "name": names.get(rule.leader, ""),
                **kwargs,
            }
        )

    def post(self, request: HttpRequest, rule_id: UUID) -> HttpResponseBase:
        rule = selectors.rule_of(user=self.user, rule_id=rule_id)
        form = forms.RuleForm(request.POST)
        if form.is_valid():
            try:
                rules.change_rule(rule=rule, terms=form.terms(), now=self.now)
                return self.done("The rule is changed. It holds for what the leader does from now on.", to=request.path)
            except rules.InvalidRule as error:
                form.blame(error)
        return render(request, self.template_name, self.get_context_data(rule_id=rule_id, form=form), status=422)


class MoveRule(Owned):
    """Pause, resume or stop."""

    http_method_names = ["post"]
    ACTIONS = {
        "pause": (rules.pause_rule, "Paused: no new entries, exits go on."),
        "resume": (rules.resume_rule, "Copying again."),
        "stop": (rules.stop_rule, "Stopped. What is held for this leader is still sold when the leader sells."),
    }

    def post(self, request: HttpRequest, rule_id: UUID, action: str) -> HttpResponseBase:
        if action not in self.ACTIONS:
            raise Http404(f"A rule cannot {action}.")
        move, words = self.ACTIONS[action]
        move(rule=selectors.rule_of(user=self.user, rule_id=rule_id), now=self.now)
        return self.done(words, to=self.back(reverse("copy-desk")))


class Activity(Page):
    """Every verdict, newest first, with its reason."""

    template_name = "copytrade/activity.html"
    parts = {"activity": "copytrade/_activity.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        verdict, code = self.request.GET.get("verdict", ""), self.request.GET.get("code", "")
        rule_id = _uuid(self.request.GET.get("rule", ""))
        rows = selectors.decisions_of(
            user=self.user,
            mode=self.mode,
            rule_id=rule_id,
            verdict=Verdict(verdict) if verdict in set(Verdict) else None,
            code=code,
        )
        page = page_of(self.request, rows)
        counts = selectors.codes_of(user=self.user, mode=self.mode, since=_midnight(self.now))
        return super().get_context_data(
            page=page,
            decisions=page.object_list,
            names=_names(page.object_list),
            counts=counts,
            verdict=verdict,
            code=code,
            rule_id=rule_id,
            keep=kept(self.request),
            **kwargs,
        )


def _names(decisions: "list[CopyDecision]") -> dict[str, str]:
    return scanner.names_of(addresses=[decision.leader_trade.wallet for decision in decisions])


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
