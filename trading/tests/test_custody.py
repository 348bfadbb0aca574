"""Session keys from making to destroying, and what the pages say of them and of the wallet."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from polymarket._internal.wallet import wrap_deposit_wallet_session_signer_signature
from polymarket.types import EvmAddress, HexString

from accounts.domain import custody, doctor
from accounts.domain.custody import Health, KeyKind
from accounts.domain.keys import BadKey
from accounts.domain.statuses import AccountStatus
from accounts.models import NextKey, TradingAccount, TradingKey, User
from accounts.services.session_keys import BadLifetime, NoNextKey, NoSessionKeys
from accounts.tests import factories
from markets.venue import signing
from markets.venue.ports import VenueCheck
from polyhub.lib import crypto
from polyhub.lib.clock import SystemClock
from polyhub.lib.errors import AppError
from trading.domain.orders import EngineState, OrderStatus
from trading.models import Balance, Engine
from trading.services import accounts, key_rotation
from trading.services import connection as connections
from trading.services.connection import Examined
from trading.signer import book, keys, rotation
from trading.signer.protocol import NotSigned, Signed
from trading.signer.vault import Vault
from trading.tests import factories as orders
from trading.tests import signing_desk
from trading.tests.signing_desk import Desk

pytestmark = pytest.mark.django_db

OWNER_KEY = "ab" * 32
WALLET = "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
NOW = SystemClock().now()
LIFE = timedelta(days=90)


@pytest.fixture
def desk(tmp_path: Path, settings: Any) -> Desk:
    return signing_desk.set_up(tmp_path, settings)


@pytest.fixture
def account(desk: Desk) -> TradingAccount:
    """A live deposit wallet that trades by its owner's key."""
    return accounts.open_live_account(
        user=desk.owner, name="Deposit", private_key=OWNER_KEY, signature_type=3, trading_address=WALLET, now=NOW
    )


def changed(account: TradingAccount) -> TradingAccount:
    account.refresh_from_db()
    return account


def switched(account: TradingAccount) -> TradingKey:
    key_rotation.make_session_key(account=account, life=LIFE, now=NOW)
    key_rotation.begin(account=account, actor="user:1", now=NOW)
    return key_rotation.finish(account=changed(account), now=NOW)


# -- the keys ----------------------------------------------------------------------------------------------------


def test_a_session_key_signs_what_the_official_client_would(desk: Desk, account: TradingAccount) -> None:
    key = switched(account)
    row = changed(account)
    assert (row.signer_address, row.status, key.kind) == (key.address, AccountStatus.PAUSED, KeyKind.SESSION)
    (result,) = sign(desk, row)
    assert isinstance(result, Signed)
    assert len(bytes.fromhex(result.signature[2:])) == 480
    # The envelope names the session key; what is inside is that key's plain deposit-wallet signature.
    inner = "0x" + bytes.fromhex(result.signature[2:])[128 : 128 + 317].hex()
    again = wrap_deposit_wallet_session_signer_signature(EvmAddress(row.signer_address), HexString(inner))
    assert result.signature == again


def sign(desk: Desk, account: TradingAccount) -> list[Any]:
    connection.ensure_connection()
    return book.sign_orders(
        connection.connection, Vault(lambda: keys.load(desk.private_file)), [desk.item(account_id=account.id)]
    )


def test_the_owners_key_signs_without_an_envelope(desk: Desk, account: TradingAccount) -> None:
    (result,) = sign(desk, account)
    assert isinstance(result, Signed)
    assert len(bytes.fromhex(result.signature[2:])) == 317


@pytest.mark.parametrize(("left_s", "signs"), [(3600, True), (59, False), (0, False), (-86_400, False)])
def test_a_session_key_signs_nothing_from_a_minute_before_its_end(
    desk: Desk, account: TradingAccount, left_s: int, signs: bool
) -> None:
    switched(account)
    ends = SystemClock().now() + timedelta(seconds=left_s)
    TradingKey.objects.filter(account=account).update(expires_at=ends)
    (result,) = sign(desk, account)
    assert isinstance(result, Signed) is signs
    if not signs:
        assert isinstance(result, NotSigned)
        assert result.code == "KEY_EXPIRED"


def test_a_waiting_key_is_sealed_and_used_by_nobody(desk: Desk, account: TradingAccount) -> None:
    waiting = key_rotation.make_session_key(account=account, life=LIFE, now=NOW)
    assert waiting.address != account.signer_address
    assert len(bytes(waiting.sealed)) > 60
    assert changed(account).signer_address == signing.address_of(bytes.fromhex(OWNER_KEY))
    (result,) = sign(desk, account)
    assert isinstance(result, Signed)


def test_a_rotation_of_the_vault_keeps_waiting_keys_openable(desk: Desk, account: TradingAccount) -> None:
    key_rotation.make_session_key(account=account, life=LIFE, now=NOW)
    before = bytes(NextKey.objects.get().sealed)
    ring = keys.save(
        [crypto.new_key_pair(), *keys.load(desk.private_file).pairs],
        private_file=desk.private_file,
        public_file=desk.public_file,
    )
    connection.ensure_connection()
    assert rotation._rewrap_some(connection.connection, ring, "accounts_nextkey") == 1
    assert bytes(NextKey.objects.get().sealed) != before
    key_rotation.begin(account=account, actor="user:1", now=NOW)
    key_rotation.finish(account=changed(account), now=NOW)
    assert isinstance(sign(desk, changed(account))[0], Signed)


def test_only_deposit_wallets_have_session_keys(desk: Desk) -> None:
    with pytest.raises(NoSessionKeys):
        key_rotation.make_session_key(account=desk.account, life=LIFE, now=NOW)


@pytest.mark.parametrize("life", [timedelta(minutes=5), timedelta(days=200), timedelta(days=-1)])
def test_a_session_key_lives_an_hour_to_half_a_year(account: TradingAccount, life: timedelta) -> None:
    with pytest.raises(BadLifetime):
        key_rotation.import_session_key(account=account, private_key="cd" * 32, expires_at=NOW + life, now=NOW)


def test_the_key_in_use_cannot_be_its_own_successor(account: TradingAccount) -> None:
    with pytest.raises(BadKey):
        key_rotation.import_session_key(account=account, private_key=OWNER_KEY, expires_at=NOW + LIFE, now=NOW)


def test_the_database_wants_an_end_for_session_keys_and_none_for_owners(account: TradingAccount) -> None:
    for fields in ({"kind": KeyKind.SESSION}, {"expires_at": NOW}):
        with pytest.raises(IntegrityError), transaction.atomic():
            TradingKey.objects.filter(account=account).update(**fields)


def test_bringing_a_session_key_in_again_keeps_its_end(desk: Desk, account: TradingAccount) -> None:
    ends = NOW + timedelta(days=10)
    key_rotation.import_session_key(account=account, private_key="cd" * 32, expires_at=ends, now=NOW)
    key_rotation.begin(account=account, actor="user:1", now=NOW)
    key_rotation.finish(account=changed(account), now=NOW)
    accounts.replace_key(account=changed(account), private_key="cd" * 32, now=NOW)
    key = TradingKey.objects.get(account=account)
    assert (key.kind, key.expires_at) == (KeyKind.SESSION, ends)


def test_an_account_can_be_opened_without_its_owners_key(desk: Desk) -> None:
    opened = key_rotation.open_with_session_key(
        user=desk.owner, name="Lent", trading_address=WALLET, life=LIFE, now=NOW
    )
    key = TradingKey.objects.get(account=opened)
    assert (opened.status, key.kind, key.expires_at) == (AccountStatus.PAUSED, KeyKind.SESSION, NOW + LIFE)
    assert isinstance(sign(desk, opened)[0], Signed)


# -- letting go of the old one -----------------------------------------------------------------------------------


def test_the_switch_waits_until_every_order_of_the_old_key_is_finished(desk: Desk, account: TradingAccount) -> None:
    Balance.objects.filter(account=account).update(cash_usdc=100)
    order = orders.sent(account=account, token=orders.token(), fencing_token=desk.fencing_token, now=NOW)
    key_rotation.make_session_key(account=account, life=LIFE, now=NOW)
    key_rotation.begin(account=account, actor="user:1", now=NOW)
    assert changed(account).status == AccountStatus.STOPPED
    order.refresh_from_db()
    assert order.cancel_requested_at is not None
    with pytest.raises(AppError) as refused:
        key_rotation.finish(account=changed(account), now=NOW)
    assert refused.value.code == "STILL_DRAINING"
    type(order).objects.filter(pk=order.pk).update(status=OrderStatus.REJECTED)
    assert key_rotation.finish(account=changed(account), now=NOW).kind == KeyKind.SESSION


def test_the_switch_waits_until_the_engine_has_let_go(account: TradingAccount) -> None:
    key_rotation.make_session_key(account=account, life=LIFE, now=NOW)
    key_rotation.begin(account=account, actor="user:1", now=NOW)
    Engine.objects.filter(account=account).update(state=EngineState.RUNNING, beat_at=NOW)
    with pytest.raises(AppError) as refused:
        key_rotation.finish(account=changed(account), now=NOW)
    assert refused.value.code == "STILL_DRAINING"
    assert key_rotation.finish(account=changed(account), now=NOW + timedelta(seconds=30))


def test_without_a_waiting_key_nothing_is_stopped(account: TradingAccount) -> None:
    with pytest.raises(NoNextKey):
        key_rotation.begin(account=account, actor="user:1", now=NOW)
    assert changed(account).status == AccountStatus.ACTIVE


def test_destroyed_keys_are_gone_and_the_account_is_stopped(desk: Desk, account: TradingAccount) -> None:
    key_rotation.make_session_key(account=account, life=LIFE, now=NOW)
    key_rotation.destroy_keys(account=account, actor="user:1", now=NOW)
    assert changed(account).status == AccountStatus.STOPPED
    assert not TradingKey.objects.filter(account=account).exists()
    assert not NextKey.objects.filter(account=account).exists()
    (result,) = sign(desk, account)
    assert isinstance(result, NotSigned)


# -- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "health", "words"),
    [
        (timedelta(days=60, minutes=2), Health.FRESH, "60 days left"),
        (timedelta(days=14), Health.RENEW, "13 days left"),
        (timedelta(hours=30, minutes=2), Health.RENEW, "30 hours left"),
        (timedelta(minutes=11), Health.RENEW, "10 minutes left"),
        (timedelta(seconds=59), Health.EXPIRED, "has expired"),
    ],
)
def test_the_countdown_of_a_key(left: timedelta, health: Health, words: str) -> None:
    found = custody.countdown(expires_at=NOW + left, now=NOW)
    assert (found.health, found.words) == (health, words)


def test_what_a_thief_could_do_depends_on_the_key() -> None:
    known = {"equity_usdc": Decimal(900), "max_day_usdc": Decimal(200), "is_expired": False}
    owner = custody.at_stake(kind=KeyKind.OWNER, **known)  # type: ignore[arg-type]
    session = custody.at_stake(kind=KeyKind.SESSION, **known)  # type: ignore[arg-type]
    assert (owner.by_trading_usdc, owner.by_withdrawal_usdc) == (900, 900)
    assert (session.by_trading_usdc, session.by_withdrawal_usdc, session.through_us_usdc) == (900, 0, 200)
    gone = custody.at_stake(kind=KeyKind.SESSION, **{**known, "is_expired": True})  # type: ignore[arg-type]
    assert gone.by_trading_usdc == 0


def looked(*checks: VenueCheck) -> dict[str, Any]:
    return connections.report(Examined(None, 1, checks), now=NOW)


def test_the_doctor_names_one_thing_to_do_and_how_old_its_look_is() -> None:
    found = looked(
        VenueCheck("venue", True),
        VenueCheck("allowance", False, "ALLOWANCE_MISSING", "Not allowed: the exchange."),
        VenueCheck("balance", False, "BALANCE_ZERO", "empty"),
    )
    diagnosis = doctor.diagnose(found, now=NOW + timedelta(minutes=5))
    assert [line.name for line in diagnosis.lines] == [name for name, _ in doctor.CHECKS]
    assert diagnosis.todo is not None
    # Money first, approvals after it.
    assert (diagnosis.todo.code, diagnosis.is_stale) == ("BALANCE_ZERO", False)
    assert diagnosis.todo.remedy.startswith("Deposit")
    assert doctor.diagnose(found, now=NOW + timedelta(hours=7)).is_stale


def test_an_old_look_is_never_ready() -> None:
    found = looked(*(VenueCheck(name, True) for name, _ in doctor.CHECKS))
    assert doctor.diagnose(found, now=NOW).is_ready
    assert not doctor.diagnose(found, now=NOW + timedelta(days=1)).is_ready


# -- pages -------------------------------------------------------------------------------------------------------


def signed_in(client: Client, user: User) -> Client:
    client.post(reverse("account_login"), {"login": user.email, "password": factories.PASSWORD})
    client.post(reverse("account_reauthenticate"), {"password": factories.PASSWORD})
    return client


def test_the_custody_page_leads_from_key_to_key(client: Client, desk: Desk, account: TradingAccount) -> None:
    signed_in(client, desk.owner)
    address = reverse("account-keys", args=[account.id])
    page = client.get(reverse("custody")).content.decode()
    assert "Owner&#x27;s key" in page or "Owner's key" in page
    client.post(address, {"step": "make"})
    waiting = NextKey.objects.get()
    page = client.get(reverse("custody")).content.decode()
    assert waiting.address in page
    # The very call its owner has to sign, with this key and this end.
    ends = f"{int(waiting.expires_at.timestamp()):064x}"
    assert waiting.address[2:].lower().rjust(64, "0") + ends in page
    assert client.post(address, {"step": "finish"}).status_code == 409
    client.post(address, {"step": "begin"})
    client.post(address, {"step": "finish"})
    assert changed(account).signer_address == waiting.address
    page = client.get(reverse("custody")).content.decode()
    assert "Session key: 89 days left" in page
    assert "take nothing away" in page


def test_a_session_key_is_brought_in_and_never_shown(client: Client, desk: Desk, account: TradingAccount) -> None:
    signed_in(client, desk.owner)
    answer = client.post(
        reverse("account-session-import", args=[account.id]), {"private_key": "cd" * 32, "days": "30"}, follow=True
    )
    assert NextKey.objects.get().address == signing.address_of(bytes.fromhex("cd" * 32))
    assert b"cd" * 32 not in answer.content
    bad = client.post(reverse("account-session-import", args=[account.id]), {"private_key": "zz" * 32, "days": "30"})
    assert bad.status_code == 400
    assert b"zz" * 32 not in bad.content


def test_an_account_is_connected_by_a_session_key(client: Client, desk: Desk) -> None:
    signed_in(client, desk.owner)
    answer = client.post(
        reverse("account-session"), {"name": "Lent", "trading_address": WALLET, "days": "30"}, follow=True
    )
    opened = TradingAccount.objects.get(name="Lent")
    assert opened.signer_address in answer.content.decode()


def test_keys_are_not_touched_without_the_password(client: Client, desk: Desk, account: TradingAccount) -> None:
    client.force_login(desk.owner)
    answer = client.post(reverse("account-keys", args=[account.id]), {"step": "destroy"})
    assert answer.status_code == 302
    assert TradingKey.objects.filter(account=account).exists()


def test_bob_finds_nothing_of_alices_keys(client: Client, desk: Desk, account: TradingAccount) -> None:
    signed_in(client, factories.user("bob"))
    for name in ("account-keys", "account-session-import", "account-doctor"):
        assert client.post(reverse(name, args=[account.id]), {"step": "destroy"}).status_code == 404
    assert str(account.id) not in client.get(reverse("custody")).content.decode()


def test_the_doctors_page_asks_an_engine_and_shows_what_it_found(
    client: Client, desk: Desk, account: TradingAccount
) -> None:
    signed_in(client, desk.owner)
    address = reverse("account-doctor", args=[account.id])
    assert b"Nobody has looked yet" in client.get(address).content
    assert client.post(address).status_code == 302
    assert OrmQ.objects.count() == 1
    assert b"An engine is looking" in client.get(address).content
    now = SystemClock().now()
    found = connections.report(
        Examined(None, 1, (VenueCheck("wallet", False, "WALLET_KIND", "For this key the address is a Safe."),)), now=now
    )
    connections.store(account=account, found=found, now=now)
    page = client.get(address).content.decode()
    assert "The one thing to do" in page
    assert "choose the kind the check names" in page
