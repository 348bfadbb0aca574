"""What wallets allow contracts to take, on chain and as the order book last read it.

The order book answers from a cache: what happens on chain outside of it (a deposit, an approval, a split) is unknown to
it until the owner asks for an update. Its own trades it always knows (unverified).
Source: py-clob-client issues 287 and 297.
"""

from collections import defaultdict

from markets.venue.sandbox import contracts
from markets.venue.simulator.ledger import UNLIMITED, Ledger


class Approvals:
    """Allowances as the chain has them. Wallets, contracts and spenders are compared in lower case."""

    def __init__(self) -> None:
        self._cash: dict[str, dict[str, int]] = defaultdict(dict)
        self._operators: dict[str, set[tuple[str, str]]] = defaultdict(set)

    def grant_all(self, wallet: str) -> None:
        """Everything a trading wallet needs."""
        for spender in contracts.CASH_SPENDERS:
            self.approve_cash(wallet, spender, UNLIMITED)
        for contract, operator in contracts.SHARE_OPERATORS:
            self.set_operator(wallet, contract, operator, approved=True)

    def revoke_all(self, wallet: str) -> None:
        self._cash.pop(wallet, None)
        self._operators.pop(wallet, None)

    def approve_cash(self, wallet: str, spender: str, units: int) -> None:
        self._cash[wallet][spender.lower()] = units

    def set_operator(self, wallet: str, contract: str, operator: str, *, approved: bool) -> None:
        pair = (contract.lower(), operator.lower())
        if approved:
            self._operators[wallet].add(pair)
        else:
            self._operators[wallet].discard(pair)

    def cash_allowance(self, wallet: str, spender: str) -> int:
        return self._cash.get(wallet, {}).get(spender.lower(), 0)

    def is_operator(self, wallet: str, contract: str, operator: str) -> bool:
        return (contract.lower(), operator.lower()) in self._operators.get(wallet, ())

    def copy_of(self, wallet: str) -> tuple[dict[str, int], set[tuple[str, str]]]:
        return dict(self._cash.get(wallet, {})), set(self._operators.get(wallet, ()))


class Unseen:
    """What the chain gave each wallet, by token ("" for cash), that the order book has not read yet."""

    def __init__(self) -> None:
        self.units: dict[str, dict[str, int]] = defaultdict(dict)


class ClobView:
    """Balances and allowances as the order book believes them. `stale` off makes it read the chain each time."""

    def __init__(self, ledger: Ledger, approvals: Approvals) -> None:
        self.stale = True
        self._ledger = ledger
        self._approvals = approvals
        self.unseen = Unseen()
        self._read: dict[str, tuple[dict[str, int], set[tuple[str, str]]]] = {}

    def moved(self, wallet: str, units: int, *, token_id: str = "") -> None:
        """The chain gave (or, negative, took) cash or shares without the order book."""
        unseen = self.unseen.units[wallet]
        unseen[token_id] = unseen.get(token_id, 0) + units

    def update(self, wallet: str) -> None:
        """Read the chain anew."""
        self.unseen.units.pop(wallet, None)
        self._read[wallet] = self._approvals.copy_of(wallet)

    def balance(self, wallet: str, *, token_id: str = "") -> int:
        """Units of cash, or of a token."""
        holdings = self._ledger.wallets.get(wallet)
        if holdings is None:
            return 0
        real = holdings.shares.get(token_id, 0) if token_id else holdings.cash
        return max(real - self._hidden(wallet, token_id), 0)

    def spendable(self, wallet: str, *, token_id: str = "") -> int:
        """What new orders may use: the balance without what resting orders hold back."""
        holdings = self._ledger.wallets.get(wallet)
        if holdings is None:
            return 0
        free = holdings.free_shares(token_id) if token_id else holdings.free_cash
        return max(free - self._hidden(wallet, token_id), 0)

    def allowances(self, wallet: str, *, token_id: str = "") -> dict[str, int]:
        """Allowance of each spender that matters for cash, or for a token."""
        cash, operators = self._known(wallet)
        if not token_id:
            return {spender: cash.get(spender.lower(), 0) for spender in contracts.CASH_SPENDERS}
        contract = contracts.token_contract(token_id)
        return {
            operator: UNLIMITED if (contract.lower(), operator.lower()) in operators else 0
            for of, operator in contracts.SHARE_OPERATORS
            if of == contract
        }

    def allowance(self, wallet: str, spender: str, *, token_id: str = "") -> int:
        """What one spender may take of cash, or of a token."""
        cash, operators = self._known(wallet)
        if not token_id:
            return cash.get(spender.lower(), 0)
        pair = (contracts.token_contract(token_id).lower(), spender.lower())
        return UNLIMITED if pair in operators else 0

    def _hidden(self, wallet: str, token_id: str) -> int:
        return self.unseen.units.get(wallet, {}).get(token_id, 0) if self.stale else 0

    def _known(self, wallet: str) -> tuple[dict[str, int], set[tuple[str, str]]]:
        if not self.stale:
            return self._approvals.copy_of(wallet)
        known = self._read.get(wallet)
        if known is None:
            known = self._read[wallet] = self._approvals.copy_of(wallet)
        return known
