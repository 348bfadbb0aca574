"""Pages of markets: the browser, one market with book, tape, chart and order ticket, and the state of the data."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse

from markets import selectors as markets
from markets.models import BookView, Market, Token
from markets.services import interest
from markets.venue.ports import Side
from polyhub.lib import money
from polyhub.mixins import Owned, Page, is_partial, kept, page_of
from trading import selectors
from trading.domain import words
from trading.models import Order
from trading.services import ticket
from trading.ticket_forms import TicketForm

ORDERS = (
    ("volume", "Most traded today"),
    ("total", "Most traded ever"),
    ("liquidity", "Most liquid"),
    ("ending", "Ending soonest"),
    ("newest", "Newest"),
)
STATES = (("open", "Open"), ("closed", "Closed"), ("all", "All"))
SOURCES = {"rtds": "Activity stream", "chain": "On-chain logs", "data_api": "Data API"}
LADDER_LEVELS = 12
TAPE = 30
RANGES = {"1h": (60, 3_600), "6h": (300, 21_600), "1d": (300, 86_400), "1w": (3_600, 604_800), "all": (86_400, None)}
LONGEST = timedelta(days=3_650)


class Markets(Page):
    template_name = "markets/markets.html"
    parts = {"table": "markets/_markets.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        said = self.request.GET
        state, order_by = said.get("state", "open"), said.get("sort", "volume")
        search, category = said.get("q", "")[:100], said.get("category", "")[:64]
        rows = markets.find_markets(search=search, state=state, category=category, order_by=order_by, now=self.now)
        page = page_of(self.request, rows, size=25)
        return super().get_context_data(
            page=page,
            prices=markets.first_prices(markets=list(page.object_list)),
            walk=markets.catalogue_pass(),
            categories=markets.categories(),
            orders=ORDERS,
            states=STATES,
            state=state,
            sort=order_by,
            category=category,
            q=search,
            keep=kept(self.request),
            **kwargs,
        )


class MarketPage(Page):
    """One market. `?outcome=` chooses whose book, tape and chart are shown."""

    template_name = "markets/market.html"
    parts = {
        "ladder": "markets/_ladder.html",
        "tape": "markets/_tape.html",
        "own": "markets/_own.html",
        "head": "markets/_head.html",
    }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        market = markets.market_of(condition_id=kwargs["condition_id"].lower())
        tokens = list(market.tokens.order_by("outcome_index"))
        token = chosen(tokens, self.request.GET.get("outcome", "0"))
        # Whoever looks keeps the books: the page asks for parts of itself as long as it is open.
        interest.look(token_ids=[one.pk for one in tokens], now=self.now)
        own = list(selectors.open_orders_of(user=self.user, mode=self.mode).filter(token__market=market))
        held = selectors.positions_of_user(user=self.user, mode=self.mode).filter(token__market=market)
        shown = BookView.objects.filter(token=token).first() if token else None
        doubt = _doubt(market, shown, self)
        return super().get_context_data(
            market=market,
            tokens=tokens,
            token=token,
            quotes={one.token_id: one for one in markets.quotes_of(token_ids=[t.token_id for t in tokens]).values()},
            shown=shown,
            doubt=doubt,
            doubt_words=words.doubt_words(doubt),
            ladder=ladder(shown, [order for order in own if token and order.token_id == token.pk]),
            tape=markets.tape(token=token, limit=TAPE) if token else [],
            own=own,
            holdings=selectors.holdings(positions=[position for position in held if position.shares > 0]),
            siblings=markets.neg_risk_siblings(market=market).exclude(pk=market.pk)[:20],
            form=_form(self, market, initial={"token": token.pk if token else None}),
            ranges=RANGES,
            **kwargs,
        )


class Candles(Owned):
    """Points of the chart: times are Unix seconds, prices dollars as strings."""

    def get(self, request: HttpRequest, condition_id: str) -> HttpResponseBase:
        market = markets.market_of(condition_id=condition_id.lower())
        token = chosen(list(market.tokens.order_by("outcome_index")), request.GET.get("outcome", "0"))
        span_s, back_s = RANGES.get(request.GET.get("range", "1d"), RANGES["1d"])
        since = self.now - (LONGEST if back_s is None else timedelta(seconds=back_s))
        rows = markets.candles(token=token, span_s=span_s, since=since) if token else []
        points = [
            [int(row.at.timestamp()), str(row.open), str(row.high), str(row.low), str(row.close), str(row.shares)]
            for row in rows
        ]
        return JsonResponse({"span_s": span_s, "points": points})


class Ticket(Owned):
    """Preview (`?preview`) and placing of one order."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, condition_id: str) -> HttpResponseBase:
        market = markets.market_of(condition_id=condition_id.lower())
        form = _form(self, market, data=request.POST)
        if not form.is_valid():
            return self._show(form, status=200 if "preview" in request.GET else 400)
        if "preview" in request.GET:
            return self._show(form)
        result = ticket.place(
            account=form.cleaned_data["account"],
            terms=form.terms(),
            client_order_id=form.cleaned_data["client_order_id"],
            actor=f"user:{self.user.pk}",
            now=self.now,
        )
        assert result.order_id is not None
        told = "Order placed." if result.admitted else f"Denied: {words.denial_words(result.code, result.numbers)}."
        return self.done(told, to=reverse("order", args=[result.order_id]))

    def _show(self, form: TicketForm, *, status: int = 200) -> HttpResponse:
        found = ticket.preview(terms=form.terms(), now=self.now) if form.is_valid() else None
        why = words.denial_words(found.problem, found.numbers) if found and found.problem else ""
        context = {"form": form, "preview": found, "why": why, "mode": self.mode, "now": self.now}
        template = "markets/_preview.html" if is_partial(self.request) else "markets/preview.html"
        return render(self.request, template, context, status=status)


class DataStatus(Page):
    """How complete the data is: today's trust per book, each source's part in leaders' trades, what went wrong."""

    template_name = "markets/data.html"
    parts = {"figures": "markets/_data.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            days=markets.continuity_days(until=self.now.date()),
            worst=markets.least_covered(day=self.now.date()),
            leaders=markets.leader_sources(since=self.now - timedelta(days=1)),
            sources=SOURCES,
            least_seen=markets.least_seen_leaders(since=self.now - timedelta(days=1)),
            incidents=markets.incidents()[:30],
            walk=markets.catalogue_pass(),
            **kwargs,
        )


def chosen(tokens: list[Token], said: str) -> Token | None:
    """The outcome asked for, else the first."""
    index = int(said) if said.isdecimal() and len(said) < 3 else 0
    return next((token for token in tokens if token.outcome_index == index), tokens[0] if tokens else None)


def ladder(shown: BookView | None, own: list[Order]) -> dict[str, list[dict[str, Any]]]:
    """Both sides with what stands up to each level, its part of the deepest shown, and what of it is one's own."""
    sides: dict[str, list[dict[str, Any]]] = {"asks": [], "bids": []}
    if shown is None:
        return sides
    for name, side, levels in (("asks", Side.SELL, shown.asks), ("bids", Side.BUY, shown.bids)):
        mine: dict[Decimal, Decimal] = {}
        for order in own:
            if order.side == side:
                mine[order.price] = mine.get(order.price, money.ZERO) + order.shares - order.filled_shares
        total = money.ZERO
        for price, shares in levels[:LADDER_LEVELS]:
            total += Decimal(shares)
            at = Decimal(price)
            sides[name].append({"price": at, "shares": Decimal(shares), "total": total, "own": mine.get(at)})
    deepest = max((rows[-1]["total"] for rows in sides.values() if rows), default=Decimal(1)) or Decimal(1)
    for rows in sides.values():
        for row in rows:
            row["part"] = int(row["total"] * 100 / deepest)
    sides["asks"].reverse()
    return sides


def _doubt(market: Market, shown: BookView | None, page: Owned) -> str:
    if market.closed:
        return "CLOSED"
    if shown is None:
        return "NO_BOOK"
    return shown.doubt or ("STALE" if page.now - shown.updated_at > ticket.STALE else "")


def _form(page: Owned, market: Market, **kwargs: Any) -> TicketForm:
    return TicketForm(user=page.user, mode=page.mode, market=market, **kwargs)
