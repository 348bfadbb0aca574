"""Opening, resetting and stopping trading accounts with everything that hangs on them."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from accounts.domain.keys import BadAddress, BadKey, parse_address, parse_private_key
from accounts.domain.statuses import AccountMode, AccountStatus
from accounts.models import TradingAccount, User
from accounts.services import accounts, keys
from accounts.services.accounts import BadAccount
from accounts.services.keys import PolicyValues
from markets.venue import signing
from polyhub.lib.errors import AppError
from polyhub.lib.money import CENT, floor_to
from riskmgmt import services as risk
from riskmgmt.models import RiskState
from trading.domain.orders import UNFINISHED
from trading.models import Balance, Engine, Order
from trading.services import orders

MIN_PAPER_USDC = Decimal(10)
MAX_PAPER_USDC = Decimal(10_000_000)
SIGNATURE_TYPES = (signing.EOA, signing.PROXY, signing.SAFE, signing.DEPOSIT_WALLET)


class OrdersUnderWay(AppError):
    """Orders of the account are not finished."""

    code = "ORDERS_UNDER_WAY"
    http_status = 409


@transaction.atomic
def open_paper_account(*, user: User, name: str, start_usdc: Decimal, now: datetime) -> TradingAccount:
    """A paper account with its play money. Raises BadAccount."""
    is_amount = start_usdc.is_finite() and MIN_PAPER_USDC <= start_usdc <= MAX_PAPER_USDC
    if not is_amount or floor_to(start_usdc, CENT) != start_usdc:
        raise BadAccount(
            f"Start with {MIN_PAPER_USDC} to {MAX_PAPER_USDC:,} dollars, in whole cents.",
            details={"field": "start_usdc"},
        )
    account = accounts.create_account(
        user=user, name=name, mode=AccountMode.PAPER, paper_start_usdc=start_usdc, now=now
    )
    _equip(account, cash_usdc=start_usdc, now=now)
    return account


@sensitive_variables("private_key", "key")
@transaction.atomic
def open_live_account(
    *,
    user: User,
    name: str,
    private_key: str,
    signature_type: int,
    trading_address: str,
    now: datetime,
    policy: PolicyValues | None = None,
) -> TradingAccount:
    """A live account whose key is sealed before it is stored. The balance is the venue's to tell.

    `private_key` is 64 hex digits with or without 0x. `trading_address` holds the money: for type 0 it is the key's own
    address and may be left empty. Raises BadKey, BadAddress, BadAccount, BadPolicy or VaultNotReady.
    """
    key = parse_private_key(private_key)
    signer_address = signing.address_of(key)
    account = accounts.create_account(
        user=user,
        name=name,
        mode=AccountMode.LIVE,
        signature_type=signature_type,
        signer_address=signer_address,
        trading_address=_trading_address(trading_address, signer_address, signature_type),
        now=now,
    )
    keys.seal_key(account=account, private_key=key, now=now)
    keys.set_policy(account=account, values=policy or PolicyValues(), now=now)
    _equip(account, cash_usdc=Decimal(0), now=now)
    return account


@sensitive_variables("private_key", "key")
@transaction.atomic
def replace_key(*, account: TradingAccount, private_key: str, now: datetime) -> None:
    """Bring the same key in again, after a vault was lost. Raises BadKey for the key of another address."""
    key = parse_private_key(private_key)
    if account.mode != AccountMode.LIVE:
        raise BadAccount("A paper account has no key.")
    if signing.address_of(key) != account.signer_address:
        raise BadKey("This is the key of another address: open another account for it.")
    keys.seal_key(account=account, private_key=key, now=now)


@transaction.atomic
def reset_paper(*, account: TradingAccount, start_usdc: Decimal, now: datetime) -> TradingAccount:
    """Begin anew: the account is stopped and kept as history, and a fresh one takes its name and place.

    Rules that copy into the old account end with it. Raises BadAccount, OrdersUnderWay.
    """
    if account.mode != AccountMode.PAPER or account.status == AccountStatus.STOPPED:
        raise BadAccount("Only a running paper account can begin anew.")
    # Under the risk row's lock no order can slip in between the look and the stop.
    list(RiskState.objects.select_for_update().filter(account=account))
    if Order.objects.filter(account=account, status__in=sorted(UNFINISHED)).exists():
        raise OrdersUnderWay("Orders are under way: cancel them first, or wait until they are finished.")
    was_primary, name = account.is_primary, account.name
    accounts.set_status(account=account, status=AccountStatus.STOPPED, reason="Began anew", now=now)
    suffix = f" (until {now:%Y-%m-%d %H:%M:%S})"
    accounts.rename(account=account, name=name[: accounts.NAME_LENGTH - len(suffix)] + suffix)
    fresh = open_paper_account(user=account.user, name=name, start_usdc=start_usdc, now=now)
    return accounts.set_primary(account=fresh, now=now) if was_primary else fresh


@transaction.atomic
def stop_account(*, account: TradingAccount, actor: str, now: datetime) -> TradingAccount:
    """No order leaves any more, and open ones are asked back. What is held stays held."""
    stopped = accounts.set_status(account=account, status=AccountStatus.STOPPED, reason="Stopped by its owner", now=now)
    orders.request_cancel_all(account=stopped, actor=actor, now=now)
    return stopped


def _equip(account: TradingAccount, *, cash_usdc: Decimal, now: datetime) -> None:
    risk.ensure(account_ids=[account.id], now=now)
    Balance.objects.create(account=account, cash_usdc=cash_usdc, deposited_usdc=cash_usdc, updated_at=now)
    Engine.objects.create(account=account)


def _trading_address(text: str, signer_address: str, signature_type: int) -> str:
    if signature_type not in SIGNATURE_TYPES:
        raise BadAccount("Choose the kind of wallet.", details={"field": "signature_type"})
    if signature_type == signing.EOA:
        if text.strip() and parse_address(text) != signer_address:
            raise BadAddress(
                "A plain wallet trades from its key's own address: leave the field empty, or choose another kind."
            )
        return signer_address
    address = parse_address(text)
    if address == signer_address:
        raise BadAddress("This is the key's own address. Give the wallet that holds the money (Polymarket profile).")
    return address
