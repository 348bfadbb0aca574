"""What a simulated venue has to be told when it begins again: it remembers nothing itself."""

from uuid import UUID

from markets.venue.simulator.paper import RestoredOrder, RestoredState
from polyhub.lib import money
from trading.domain.orders import OrderStatus
from trading.models import Balance, Order, Position
from trading.services.work import terms_of


def state_of(*, account_id: UUID) -> RestoredState:
    """Cash, shares and resting orders of an account by our own books."""
    balance = Balance.objects.filter(account_id=account_id).first()
    held = Position.objects.filter(account_id=account_id, shares__gt=0).select_related("token")
    resting = (
        Order.objects.filter(account_id=account_id, status__in=[OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED])
        .filter(order_type__in=["GTC", "GTD"])
        .select_related("token__market")
        .order_by("id")
    )
    return RestoredState(
        cash_units=money.to_units(balance.cash_usdc) if balance is not None else 0,
        shares={position.token.token_id: money.to_units(position.shares) for position in held},
        open_orders=[RestoredOrder(terms_of(order), money.to_units(order.filled_shares)) for order in resting],
    )
