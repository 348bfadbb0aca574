"""What a browser starts from before it hears changes. Rows look exactly as the events that change them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from accounts.models import User
from accounts.selectors import accounts_of
from trading import selectors
from trading.models import Balance
from trading.services import changes, fills

Rows = list[dict[str, Any]]
MOST_ORDERS = 200


def accounts(user: User, now: datetime) -> Rows:
    rows = list(accounts_of(user=user))
    cash = dict(Balance.objects.filter(account__in=rows).values_list("account_id", "cash_usdc"))
    return [
        {
            "account": str(account.pk),
            "name": account.name,
            "mode": account.mode,
            "status": account.status,
            "is_primary": account.is_primary,
            "cash_usdc": str(cash.get(account.pk, "")),
        }
        for account in rows
    ]


def orders(user: User, now: datetime) -> Rows:
    """Orders under way."""
    rows = selectors.open_orders_of(user=user)[:MOST_ORDERS]
    return [changes.payload_of(order, token=order.token.token_id) for order in rows]


def positions(user: User, now: datetime) -> Rows:
    return [fills.position_payload(position) for position in selectors.positions_of_user(user=user)]


PARTS: Mapping[str, Callable[[User, datetime], Rows]] = {
    "accounts": accounts,
    "orders": orders,
    "positions": positions,
}
