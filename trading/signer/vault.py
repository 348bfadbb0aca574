"""Opening sealed keys: the one place of the product where a private key exists in clear."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from markets.venue import signing
from polyhub.lib import crypto
from trading.signer.keys import KeyRing
from trading.signer.records import AccountRow

CACHE_KEYS = 1024
CACHE_S = 900.0


class KeyMissing(Exception):
    """The account has no key."""


class Vault:
    """Opens keys and keeps a bounded number of them for a quarter of an hour.

    Python cannot wipe memory: a cached key is no more exposed than one that was just used, and the process,
    not the cache, is the protection.
    """

    def __init__(self, reload: Callable[[], KeyRing], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._reload = reload
        self._ring = reload()
        self._monotonic = monotonic
        self._cache: OrderedDict[bytes, tuple[float, bytes, str]] = OrderedDict()

    @property
    def key_ids(self) -> list[str]:
        return [pair.key_id for pair in self._ring.pairs]

    def key_for(self, account: AccountRow) -> bytes:
        """The account's private key. Raises KeyMissing, or SealBroken when it is not the key the account names."""
        if account.key is None:
            raise KeyMissing
        name = hashlib.sha256(account.key.sealed + account.key.place.associated("cache")).digest()
        until, private, address = self._cache.get(name, (0.0, b"", ""))
        if until <= self._monotonic():
            private = self._open(account.key.sealed, account.key.place)
            address = signing.address_of(private).lower()
            self._cache[name] = (self._monotonic() + CACHE_S, private, address)
        self._cache.move_to_end(name)
        while len(self._cache) > CACHE_KEYS:
            self._cache.popitem(last=False)
        if address != account.signer_address.lower():
            raise crypto.SealBroken("The key does not belong to the account's signer address.")
        return private

    def _open(self, sealed: bytes, place: crypto.Place) -> bytes:
        if crypto.sealed_for(sealed) not in self._ring.private_keys:
            self._ring = self._reload()  # rotated since we started
        return crypto.open_sealed(sealed, private_keys=self._ring.private_keys, place=place)
