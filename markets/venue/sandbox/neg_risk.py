"""Converting NO shares of some outcomes of an event into YES shares of the others, as the venue's adapter does.

The adapter burns the NO shares it is given and the NO shares of the pairs it makes. What it lends itself for that is
exactly what the burned shares are worth once one outcome has won.
"""

from collections.abc import Sequence

from markets.venue.sandbox.events import MarketDef
from markets.venue.simulator.ledger import Ledger

BURN_WALLET = "0x" + "dead" * 10


class NothingToConvert(KeyError):
    """The index set names no market of the event."""


def chosen(members: Sequence[MarketDef], index_set: int) -> tuple[list[MarketDef], list[MarketDef]]:
    """(markets whose NO is given, markets whose YES is made); bit i of the set is the i-th market of the event."""
    given = [market for index, market in enumerate(members) if index_set >> index & 1]
    if not given:
        raise NothingToConvert("no convertible positions")
    return given, [market for index, market in enumerate(members) if not index_set >> index & 1]


def convert(ledger: Ledger, wallet: str, given: Sequence[MarketDef], made: Sequence[MarketDef], units: int) -> int:
    """Move the shares; gives the cash the wallet receives besides. Raises InsufficientFunds."""
    cash = (len(given) - 1) * units
    for market in given:
        ledger.move_shares(wallet, BURN_WALLET, market.token_ids[1], units)
    ledger.deposit(BURN_WALLET, (len(given) + len(made) - 1) * units)
    for market in made:
        ledger.split(BURN_WALLET, market.condition_id, market.token_ids, units)
        ledger.move_shares(BURN_WALLET, wallet, market.token_ids[0], units)
    ledger.move_cash(BURN_WALLET, wallet, cash)
    return cash
