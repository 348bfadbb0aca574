"""Makers of markets, tokens and seen trades for tests."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from markets.domain.catalogue import MarketFacts, OutcomeFacts
from markets.models import Token
from markets.services import catalogue
from markets.venue.ports import LeaderTradeSeen, Side

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LEADER = "0x" + "ab" * 20
_serial = count(1)


def make_token(*, fee_rate: Decimal | None = Decimal("0.05"), tick_size: Decimal = Decimal("0.01")) -> Token:
    """The first outcome of a new open market."""
    number = next(_serial)
    condition = f"0x{number:064x}"
    catalogue.upsert_markets(
        markets=[
            MarketFacts(
                condition_id=condition,
                outcomes=(
                    OutcomeFacts(str(10**20 + 2 * number), "Yes", 0),
                    OutcomeFacts(str(10**20 + 2 * number + 1), "No", 1),
                ),
                question=f"Will number {number} happen?",
                slug=f"number-{number}",
                fee_rate=fee_rate,
                tick_size=tick_size,
            )
        ],
        now=NOW,
    )
    return Token.objects.select_related("market").get(market__condition_id=condition, outcome_index=0)


def seen(
    *,
    token_id: str,
    condition_id: str = "0x" + "c" * 64,
    wallet: str = LEADER,
    side: Side = Side.BUY,
    price: str = "0.5",
    shares: str = "100",
    tx: str = "",
    source: str = "rtds",
    at: datetime = NOW,
) -> LeaderTradeSeen:
    """One fill as a source reports it."""
    return LeaderTradeSeen(
        wallet=wallet,
        token_id=token_id,
        condition_id=condition_id,
        side=side,
        price=price,
        shares=shares,
        transaction_hash=tx or f"0x{next(_serial):064x}",
        traded_s=int(at.timestamp()),
        source=source,
        received_ms=int(at.timestamp() * 1000) + 250,
        title="Will it rain?",
        slug="rain",
        outcome="Yes",
        outcome_index=0,
    )
