"""Who owns what, in integer base units. Nothing is created or lost: `check` proves it.

cash of all + cash in flight + collateral + fees = everything ever deposited - withdrawn
both tokens of a market, held + in flight = its collateral; once decided: what they are worth = its collateral
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

UNLIMITED = 2**256 - 1


class LedgerBroken(AssertionError):
    """Money or shares appeared or vanished, or something went negative."""


class InsufficientFunds(ValueError):
    """The wallet does not own (unreserved) what should be taken from it."""


@dataclass(slots=True)
class Holdings:
    """One wallet. `reserved*` is the part held for resting orders; the rest may be spent."""

    cash: int = 0
    reserved_cash: int = 0
    cash_allowance: int = 0
    shares_approved: bool = False
    shares: dict[str, int] = field(default_factory=dict)
    reserved_shares: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "Holdings":
        return replace(self, shares=dict(self.shares), reserved_shares=dict(self.reserved_shares))

    @property
    def free_cash(self) -> int:
        return self.cash - self.reserved_cash

    def free_shares(self, token_id: str) -> int:
        return self.shares.get(token_id, 0) - self.reserved_shares.get(token_id, 0)


class Ledger:
    def __init__(self) -> None:
        self.wallets: dict[str, Holdings] = {}
        self.collateral: dict[str, int] = defaultdict(int)
        self.fees_units = 0
        self.deposited_units = 0
        self.cash_in_flight = 0
        self.shares_in_flight: dict[str, int] = defaultdict(int)
        self.payouts: dict[str, tuple[int, int]] = {}

    def wallet(self, wallet: str) -> Holdings:
        """Holdings of a wallet; an unknown one owns nothing and has approved nothing."""
        found = self.wallets.get(wallet)
        if found is None:
            found = self.wallets[wallet] = Holdings()
        return found

    def deposit(self, wallet: str, cash_units: int) -> None:
        self.wallet(wallet).cash += cash_units
        self.deposited_units += cash_units

    def approve(self, wallet: str, *, cash_allowance: int = UNLIMITED, shares: bool = True) -> None:
        holdings = self.wallet(wallet)
        holdings.cash_allowance = cash_allowance
        holdings.shares_approved = shares

    def split(self, wallet: str, condition_id: str, token_ids: tuple[str, str], units: int) -> None:
        """Turn cash into the same number of shares of both tokens."""
        self._take_cash(wallet, units)
        self.collateral[condition_id] += units
        holdings = self.wallet(wallet)
        for token in token_ids:
            holdings.shares[token] = holdings.shares.get(token, 0) + units

    def merge(self, wallet: str, condition_id: str, token_ids: tuple[str, str], units: int) -> None:
        """Turn shares of both tokens back into cash."""
        holdings = self.wallet(wallet)
        if min(holdings.free_shares(token) for token in token_ids) < units:
            raise InsufficientFunds(f"fewer than {units} units of both tokens")
        for token in token_ids:
            holdings.shares[token] -= units
        self.collateral[condition_id] -= units
        holdings.cash += units

    def move_cash(self, wallet: str, to: str, units: int) -> None:
        """A transfer between wallets."""
        self._take_cash(wallet, units)
        self.wallet(to).cash += units

    def move_shares(self, wallet: str, to: str, token_id: str, units: int) -> None:
        holdings = self.wallet(wallet)
        if holdings.free_shares(token_id) < units:
            raise InsufficientFunds(f"{holdings.free_shares(token_id)} units of {token_id}, {units} wanted")
        holdings.shares[token_id] -= units
        self.receive_shares(to, token_id, units)

    def withdraw(self, wallet: str, units: int) -> None:
        """Cash that leaves for good."""
        self._take_cash(wallet, units)
        self.deposited_units -= units

    def settle_market(self, condition_id: str, payouts: tuple[int, int]) -> None:
        """A market is decided: a share of each token is worth its part of the sum of both payouts."""
        self.payouts[condition_id] = payouts

    def redeem_wallet(self, wallet: str, condition_id: str, token_ids: tuple[str, str]) -> int:
        """Turn every share of a decided market that is not held back into what it is worth; gives the cash paid."""
        holdings, payouts = self.wallet(wallet), self.payouts[condition_id]
        worth = 0
        for token, part in zip(token_ids, payouts, strict=True):
            units = holdings.free_shares(token)
            worth += units * part
            holdings.shares[token] = holdings.shares.get(token, 0) - units
            if not holdings.shares[token]:
                del holdings.shares[token]
        paid = worth // sum(payouts)
        self.collateral[condition_id] -= paid
        holdings.cash += paid
        return paid

    def redeem(self, condition_id: str, token_ids: tuple[str, str]) -> dict[str, int]:
        """Redeem a decided market for everybody; gives what each wallet was paid."""
        paid = {name: self.redeem_wallet(name, condition_id, token_ids) for name in self.wallets}
        return {name: units for name, units in paid.items() if units}

    def _take_cash(self, wallet: str, units: int) -> None:
        holdings = self.wallet(wallet)
        if holdings.free_cash < units:
            raise InsufficientFunds(f"{holdings.free_cash} units of cash, {units} wanted")
        holdings.cash -= units

    def reserve_cash(self, wallet: str, units: int) -> None:
        self.wallet(wallet).reserved_cash += units

    def reserve_shares(self, wallet: str, token_id: str, units: int) -> None:
        reserved = self.wallet(wallet).reserved_shares
        left = reserved.get(token_id, 0) + units
        if left:
            reserved[token_id] = left
        else:
            reserved.pop(token_id, None)

    def send_cash(self, wallet: str, units: int) -> None:
        """From a wallet into flight; negative takes it back."""
        self.wallet(wallet).cash -= units
        self.cash_in_flight += units

    def send_shares(self, wallet: str, token_id: str, units: int) -> None:
        holdings = self.wallet(wallet)
        holdings.shares[token_id] = holdings.shares.get(token_id, 0) - units
        self.shares_in_flight[token_id] += units

    def receive_cash(self, wallet: str, units: int) -> None:
        """Settled proceeds; the caller balances the flight with `settle`."""
        self.wallet(wallet).cash += units

    def receive_shares(self, wallet: str, token_id: str, units: int) -> None:
        holdings = self.wallet(wallet)
        holdings.shares[token_id] = holdings.shares.get(token_id, 0) + units

    def snapshot(self) -> dict[str, Any]:
        """Everything as it is now, for `restore`."""
        kept = {name: dict(value) if isinstance(value, dict) else value for name, value in vars(self).items()}
        kept["wallets"] = {name: holdings.copy() for name, holdings in self.wallets.items()}
        return kept

    def restore(self, kept: dict[str, Any]) -> None:
        """Undo everything since the snapshot."""
        for name, value in kept.items():
            if isinstance(value, dict):
                held = getattr(self, name)
                held.clear()
                held.update(value)
            else:
                setattr(self, name, value)

    def check(self, markets: dict[str, tuple[str, str]]) -> None:
        """Raise LedgerBroken unless every sum above holds and nothing is negative. `markets`: condition -> tokens."""
        held: dict[str, int] = defaultdict(int)
        cash = self.cash_in_flight + self.fees_units + sum(self.collateral.values())
        for name, holdings in self.wallets.items():
            cash += holdings.cash
            if holdings.cash < 0 or not 0 <= holdings.reserved_cash <= holdings.cash:
                raise LedgerBroken(f"{name}: cash {holdings.cash}, reserved {holdings.reserved_cash}")
            for token, units in holdings.shares.items():
                held[token] += units
                if units < 0 or not 0 <= holdings.reserved_shares.get(token, 0) <= units:
                    raise LedgerBroken(f"{name}: {units} shares of {token}")
        if cash != self.deposited_units:
            raise LedgerBroken(f"{cash} units of cash where {self.deposited_units} were deposited")
        for condition_id, tokens in markets.items():
            if condition_id in self.payouts:
                self._check_decided(condition_id, [held[token] + self.shares_in_flight[token] for token in tokens])
                continue
            for token in tokens:
                units = held[token] + self.shares_in_flight[token]
                if units != self.collateral[condition_id]:
                    raise LedgerBroken(f"{units} shares of {token} on {self.collateral[condition_id]} of collateral")

    def _check_decided(self, condition_id: str, held: list[int]) -> None:
        """What is left to redeem is covered; a payout of halves may leave dust behind."""
        payouts = self.payouts[condition_id]
        owed = sum(units * part for units, part in zip(held, payouts, strict=True))
        covered = self.collateral[condition_id] * sum(payouts)
        if covered < owed or (0 in payouts and covered != owed):
            raise LedgerBroken(f"{held} shares of {condition_id} on {self.collateral[condition_id]} of collateral")
