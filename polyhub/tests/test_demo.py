"""The demo: complete, repeatable, and impossible beside the real venue."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from pytest_django import Settings

from accounts.models import AccountMode, ApiToken, TradingAccount, TradingKey, User
from accounts.services.tokens import create_token
from copytrade.domain.rules import RuleStatus
from copytrade.models import CopyRule
from markets.models import Event, LeaderPosition, Market, Token, WatchedWallet
from markets.venue.sandbox import tape
from markets.venue.sandbox.testing import RunningSandbox
from polyhub import demo, processes, startup
from polyhub.management.commands import up
from riskmgmt.models import RiskLimits
from scanner.models import Wallet, WalletTrade
from scanner.services import ingest
from trading.models import Balance, Order
from trading.services import accounts as opening
from trading.services import erase

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def recorded(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The tape taken in once for all tests of this file: it is the slow part and never changes."""
    with django_db_blocker.unblock():
        ingest.ingest_tape(tape=tape.load(demo.TAPE), now=NOW)
    yield
    with django_db_blocker.unblock():
        for model in (WalletTrade, Wallet, Token, Market, Event):
            model._default_manager.all().delete()


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    """A vault and a run folder of the test's own, and a local venue that nobody runs."""
    settings.VENUE = "sandbox"
    settings.VAR_DIR = tmp_path
    settings.SIGNER_PRIVATE_KEY_FILE = tmp_path / "signer" / "private.key"
    settings.SIGNER_PUBLIC_KEY_FILE = tmp_path / "signer" / "public.key"
    settings.SANDBOX_URL = "http://127.0.0.1:9"


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[RunningSandbox]:
    with RunningSandbox() as running:
        settings.SANDBOX_URL = running.url
        yield running


def traded(account: TradingAccount) -> None:
    """The account ordered something at a venue that is gone."""
    Order.objects.create(
        account=account,
        client_order_id="7f000001-0000-4000-8000-000000000001",
        token=Token.objects.all()[0],
        side="BUY",
        order_type="FAK",
        price=Decimal("0.5"),
        shares=Decimal(10),
        maker_units=5_000_000,
        taker_units=10_000_000,
        salt=1,
        timestamp_ms=1,
        status="REJECTED",
        source="copy",
        actor="test",
        created_at=NOW,
        updated_at=NOW,
    )


def live_account(email: str) -> TradingAccount:
    return TradingAccount.objects.get(user__email=email, mode=AccountMode.LIVE)


def everything() -> list[object]:
    return [
        list(model.objects.order_by("pk").values())
        for model in (User, EmailAddress, TradingAccount, TradingKey, CopyRule, RiskLimits, Balance, Wallet)
    ]


def test_the_demo_has_people_accounts_leaders_and_rules() -> None:
    demo.ensure(now=NOW)
    assert set(User.objects.values_list("email", flat=True)) == {person.email for person in demo.CAST}
    assert EmailAddress.objects.filter(verified=True, primary=True).count() == len(demo.CAST)
    for email in ("alice@polyhub.demo", "bob@polyhub.demo"):
        modes = TradingAccount.objects.filter(user__email=email).values_list("mode", flat=True)
        assert sorted(modes) == ["live", "paper"]
    followed = set(CopyRule.objects.filter(status=RuleStatus.ACTIVE).values_list("leader", flat=True))
    assert followed <= set(Wallet.objects.values_list("address", flat=True))
    assert followed == set(WatchedWallet.objects.filter(active=True).values_list("address", flat=True))


@pytest.mark.parametrize("person", demo.CAST, ids=lambda person: person.email)
def test_each_person_gets_in_with_the_password_told(person: demo.Person) -> None:
    demo.ensure(now=NOW)
    user = User.objects.get(email=person.email)
    assert user.check_password(person.password)
    assert user.is_staff == person.is_staff
    assert any(person.email in line and person.password in line for line in demo.welcome())


def test_the_tape_is_taken_in_where_nothing_is_recorded() -> None:
    WalletTrade.objects.all().delete()
    demo.ensure(now=NOW)
    assert WalletTrade.objects.count() == len(tape.load(demo.TAPE).events)


def test_making_the_demo_twice_changes_nothing() -> None:
    demo.ensure(now=NOW)
    before = everything()
    demo.ensure(now=NOW)
    assert everything() == before


def test_the_demo_says_that_it_replays_a_recording() -> None:
    assert any("replayed recording" in line for line in demo.welcome())


def test_live_wallets_get_their_money_once(sandbox: RunningSandbox) -> None:
    demo.ensure(now=NOW)
    assert demo.fund_demo_wallets() == 2
    assert demo.fund_demo_wallets() == 0
    wallet = live_account("alice@polyhub.demo").trading_address
    (known,) = sandbox.state(wallet=wallet)["wallets"]
    assert known["cash_units"] == str(3_000 * 1_000_000)


def test_funding_an_absent_venue_is_an_os_error() -> None:
    demo.ensure(now=NOW)
    with pytest.raises(OSError, match="refused"):
        demo.fund_demo_wallets()


def test_a_live_account_that_traded_at_a_venue_now_gone_begins_anew() -> None:
    demo.ensure(now=NOW)
    old = live_account("alice@polyhub.demo")
    bobs = live_account("bob@polyhub.demo")
    traded(old)
    LeaderPosition.objects.create(wallet="0x1", token=Token.objects.all()[0], shares=1, as_of=NOW)
    demo.ensure(now=NOW)
    new = live_account("alice@polyhub.demo")
    assert new.pk != old.pk
    assert new.signer_address != old.signer_address
    assert CopyRule.objects.filter(account=new).count() == 4
    assert not Order.objects.exists()
    assert not LeaderPosition.objects.exists()
    assert live_account("bob@polyhub.demo") == bobs


def test_a_live_account_stays_while_its_venue_still_knows_it(sandbox: RunningSandbox) -> None:
    demo.ensure(now=NOW)
    demo.fund_demo_wallets()
    kept = live_account("alice@polyhub.demo")
    traded(kept)
    LeaderPosition.objects.create(wallet="0x1", token=Token.objects.all()[0], shares=1, as_of=NOW)
    demo.ensure(now=NOW)
    assert live_account("alice@polyhub.demo") == kept
    assert Order.objects.count() == 1
    assert LeaderPosition.objects.count() == 1


def test_a_paper_account_outlives_its_venue() -> None:
    demo.ensure(now=NOW)
    paper = TradingAccount.objects.get(user__email="bob@polyhub.demo", mode=AccountMode.PAPER)
    traded(paper)
    demo.ensure(now=NOW)
    assert Order.objects.get().account == paper


def test_a_reset_erases_what_demo_users_did_and_leaves_everybody_else_alone() -> None:
    demo.ensure(now=NOW)
    alice = User.objects.get(email="alice@polyhub.demo")
    alice.set_password("changed-it-meanwhile")
    alice.save()
    carol = User.objects.create_user("carol@example.com", "a long passphrase")
    theirs = opening.open_paper_account(user=carol, name="Mine", start_usdc=Decimal(100), now=NOW)
    opening.open_paper_account(user=alice, name="One more", start_usdc=Decimal(100), now=NOW)
    old = set(TradingAccount.objects.filter(user=alice).values_list("pk", flat=True))
    traded(TradingAccount.objects.get(user=alice, name="Practice"))
    demo.reset(now=NOW)
    alice.refresh_from_db()
    assert alice.check_password("copy-leaders-alice")
    assert not Order.objects.exists()
    assert not TradingAccount.objects.filter(pk__in=old).exists()
    assert sorted(alice.trading_accounts.values_list("name", flat=True)) == ["Local venue wallet", "Practice"]
    assert TradingAccount.objects.filter(pk=theirs.pk).exists()


def test_a_demo_user_who_took_another_address_is_found_and_put_back() -> None:
    demo.ensure(now=NOW)
    alice = User.objects.get(email=demo.CAST[0].email)
    EmailAddress.objects.filter(user=alice).update(primary=False)
    EmailAddress.objects.create(user=alice, email="other@example.com", verified=True, primary=True)
    alice.email = "other@example.com"
    alice.save(update_fields=["email"])
    demo.ensure(now=NOW)
    assert not User.objects.filter(email=demo.CAST[0].email).exists()
    demo.reset(now=NOW)
    alice.refresh_from_db()
    assert alice.email == demo.CAST[0].email
    address = EmailAddress.objects.get(user=alice)
    assert (address.email, address.verified, address.primary) == (demo.CAST[0].email, True, True)


def test_a_reset_takes_second_factors_and_tokens_of_demo_users_away() -> None:
    demo.ensure(now=NOW)
    alice, other = (
        User.objects.get(email=demo.CAST[0].email),
        User.objects.create_user("dora@example.com", "a-long-word"),
    )
    for user in (alice, other):
        Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "sealed"})
        create_token(user=user, name="t", scopes=["read:market"], days=1, now=NOW)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    demo.reset(now=NOW)
    assert {row.user_id for row in (*Authenticator.objects.all(), *ApiToken.objects.all())} == {other.pk}
    assert User.objects.get(pk=alice.pk).is_active


@pytest.mark.parametrize("act", [demo.ensure, demo.reset], ids=["ensure", "reset"])
def test_there_is_no_demo_beside_the_real_venue(act: object, settings: Settings) -> None:
    settings.VENUE = "polymarket"
    with pytest.raises(demo.DemoRefused):
        act(now=NOW)  # type: ignore[operator]
    assert not User.objects.exists()


def test_no_account_is_erased_beside_the_real_venue(settings: Settings) -> None:
    demo.ensure(now=NOW)
    settings.VENUE = "polymarket"
    with pytest.raises(erase.ErasingRefused):
        erase.erase_accounts(account_ids=[live_account("alice@polyhub.demo").pk])
    assert live_account("alice@polyhub.demo")


def test_the_venue_is_asked_on_the_port_of_the_settings(sandbox: RunningSandbox, settings: Settings) -> None:
    assert urlsplit(settings.SANDBOX_URL).port == sandbox.port
    demo.ensure(now=NOW)
    assert demo.fund_demo_wallets() == 2


def test_a_database_that_was_a_demo_does_not_start_beside_the_real_venue() -> None:
    up.refuse_demo_users()
    demo.ensure(now=NOW)
    with pytest.raises(startup.CannotStart, match=r"staff@polyhub\.demo"):
        up.refuse_demo_users()
    User.objects.update(is_active=False)
    up.refuse_demo_users()


def test_the_reset_command_tells_the_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("demo", "reset")
    told = capsys.readouterr().out
    assert all(person.email in told and person.password in told for person in demo.CAST)


def test_the_reset_command_refuses_while_polyhub_runs(settings: Settings) -> None:
    running = processes.Running(settings.VAR_DIR)
    with running.claim(address="http://127.0.0.1:8000"), pytest.raises(CommandError, match="Ctrl-C"):
        call_command("demo", "reset")


def test_every_followed_wallet_is_featured_by_the_tape() -> None:
    featured = tape.header(demo.TAPE).featured
    for person in demo.CAST:
        for pot in person.pots:
            assert len({following.leader for following in pot.follows}) == len(pot.follows)
            assert all(following.leader < len(featured) for following in pot.follows)
