"""API credentials: made from an L1 signature, checked by HMAC over the exact bytes received."""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from eth_utils.address import to_checksum_address

from markets.venue.sandbox import eip712

# The venue's own tolerance is not published; an hour-wrong clock must fail here as it does there.
_CLOCK_TOLERANCE_S = 60
_NAMES = uuid.UUID("0f9f3f6e-7c41-4a57-8b16-6d4f0c7f9ad2")


class Unauthorized(Exception):
    """Answered with 401 and this text."""


class KeyExists(Exception):
    """The address already has a key for this nonce: derive it instead."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """`signer` is the address whose L1 signature made them."""

    signer: str
    api_key: str
    secret: str
    passphrase: str
    secret_bytes: bytes

    def as_wire(self) -> dict[str, str]:
        return {"apiKey": self.api_key, "secret": self.secret, "passphrase": self.passphrase}


class KeyRing:
    """Credentials are a function of (salt, address, nonce), so they outlive a restart of the sandbox."""

    def __init__(self, salt: str) -> None:
        self._salt = salt
        self._by_key: dict[str, Credentials] = {}
        self._builders: dict[str, Credentials] = {}
        self._readonly: dict[str, str] = {}
        self._relayers: dict[str, str] = {}
        self._serial = count(1)

    def create(self, headers: Mapping[str, str], *, now_s: int) -> Credentials:
        signer, nonce = _l1(headers, now_s)
        made = self._make(signer, nonce)
        if made.api_key in self._by_key:
            raise KeyExists
        self._by_key[made.api_key] = made
        return made

    def derive(self, headers: Mapping[str, str], *, now_s: int) -> Credentials:
        signer, nonce = _l1(headers, now_s)
        made = self._make(signer, nonce)
        return self._by_key.setdefault(made.api_key, made)

    def revoke(self, credentials: Credentials) -> None:
        self._by_key.pop(credentials.api_key, None)

    def keys_of(self, signer: str) -> list[str]:
        return [found.api_key for found in self._by_key.values() if found.signer == signer]

    def check(self, headers: Mapping[str, str], *, method: str, path: str, body: bytes, now_s: int) -> Credentials:
        """Whose request this is. Raises Unauthorized."""
        found = _signed_by(self._by_key, headers, "POLY_", method=method, path=path, body=body, now_s=now_s)
        if headers.get("POLY_ADDRESS", "").lower() != found.signer.lower():
            raise Unauthorized("Unauthorized/Invalid api key")
        return found

    def check_builder(
        self, headers: Mapping[str, str], *, method: str, path: str, body: bytes, now_s: int
    ) -> Credentials:
        """Whose builder key signed this request. Raises Unauthorized."""
        return _signed_by(self._builders, headers, "POLY_BUILDER_", method=method, path=path, body=body, now_s=now_s)

    # -- keys for other purposes ---------------------------------------------------------------------------------

    def make_builder(self, owner: Credentials) -> Credentials:
        made = self._make(owner.signer, -next(self._serial))
        self._builders[made.api_key] = made
        return made

    def builder_keys_of(self, signer: str) -> list[str]:
        return [found.api_key for found in self._builders.values() if found.signer == signer]

    def revoke_builder(self, headers: Mapping[str, str], *, method: str, path: str, body: bytes, now_s: int) -> None:
        """Raises Unauthorized."""
        found = self.check_builder(headers, method=method, path=path, body=body, now_s=now_s)
        del self._builders[found.api_key]

    def make_relayer(self, signer: str) -> str:
        """A personal relayer key."""
        key = str(uuid.uuid5(_NAMES, f"relayer/{self._salt}/{signer.lower()}"))
        self._relayers[key] = signer.lower()
        return key

    def check_relayer(self, headers: Mapping[str, str], *, method: str, path: str, body: bytes, now_s: int) -> str:
        """The signer (lower case) whose relayer or builder key came with this request. Raises Unauthorized."""
        key, address = headers.get("RELAYER_API_KEY", ""), headers.get("RELAYER_API_KEY_ADDRESS", "").lower()
        if key:
            if self._relayers.get(key) != address:
                raise Unauthorized("invalid relayer api key")
            return address
        return self.check_builder(headers, method=method, path=path, body=body, now_s=now_s).signer.lower()

    def make_readonly(self, owner: Credentials) -> str:
        key = str(uuid.uuid5(_NAMES, f"readonly/{self._salt}/{owner.signer}/{next(self._serial)}"))
        self._readonly[key] = owner.signer
        return key

    def readonly_of(self, signer: str) -> list[str]:
        return [key for key, owner in self._readonly.items() if owner == signer]

    def revoke_readonly(self, signer: str, key: str) -> bool:
        """Whether the signer had this key."""
        if self._readonly.get(key) != signer:
            return False
        del self._readonly[key]
        return True

    def match(self, *, api_key: str, secret: str, passphrase: str) -> Credentials | None:
        """Credentials as the user socket sends them."""
        found = self._by_key.get(api_key)
        if found is None or (found.secret, found.passphrase) != (secret, passphrase):
            return None
        return found

    def _make(self, signer: str, nonce: int) -> Credentials:
        seed = f"{self._salt}/{signer}/{nonce}"
        raw = hashlib.sha256(f"secret/{seed}".encode()).digest()
        return Credentials(
            signer=signer,
            api_key=str(uuid.uuid5(_NAMES, seed)),
            secret=base64.urlsafe_b64encode(raw).decode(),
            passphrase=hashlib.sha256(f"passphrase/{seed}".encode()).hexdigest(),
            secret_bytes=raw,
        )


def _signed_by(
    known: Mapping[str, Credentials],
    headers: Mapping[str, str],
    prefix: str,
    *,
    method: str,
    path: str,
    body: bytes,
    now_s: int,
) -> Credentials:
    found = known.get(headers.get(f"{prefix}API_KEY", ""))
    timestamp = headers.get(f"{prefix}TIMESTAMP", "")
    if found is None or not timestamp.isdecimal() or headers.get(f"{prefix}PASSPHRASE") != found.passphrase:
        raise Unauthorized("Unauthorized/Invalid api key")
    message = f"{timestamp}{method}{path}".encode() + body
    digest = hmac.new(found.secret_bytes, message, hashlib.sha256).digest()
    expected = base64.urlsafe_b64encode(digest).decode()
    if not hmac.compare_digest(expected, headers.get(f"{prefix}SIGNATURE", "")):
        raise Unauthorized("Unauthorized/Invalid api key")
    if abs(now_s - int(timestamp)) > _CLOCK_TOLERANCE_S:
        raise Unauthorized("Unauthorized/Invalid api key")
    return found


def _l1(headers: Mapping[str, str], now_s: int) -> tuple[str, int]:
    address, timestamp = headers.get("POLY_ADDRESS", ""), headers.get("POLY_TIMESTAMP", "")
    nonce = headers.get("POLY_NONCE", "0")
    if not (timestamp.isdecimal() and nonce.isdecimal()) or abs(now_s - int(timestamp)) > _CLOCK_TOLERANCE_S:
        raise Unauthorized("Invalid L1 Request headers")
    try:
        claimed = to_checksum_address(address)
        signature = headers.get("POLY_SIGNATURE", "")
        signer = eip712.auth_signer(address=claimed, timestamp=timestamp, nonce=int(nonce), signature=signature)
    except ValueError as error:
        raise Unauthorized("Invalid L1 Request headers") from error
    if signer != claimed:
        raise Unauthorized("Invalid L1 Request headers")
    return signer, int(nonce)
