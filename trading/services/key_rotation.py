"""From one trading key to the next: let go of the old one first, then let the new one take over.

A session key is thought to see its own orders only (unverified): whatever the old key has open is cancelled and brought
to its end before the switch, and the engine, which holds the old key's credentials, has to be gone.
"""

import os
from datetime import datetime, timedelta

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from accounts.domain.custody import MAX_LIFE, MIN_LIFE, KeyKind
from accounts.domain.keys import parse_private_key
from accounts.domain.statuses import AccountStatus
from accounts.models import NextKey, TradingAccount, TradingKey, User
from accounts.services import accounts, session_keys
from accounts.services.session_keys import NoNextKey
from markets.venue import signing
from polyhub.lib.errors import AppError
from trading.domain.orders import UNFINISHED, EngineState
from trading.models import Engine, Order
from trading.services import accounts as live
from trading.services import orders

# An engine that did not beat for so long is not there.
ENGINE_GONE = timedelta(seconds=20)
_GONE_STATES = (EngineState.INIT, EngineState.STOPPED)


class StillDraining(AppError):
    """Orders of the old key are not finished, or its engine is not gone yet."""

    code = "STILL_DRAINING"
    http_status = 409


def make_session_key(*, account: TradingAccount, life: timedelta, now: datetime) -> NextKey:
    """A new key, made here and sealed at once; nobody sees it, and its owner has yet to authorise its address."""
    key = os.urandom(32)
    return session_keys.keep_next(
        account=account, private_key=key, address=signing.address_of(key), expires_at=now + min(life, MAX_LIFE), now=now
    )


@sensitive_variables("key")
@transaction.atomic
def open_with_session_key(
    *, user: User, name: str, trading_address: str, life: timedelta, now: datetime
) -> TradingAccount:
    """A live account that never had its owner's key: a session key made here, to be authorised by the owner.

    It comes paused. Raises BadAccount, BadAddress, BadLifetime, VaultNotReady.
    """
    if not MIN_LIFE <= life <= MAX_LIFE:
        raise session_keys.BadLifetime("A session key lives one hour to 179 days.", details={"field": "days"})
    key = os.urandom(32)
    account = live.open_live_account(
        user=user,
        name=name,
        private_key=key.hex(),
        signature_type=signing.DEPOSIT_WALLET,
        trading_address=trading_address,
        now=now,
    )
    TradingKey.objects.filter(account=account).update(kind=KeyKind.SESSION, expires_at=now + life)
    return accounts.set_status(
        account=account, status=AccountStatus.PAUSED, reason="Authorise its key, then resume", now=now
    )


@sensitive_variables("private_key", "key")
def import_session_key(*, account: TradingAccount, private_key: str, expires_at: datetime, now: datetime) -> NextKey:
    """A session key authorised elsewhere. Raises BadKey, BadLifetime, NoSessionKeys."""
    key = parse_private_key(private_key)
    return session_keys.keep_next(
        account=account, private_key=key, address=signing.address_of(key), expires_at=expires_at, now=now
    )


@transaction.atomic
def begin(*, account: TradingAccount, actor: str, now: datetime) -> NextKey:
    """Stop the account and ask back what it has open. Raises NoNextKey."""
    following = NextKey.objects.select_for_update().filter(account=account).first()
    if following is None:
        raise NoNextKey("There is no session key waiting.")
    if account.status != AccountStatus.STOPPED:
        accounts.set_status(account=account, status=AccountStatus.STOPPED, reason="Changing its key", now=now)
        orders.request_cancel_all(account=account, actor=actor, now=now)
    following.draining_at = following.draining_at or now
    following.save(update_fields=["draining_at"])
    return following


@transaction.atomic
def finish(*, account: TradingAccount, now: datetime) -> TradingKey:
    """Switch to the waiting key; the account comes back paused. Raises NoNextKey, StillDraining."""
    row = TradingAccount.objects.select_for_update().get(pk=account.pk)
    following = NextKey.objects.filter(account=row).first()
    if following is None:
        raise NoNextKey("There is no session key waiting.")
    reason = what_is_left(account=row, now=now)
    if reason:
        raise StillDraining(reason)
    key = session_keys.take_over(account=row, now=now)
    accounts.set_status(account=row, status=AccountStatus.PAUSED, reason="Trades with a new key: resume it", now=now)
    return key


def what_is_left(*, account: TradingAccount, now: datetime) -> str:
    """Why the old key cannot be let go of yet; empty when it can."""
    if account.status != AccountStatus.STOPPED:
        return "The account is not stopped yet."
    count = Order.objects.filter(account=account, status__in=sorted(UNFINISHED)).count()
    if count:
        return f"{count} orders of the old key are not finished."
    engine = Engine.objects.filter(account=account).first()
    beaten = engine is not None and engine.beat_at is not None and now - engine.beat_at < ENGINE_GONE
    if engine is not None and beaten and engine.state not in _GONE_STATES:
        return "The engine has not let go of the account yet."
    return ""


def destroy_keys(*, account: TradingAccount, actor: str, now: datetime) -> None:
    """The brake within our reach: stop the account, ask back its orders, forget its keys."""
    with transaction.atomic():
        if account.status != AccountStatus.STOPPED:
            accounts.set_status(
                account=account, status=AccountStatus.STOPPED, reason="Its keys were destroyed", now=now
            )
        orders.request_cancel_all(account=account, actor=actor, now=now)
        session_keys.destroy(account=account)
