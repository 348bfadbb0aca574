"""Who signs for an account. Keys live elsewhere; a venue session only asks, with the fencing token it acts under."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from markets.venue.ports import OrderTerms


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """How a trading account is known at the venue. A paper account has only its id."""

    account_id: UUID
    signature_type: int = 0
    signer_address: str = ""
    trading_address: str = ""


@dataclass(frozen=True, slots=True)
class SignRequest:
    """One order to sign; `exchange` is the verifying contract the caller computed the hash for."""

    account_id: UUID
    terms: OrderTerms
    exchange: str
    service: str
    fencing_token: int


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """`order_hash` as the signer computed it: the caller compares it with its own."""

    order_hash: str
    signature: str


@dataclass(frozen=True, slots=True)
class SignedAuth:
    """The venue's sign-in message (L1), signed by `address`."""

    address: str
    signature: str


class OrderSigner(Protocol):
    """Signs within policy. Implementations merge concurrent calls of many accounts into one batch.

    Raises Refused (policy, key missing: final) or Unavailable (nothing was decided: ask again).
    """

    async def sign_order(self, request: SignRequest) -> SignedOrder: ...

    async def sign_auth(self, *, account_id: UUID, timestamp_s: int, nonce: int) -> SignedAuth: ...
