"""What the tests of cards share: a market, orders past the risk gate, and the adapter behind the port."""

from itertools import count
from typing import Any

import pytest

from markets.tests.venue_fixtures import LiveSession, approved
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.venue.polymarket.session import PolymarketVenue
from markets.venue.ports import (
    OrderType,
    PreparedOrder,
    Side,
)
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from polyhub.lib.clock import SystemClock

_slugs = count()
ORDERS = "POST /order"


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return a_market(sandbox)


def a_market(sandbox: RunningSandbox, **fields: Any) -> SandboxMarket:
    return sandbox.create_market(
        f"card-{next(_slugs)}",
        bids=[("0.48", "100")],
        asks=[("0.52", "50"), ("0.53", "100")],
        **{"fee_rate": "0.05", **fields},
    )


async def prepared(session: LiveSession, market: SandboxMarket, **wanted: Any) -> PreparedOrder:
    terms = {"side": Side.BUY, "order_type": OrderType.GTC, "price": 45, "shares": 10, **wanted}
    side, order_type = terms.pop("side"), terms.pop("order_type")
    token = terms.pop("token", market.yes)
    return await session.venue.prepare(approved(token, side, order_type, now=SystemClock().now(), **terms))


def posts(session: LiveSession) -> int:
    return session.transport.budget.taken[ORDERS]


def adapter(session: LiveSession) -> PolymarketVenue:
    assert isinstance(session.venue, PolymarketVenue)
    return session.venue
