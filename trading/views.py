"""Pages of orders and positions."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from polyhub.mixins import Owned, Page, kept, page_of
from trading import selectors
from trading.domain.orders import UNFINISHED, OrderStatus
from trading.services import orders

STATUSES = {"open": [str(status) for status in UNFINISHED], **{str(status): [str(status)] for status in OrderStatus}}


class Orders(Page):
    template_name = "trading/orders.html"
    parts = {"orders": "trading/_orders.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        status = self.request.GET.get("status", "")
        rows = selectors.orders_of_user(user=self.user, mode=self.mode)
        if status in STATUSES:
            rows = rows.filter(status__in=STATUSES[status])
        return super().get_context_data(
            page=page_of(self.request, rows),
            statuses=list(OrderStatus),
            status=status,
            keep=kept(self.request),
            **kwargs,
        )


class OrderDetail(Page):
    """The life of one order: what was asked, every change, every fill."""

    template_name = "trading/order.html"
    parts = {"life": "trading/_order_life.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        order = selectors.order_of(user=self.user, order_id=kwargs["order_id"])
        return super().get_context_data(
            order=order,
            events=selectors.events_of(order=order),
            fills=selectors.fills_of(order=order),
            can_cancel=OrderStatus(order.status) in UNFINISHED and order.cancel_requested_at is None,
            **kwargs,
        )


class CancelOrder(Owned):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, order_id: int) -> HttpResponseBase:
        order = selectors.order_of(user=self.user, order_id=order_id)
        orders.request_cancel(order=order, actor=f"user:{self.user.pk}", now=self.now)
        return self.done("Cancel asked for.", to=self.back(reverse("order", args=[order_id])))


class Positions(Page):
    template_name = "trading/positions.html"
    parts = {"positions": "trading/_positions.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        portfolio = selectors.portfolio_of(user=self.user, mode=self.mode)
        page = page_of(self.request, portfolio.holdings)
        return super().get_context_data(portfolio=portfolio, page=page, holdings=page.object_list, **kwargs)
