from itertools import product

import pytest

from accounts import selectors
from accounts.domain import statuses
from accounts.domain.keys import BadAddress, checksummed, parse_address
from accounts.domain.statuses import AccountMode, AccountStatus, IllegalStatus
from accounts.models import TradingAccount
from accounts.services import accounts
from accounts.services.accounts import BadAccount
from accounts.tests import factories
from accounts.tests.factories import NOW
from polyhub.lib.models import PushEvent

LEGAL = {
    ("ACTIVE", "PAUSED"),
    ("ACTIVE", "STOPPED"),
    ("PAUSED", "ACTIVE"),
    ("PAUSED", "STOPPED"),
    ("STOPPED", "PAUSED"),
}


@pytest.mark.parametrize(("current", "to"), list(product(AccountStatus, AccountStatus)))
def test_only_the_listed_moves_are_legal(current: AccountStatus, to: AccountStatus) -> None:
    if (current.value, to.value) in LEGAL:
        assert statuses.advance(current, to) == to
    else:
        with pytest.raises(IllegalStatus):
            statuses.advance(current, to)


@pytest.mark.parametrize(
    "address",
    [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_addresses_get_their_eip_55_checksum(address: str) -> None:
    assert checksummed(address[2:]) == address
    assert parse_address(f" {address.lower()} ") == parse_address("0x" + address[2:].upper()) == address
    with pytest.raises(BadAddress):
        parse_address(address[:-1] + address[-1].swapcase() if address[-1].isalpha() else address[:-1])
    with pytest.raises(BadAddress):
        parse_address("0x" + "0" * 40)


@pytest.mark.django_db
def test_bob_does_not_find_alices_account() -> None:
    account = factories.paper_account(factories.user("alice"))
    bob = factories.user("bob")
    with pytest.raises(selectors.NotFound):
        selectors.account_of(user=bob, account_id=account.id)
    assert not selectors.accounts_of(user=bob).exists()


@pytest.mark.django_db
def test_one_account_of_each_mode_is_primary_at_any_time() -> None:
    alice = factories.user("alice")
    made = [factories.paper_account(alice, name) for name in "ABC"]
    for account in (made[2], made[1], made[1], made[0]):
        accounts.set_primary(account=account, now=NOW)
        assert TradingAccount.objects.get(user=alice, is_primary=True) == account
    accounts.set_status(account=made[0], status=AccountStatus.STOPPED, reason="", now=NOW)
    assert selectors.primary_of(user=alice, mode=AccountMode.PAPER) is None
    with pytest.raises(BadAccount):
        accounts.set_primary(account=made[0], now=NOW)


@pytest.mark.django_db
def test_a_status_change_is_told_and_the_same_again_is_not() -> None:
    account = factories.paper_account(factories.user("alice"))
    accounts.set_status(account=account, status=AccountStatus.PAUSED, reason="holiday", now=NOW)
    accounts.set_status(account=account, status=AccountStatus.PAUSED, reason="again", now=NOW)
    event = PushEvent.objects.get(topic="account.changed")
    assert (event.payload["status"], event.payload["reason"]) == ("PAUSED", "holiday")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "   ", "x" * 61])
def test_an_account_needs_a_name_of_its_own(name: str) -> None:
    alice = factories.user("alice")
    with pytest.raises(BadAccount):
        factories.paper_account(alice, name)
    factories.paper_account(alice, "Same")
    with pytest.raises(BadAccount):
        factories.paper_account(alice, " Same ")
    factories.paper_account(factories.user("bob"), "Same")


@pytest.mark.django_db
def test_accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    alice = factories.user("alice")
    monkeypatch.setattr(accounts, "MAX_ACCOUNTS", 2)
    factories.paper_account(alice, "A")
    factories.paper_account(alice, "B")
    with pytest.raises(BadAccount):
        factories.paper_account(alice, "C")
