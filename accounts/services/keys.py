"""Bringing a trading key in. It is sealed at once to the signer's public key and is never seen again."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from accounts.domain.custody import KeyKind
from accounts.domain.keys import trading_key_place
from accounts.models import SigningPolicy, TradingAccount, TradingKey
from polyhub.lib import crypto
from polyhub.lib.errors import AppError


class VaultNotReady(AppError):
    """There is no public key to seal to: the signer has never run."""

    code = "VAULT_NOT_READY"
    http_status = 503


class BadPolicy(AppError):
    """The signing limits contradict themselves; `details.field` names the wrong one."""

    code = "BAD_POLICY"


@dataclass(frozen=True, slots=True)
class PolicyValues:
    """What the signer will sign for an account, in pUSD and dollars a share."""

    max_order_usdc: Decimal = Decimal(500)
    max_day_usdc: Decimal = Decimal(5000)
    min_price: Decimal = Decimal("0.01")
    max_price: Decimal = Decimal("0.99")


@sensitive_variables("private_key")
@transaction.atomic
def seal_key(*, account: TradingAccount, private_key: bytes, now: datetime) -> TradingKey:
    """Seal and store; a second import replaces the first one of the same address. Raises VaultNotReady."""
    recipient = crypto.read_public_key(settings.SIGNER_PUBLIC_KEY_FILE)
    if recipient is None:
        raise VaultNotReady("The signer has not made its key yet. Start it, then import again.")
    # The same key sealed anew stays what it was, and ends when it did.
    before = TradingKey.objects.filter(account=account, address=account.signer_address).first()
    TradingKey.objects.filter(account=account).delete()
    row_id = uuid.uuid4()
    place = trading_key_place(key_id=row_id, user_id=account.user_id, account_id=account.id)
    return TradingKey.objects.create(
        id=row_id,
        account=account,
        key_id=crypto.key_id_of(recipient),
        sealed=crypto.seal(private_key, recipient=recipient, place=place),
        address=account.signer_address,
        kind=before.kind if before else KeyKind.OWNER,
        expires_at=before.expires_at if before else None,
        created_at=now,
    )


def set_policy(*, account: TradingAccount, values: PolicyValues, now: datetime) -> SigningPolicy:
    """Replace the signer's limits of an account. Raises BadPolicy."""
    if values.max_order_usdc <= 0:
        raise BadPolicy("The largest order must be above zero.", details={"field": "max_order_usdc"})
    if values.max_day_usdc < values.max_order_usdc:
        raise BadPolicy("A day must allow at least one largest order.", details={"field": "max_day_usdc"})
    if not 0 < values.min_price <= values.max_price < 1:
        raise BadPolicy("Prices lie between 0 and 1, the lowest first.", details={"field": "min_price"})
    policy, _ = SigningPolicy.objects.update_or_create(
        account=account,
        defaults={
            "max_order_usdc": values.max_order_usdc,
            "max_day_usdc": values.max_day_usdc,
            "min_price": values.min_price,
            "max_price": values.max_price,
            "updated_at": now,
        },
    )
    return policy
