"""What the orders of one source (a copy rule, a strategy) hold of a token: derived from them, so it cannot drift."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from polyhub.lib import prepared
from polyhub.lib.money import ZERO
from trading.models import UNFINISHED_SQL

_SUMS = f"""
SELECT o.source_ref, o.token_id,
       COALESCE(sum(o.filled_shares) FILTER (WHERE o.side = 'BUY'), 0),
       COALESCE(sum(o.filled_usdc + o.fee_usdc) FILTER (WHERE o.side = 'BUY'), 0),
       COALESCE(sum(o.filled_shares) FILTER (WHERE o.side = 'SELL'), 0),
       COALESCE(sum(o.filled_usdc - o.fee_usdc) FILTER (WHERE o.side = 'SELL'), 0),
       COALESCE(sum(greatest(o.shares - o.filled_shares, 0))
                FILTER (WHERE o.side = 'BUY' AND o.status IN {UNFINISHED_SQL}), 0),
       COALESCE(sum(o.reserved_usdc) FILTER (WHERE o.side = 'BUY' AND o.status IN {UNFINISHED_SQL}), 0),
       COALESCE(sum(greatest(o.shares - o.filled_shares, 0))
                FILTER (WHERE o.side = 'SELL' AND o.status IN {UNFINISHED_SQL}), 0)
FROM trading_order o
"""
_OF_PAIRS = """
JOIN unnest(%(refs)s::text[], %(tokens)s::bigint[]) AS p(ref, token) ON o.source_ref = p.ref AND o.token_id = p.token
WHERE o.source_ref <> '' AND o.source = %(source)s GROUP BY o.source_ref, o.token_id
"""
_OF_REFS = """
WHERE o.source_ref <> '' AND o.source_ref = ANY(%(refs)s) AND o.source = %(source)s GROUP BY o.source_ref, o.token_id
"""


@dataclass(frozen=True, slots=True)
class Booked:
    """Shares and pUSD of one source in one token; `buying` and `selling` belong to orders not finished yet."""

    bought: Decimal = ZERO
    spent_usdc: Decimal = ZERO
    sold: Decimal = ZERO
    received_usdc: Decimal = ZERO
    buying: Decimal = ZERO
    buying_usdc: Decimal = ZERO
    selling: Decimal = ZERO

    @property
    def held(self) -> Decimal:
        return max(self.bought - self.sold, ZERO)

    @property
    def cost_usdc(self) -> Decimal:
        """Cost of what is still held, at the average price paid, fees included."""
        return self.spent_usdc * self.held / self.bought if self.bought else ZERO

    @property
    def realized_usdc(self) -> Decimal:
        """What the sales brought above the average cost of what they sold."""
        return self.received_usdc - (self.spent_usdc - self.cost_usdc)


def ask_by_pair(*, source: str, pairs: Sequence[tuple[str, int]]) -> prepared.Cursor:
    """For (source_ref, token row) pairs; `read` gives the answer, pairs without orders are absent. One statement."""
    refs, tokens = [ref for ref, _ in pairs], [token for _, token in pairs]
    return prepared.send(_SUMS + _OF_PAIRS, {"refs": refs, "tokens": tokens, "source": source})


def by_ref(*, source: str, refs: Sequence[str]) -> dict[tuple[str, int], Booked]:
    """Every token of these sources. One statement."""
    return read(prepared.rows(_SUMS + _OF_REFS, {"refs": list(refs), "source": source}))


def read(rows: Sequence[tuple[Any, ...]]) -> dict[tuple[str, int], Booked]:
    """Answered rows by source_ref and token row."""
    return {(row[0], int(row[1])): Booked(*row[2:]) for row in rows}


def tokens_in_play() -> list[str]:
    """Token ids that accounts hold or have unfinished orders in: they need quotes."""
    rows = prepared.rows(
        f"""SELECT t.token_id FROM markets_token t
           WHERE t.id IN (SELECT token_id FROM trading_position WHERE shares > 0)
              OR t.id IN (SELECT token_id FROM trading_order WHERE status IN {UNFINISHED_SQL}) ORDER BY t.token_id"""
    )
    return [row[0] for row in rows]
