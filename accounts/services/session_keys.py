"""Session keys: made or brought in here, sealed at once, and kept beside the account until they take over."""

import uuid
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from accounts.domain import custody
from accounts.domain.custody import KeyKind
from accounts.domain.keys import BadKey, trading_key_place
from accounts.domain.statuses import AccountMode
from accounts.models import NextKey, TradingAccount, TradingKey
from accounts.services.keys import VaultNotReady
from polyhub.lib import crypto
from polyhub.lib.errors import AppError

DEPOSIT_WALLET: Final = 3


class NoSessionKeys(AppError):
    """Only deposit wallets can lend themselves to a session key."""

    code = "NO_SESSION_KEYS"


class BadLifetime(AppError):
    """A session key lives from an hour to about 180 days; `details.field` is `expires_at`."""

    code = "BAD_LIFETIME"


class NoNextKey(AppError):
    """There is no key that could take over."""

    code = "NO_NEXT_KEY"
    http_status = 409


@sensitive_variables("private_key")
@transaction.atomic
def keep_next(
    *, account: TradingAccount, private_key: bytes, address: str, expires_at: datetime, now: datetime
) -> NextKey:
    """Seal a session key for later, in place of one that waited. Raises NoSessionKeys, BadLifetime, VaultNotReady."""
    if account.mode != AccountMode.LIVE or account.signature_type != DEPOSIT_WALLET:
        raise NoSessionKeys("Session keys trade for deposit wallets only.")
    if not custody.MIN_LIFE <= expires_at - now <= custody.MAX_LIFE:
        raise BadLifetime("A session key lives one hour to 179 days.", details={"field": "expires_at"})
    if address == account.signer_address:
        raise BadKey("This key trades for the account already.")
    recipient = crypto.read_public_key(settings.SIGNER_PUBLIC_KEY_FILE)
    if recipient is None:
        raise VaultNotReady("The signer has not made its key yet. Start it, then try again.")
    NextKey.objects.filter(account=account).delete()
    row_id = uuid.uuid4()
    place = trading_key_place(key_id=row_id, user_id=account.user_id, account_id=account.id)
    return NextKey.objects.create(
        id=row_id,
        account=account,
        key_id=crypto.key_id_of(recipient),
        sealed=crypto.seal(private_key, recipient=recipient, place=place),
        address=address,
        expires_at=expires_at,
        created_at=now,
    )


@transaction.atomic
def drop_next(*, account: TradingAccount) -> None:
    """Destroy a key that was waiting; twice is the same."""
    NextKey.objects.filter(account=account).delete()


@transaction.atomic
def take_over(*, account: TradingAccount, now: datetime) -> TradingKey:
    """The waiting key becomes the account's, and the one before it is destroyed. Raises NoNextKey.

    Only after the old key was let go of: see `trading.services.key_rotation`.
    """
    following = NextKey.objects.select_for_update().filter(account=account).first()
    if following is None:
        raise NoNextKey("There is no session key waiting.")
    TradingKey.objects.filter(account=account).delete()
    key = TradingKey.objects.create(
        id=following.id,
        account=account,
        key_id=following.key_id,
        sealed=following.sealed,
        address=following.address,
        kind=KeyKind.SESSION,
        expires_at=following.expires_at,
        created_at=now,
    )
    account.signer_address = following.address
    account.save(update_fields=["signer_address"])
    following.delete()
    return key


@transaction.atomic
def destroy(*, account: TradingAccount) -> None:
    """Forget the account's keys for good. What was signed stays signed, and the venue still knows a session key."""
    TradingKey.objects.filter(account=account).delete()
    NextKey.objects.filter(account=account).delete()
