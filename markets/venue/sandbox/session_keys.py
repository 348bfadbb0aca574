"""Signers that a deposit wallet's owner allowed to trade for it, for a while and for a purpose.

How the venue words the refusal of a key that has expired, was revoked or lacks the scope is (unverified): here it is
that of any signer that is not the wallet's.
"""

from collections import defaultdict
from dataclasses import dataclass

ALL, CLOB = "ALL", "CLOB"


@dataclass(slots=True)
class SessionKey:
    """`address` in checksum form signs for the wallet with this key (lower case) until `valid_until_s`."""

    address: str
    wallet: str
    scopes: tuple[str, ...]
    valid_until_s: int


class SessionKeys:
    def __init__(self) -> None:
        self._of_wallet: dict[str, dict[str, SessionKey]] = defaultdict(dict)

    def authorize(self, key: SessionKey) -> None:
        self._of_wallet[key.wallet][key.address.lower()] = key

    def revoke(self, wallet: str, address: str) -> bool:
        """Whether there was such a key."""
        return self._of_wallet[wallet].pop(address.lower(), None) is not None

    def active(self, wallet: str, *, now_s: int) -> list[SessionKey]:
        return [key for key in self._of_wallet.get(wallet, {}).values() if now_s < key.valid_until_s]

    def wallets_of(self, address: str, *, now_s: int) -> list[str]:
        """Wallets this address may sign for now."""
        return [
            wallet
            for wallet, keys in self._of_wallet.items()
            if address.lower() in keys and now_s < keys[address.lower()].valid_until_s
        ]

    def may_trade(self, wallet: str, address: str, *, now_s: int) -> bool:
        key = self._of_wallet.get(wallet, {}).get(address.lower())
        return key is not None and now_s < key.valid_until_s and bool({ALL, CLOB} & set(key.scopes))
