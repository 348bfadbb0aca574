"""What tests of the signer share: a vault, a live account, a lease, and orders to sign."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

from accounts.models import TradingAccount, User
from accounts.services.keys import PolicyValues
from accounts.tests import factories
from markets.venue import signing
from markets.venue.ports import OrderTerms, OrderType, Side
from markets.venue.signers import SignRequest
from polyhub.lib.models import Service
from trading.signer import keys

SERVICE = "engine-0"
TOKEN_ID = "7" * 70


@dataclass(slots=True)
class Desk:
    """A live account whose key is made for this test alone."""

    owner: User
    account: TradingAccount
    private_key: bytes
    address: str
    private_file: Path
    public_file: Path
    fencing_token: int = 1

    def item(self, *, account_id: UUID | None = None, fencing_token: int | None = None, **terms: Any) -> SignRequest:
        """10 shares at 0.50 unless told otherwise."""
        order = order_terms(**terms)
        return SignRequest(
            account_id=account_id or self.account.id,
            terms=order,
            exchange=signing.exchange_of(order),
            service=SERVICE,
            fencing_token=self.fencing_token if fencing_token is None else fencing_token,
        )


def order_terms(
    *, price: int = 5000, shares: int = 10_000_000, side: Side = Side.BUY, intent: UUID | None = None, **other: Any
) -> OrderTerms:
    usdc = price * shares // 10_000
    terms = OrderTerms(
        client_order_id=intent or uuid4(),
        token_id=TOKEN_ID,
        side=side,
        order_type=OrderType.FAK,
        price_units=price,
        share_units=shares,
        maker_units=usdc if side is Side.BUY else shares,
        taker_units=shares if side is Side.BUY else usdc,
        salt=0,
        timestamp_ms=1_790_000_000_000,
    )
    return replace(terms, **{"salt": terms.client_order_id.int % 2**53, **other})


def set_up(folder: Path, settings: Any, *, name: str = "alice", policy: PolicyValues | None = None) -> Desk:
    """A vault in `folder`, an owner with a live account, and a lease that lasts a day."""
    private_file, public_file = folder / "private.key", folder / "public.key"
    keys.load_or_make(private_file=private_file, public_file=public_file, make=True)
    settings.SIGNER_PRIVATE_KEY_FILE, settings.SIGNER_PUBLIC_KEY_FILE = private_file, public_file
    private_key = uuid4().bytes + uuid4().bytes
    address = signing.address_of(private_key)
    owner = factories.user(name)
    account = factories.live_account(owner, private_key, address, policy=policy)
    lease(token=1)
    return Desk(owner, account, private_key, address, private_file, public_file)


def lease(*, token: int, lasts: str = "1 day") -> None:
    """The engine's lease as the database's clock sees it."""
    Service.objects.get_or_create(name=SERVICE)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE lib_service SET token = %s, owner = 'test', expires_at = now() + %s::interval WHERE name = %s",
            [token, lasts, SERVICE],
        )
