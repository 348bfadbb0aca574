from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from accounts.domain.keys import BadAddress, BadKey
from accounts.domain.statuses import AccountStatus, IllegalStatus
from accounts.models import SigningPolicy, TradingAccount, TradingKey, User
from accounts.selectors import primary_of
from accounts.services import accounts as bare
from accounts.services.accounts import BadAccount
from accounts.services.keys import VaultNotReady
from accounts.tests import factories
from accounts.tests.factories import NOW
from markets.venue import signing
from polyhub.lib import crypto
from riskmgmt.models import RiskLimits, RiskState
from trading.models import Balance, Engine, Order
from trading.services import accounts, orders
from trading.tests import factories as trading_factories

pytestmark = pytest.mark.django_db

KEY = "11" * 32
EOA = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
WALLET = "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"


@pytest.fixture
def alice() -> User:
    return factories.user("alice")


@pytest.fixture
def vault(tmp_path: Path, settings: Any) -> crypto.KeyPair:
    settings.SIGNER_PUBLIC_KEY_FILE = tmp_path / "public.key"
    return factories.vault_key(tmp_path)


def paper(user: User, name: str = "Paper", start: str = "1000") -> TradingAccount:
    return accounts.open_paper_account(user=user, name=name, start_usdc=Decimal(start), now=NOW)


def live(user: User, **given: Any) -> TradingAccount:
    wanted = {"name": "Live", "private_key": KEY, "signature_type": 0, "trading_address": "", **given}
    return accounts.open_live_account(user=user, now=NOW, **wanted)


def test_a_paper_account_comes_with_money_limits_and_an_engine(alice: User) -> None:
    account = paper(alice)
    assert Balance.objects.get(account=account).cash_usdc == Decimal(1000)
    assert RiskLimits.objects.filter(account=account).exists()
    assert RiskState.objects.filter(account=account).exists()
    assert Engine.objects.filter(account=account).exists()
    assert account.is_primary


@pytest.mark.parametrize("start", ["-1", "0", "9.99", "10000000.01", "100.001", "NaN", "Infinity"])
def test_a_paper_account_starts_with_a_sensible_amount(alice: User, start: str) -> None:
    with pytest.raises(BadAccount):
        paper(alice, start=start)
    assert not TradingAccount.objects.exists()


def test_only_the_first_account_of_a_mode_is_primary_by_itself(alice: User, vault: crypto.KeyPair) -> None:
    first, second, other = paper(alice, "A"), paper(alice, "B"), live(alice)
    assert [first.is_primary, second.is_primary, other.is_primary] == [True, False, True]
    bare.set_primary(account=second, now=NOW)
    assert primary_of(user=alice, mode=second.mode) == second  # type: ignore[arg-type]
    other.refresh_from_db()
    assert other.is_primary


@pytest.mark.parametrize("text", [KEY, "0x" + KEY, "0X" + KEY.upper(), f"  {KEY}\n"])
def test_a_key_is_read_with_and_without_0x(alice: User, vault: crypto.KeyPair, text: str) -> None:
    account = live(alice, private_key=text)
    assert account.signer_address == account.trading_address == EOA
    key = TradingKey.objects.get(account=account)
    assert bytes.fromhex(KEY) not in bytes(key.sealed)
    assert key.key_id == vault.key_id
    assert SigningPolicy.objects.filter(account=account).exists()
    assert Balance.objects.get(account=account).cash_usdc == 0


@pytest.mark.parametrize(
    "text",
    ["", "0x", KEY[:-1], KEY + "1", "z" * 64, EOA, " ".join(["word"] * 12), "00" * 32, "ff" * 32, "0x0x" + KEY[4:]],
)
def test_what_is_no_key_is_refused_without_being_repeated(alice: User, vault: crypto.KeyPair, text: str) -> None:
    with pytest.raises(BadKey) as refused:
        live(alice, private_key=text)
    if len(text) > 4:
        assert text not in str(refused.value)
    assert not TradingAccount.objects.exists()


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_wallets_of_other_kinds_name_the_address_that_holds_the_money(
    alice: User, vault: crypto.KeyPair, kind: int
) -> None:
    account = live(alice, signature_type=kind, trading_address=WALLET.lower())
    assert (account.signer_address, account.trading_address) == (EOA, WALLET)


@pytest.mark.parametrize(
    ("kind", "address"),
    [(0, WALLET), (1, ""), (2, EOA), (3, "0x12"), (3, WALLET[:-1] + "F"), (3, WALLET.swapcase().replace("0X", "0x"))],
)
def test_a_wrong_wallet_address_is_refused(alice: User, vault: crypto.KeyPair, kind: int, address: str) -> None:
    with pytest.raises(BadAddress):
        live(alice, signature_type=kind, trading_address=address)


def test_an_unknown_kind_of_wallet_is_refused(alice: User, vault: crypto.KeyPair) -> None:
    with pytest.raises(BadAccount):
        live(alice, signature_type=4, trading_address=WALLET)


def test_a_wallet_is_connected_once_with_a_key(alice: User, vault: crypto.KeyPair) -> None:
    live(alice)
    with pytest.raises(BadAccount, match="connected"):
        live(factories.user("bob"))


def test_a_strangers_claim_on_a_wallet_is_not_in_its_owners_way(alice: User, vault: crypto.KeyPair) -> None:
    claimed = live(factories.user("mallory"), private_key="22" * 32, signature_type=3, trading_address=WALLET)
    owned = live(alice, signature_type=3, trading_address=WALLET)
    assert (claimed.trading_address, claimed.signer_address) != (owned.trading_address, owned.signer_address)
    with pytest.raises(BadAccount, match="connected"):
        live(alice, signature_type=3, trading_address=WALLET, name="again")


def test_without_a_signer_nothing_is_stored(alice: User, tmp_path: Path, settings: Any) -> None:
    settings.SIGNER_PUBLIC_KEY_FILE = tmp_path / "none"
    with pytest.raises(VaultNotReady):
        live(alice)
    assert not TradingAccount.objects.exists()


def test_a_key_can_be_brought_in_again_but_not_another_ones(alice: User, vault: crypto.KeyPair) -> None:
    account = live(alice)
    accounts.replace_key(account=account, private_key=KEY, now=NOW)
    assert TradingKey.objects.count() == 1
    with pytest.raises(BadKey):
        accounts.replace_key(account=account, private_key="22" * 32, now=NOW)


def test_a_reset_keeps_the_old_account_as_history(alice: User) -> None:
    old = paper(alice)
    Balance.objects.filter(account=old).update(cash_usdc=Decimal(3))
    fresh = accounts.reset_paper(account=old, start_usdc=Decimal(500), now=NOW)
    old.refresh_from_db()
    assert (fresh.name, fresh.is_primary, fresh.status) == ("Paper", True, AccountStatus.ACTIVE)
    assert Balance.objects.get(account=fresh).cash_usdc == Decimal(500)
    assert (old.status, old.is_primary) == (AccountStatus.STOPPED, False)
    assert Balance.objects.get(account=old).cash_usdc == Decimal(3)
    with pytest.raises(IllegalStatus):
        bare.set_status(account=old, status=AccountStatus.PAUSED, reason="", now=NOW)


def test_a_reset_waits_for_orders_and_is_for_paper_only(alice: User, vault: crypto.KeyPair) -> None:
    account = paper(alice)
    orders.submit_order(
        request=trading_factories.request(account=account, token=trading_factories.token()), actor="test", now=NOW
    )
    assert Order.objects.get().status == "PENDING"
    with pytest.raises(accounts.OrdersUnderWay):
        accounts.reset_paper(account=account, start_usdc=Decimal(500), now=NOW)
    with pytest.raises(BadAccount):
        accounts.reset_paper(account=live(alice), start_usdc=Decimal(500), now=NOW)


def test_stopping_asks_open_orders_back(alice: User) -> None:
    account = paper(alice)
    orders.submit_order(
        request=trading_factories.request(account=account, token=trading_factories.token()), actor="test", now=NOW
    )
    stopped = accounts.stop_account(account=account, actor="alice", now=NOW)
    assert (stopped.status, stopped.is_primary) == (AccountStatus.STOPPED, False)
    assert Order.objects.get().status == "DENIED"


def test_a_stopped_live_account_comes_back_paused(alice: User, vault: crypto.KeyPair) -> None:
    account = accounts.stop_account(account=live(alice), actor="alice", now=NOW)
    with pytest.raises(IllegalStatus), transaction.atomic():
        bare.set_status(account=account, status=AccountStatus.ACTIVE, reason="", now=NOW)
    again = bare.set_status(account=account, status=AccountStatus.PAUSED, reason="", now=NOW)
    assert bare.set_status(account=again, status=AccountStatus.ACTIVE, reason="", now=NOW).status == "ACTIVE"


def test_the_address_is_the_one_the_venue_knows(alice: User, vault: crypto.KeyPair) -> None:
    assert live(alice).signer_address == signing.address_of(bytes.fromhex(KEY))
