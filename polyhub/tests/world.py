"""alice with one of everything, bob with nothing of hers, staff: for tests that walk the doors."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from accounts.models import AccountMode, ApiToken, TradingAccount, User
from accounts.services import tokens
from copytrade.models import CopyDecision, CopyRule
from copytrade.tests import factories as copying
from markets.models import Quote, Token
from markets.tests import factories as venue
from markets.venue.ports import Side
from polyhub.lib.clock import SystemClock
from scanner.models import Wallet, WalletTrade
from trading.models import EquityPoint, Order
from trading.services import accounts

NOW = venue.NOW
LEADER = venue.LEADER
QUESTION = "Will only alice see this?"
ACCOUNT_NAME = "Alice's own pot"


@dataclass(frozen=True, slots=True)
class World:
    """`secrets` are strings that only alice's pages may hold."""

    alice: User
    bob: User
    staff: User
    account: TradingAccount
    rule: CopyRule
    decision: CopyDecision
    order: Order
    token: Token
    api_token: ApiToken
    api_token_text: str
    wallet: Wallet

    @property
    def secrets(self) -> tuple[str, ...]:
        return (ACCOUNT_NAME, str(self.account.pk), str(self.rule.pk), str(self.order.client_order_id))


def build() -> World:
    """Needs the database; ids are real rows made through the services."""
    alice, bob, staff = _person("alice"), _person("bob"), _person("staff", is_staff=True, is_superuser=True)
    accounts.open_paper_account(user=bob, name="Bob's pot", start_usdc=Decimal(500), now=NOW)
    account = accounts.open_paper_account(user=alice, name=ACCOUNT_NAME, start_usdc=Decimal(1000), now=NOW)
    token = venue.make_token()
    token.market.question = QUESTION
    token.market.save(update_fields=["question"])
    Quote.objects.create(token=token, best_bid=Decimal("0.49"), best_ask=Decimal("0.50"), received_at=NOW)
    rule = copying.follow(account)
    copying.leader_does(Side.BUY, token)
    copying.decide_all(token)
    order = copying.orders_of(rule)[0]
    copying.fill(order)
    for minute in range(3):
        EquityPoint.objects.create(
            account=account,
            at=NOW + timedelta(minutes=minute),
            cash_usdc=Decimal(990),
            positions_usdc=Decimal(10 + minute),
        )
    api_token, text = tokens.create_token(
        user=alice,
        name="alice's token",
        scopes=[scope.value for scope in tokens.Scope],
        days=30,
        now=SystemClock().now(),
    )
    return World(
        alice=alice,
        bob=bob,
        staff=staff,
        account=account,
        rule=rule,
        decision=CopyDecision.objects.get(rule=rule),
        order=order,
        token=token,
        api_token=api_token,
        api_token_text=text,
        wallet=_wallet(token),
    )


def live_account(owner: User, name: str = "Live") -> TradingAccount:
    """A live account without a key: enough for what pages show."""
    from accounts.services import accounts as bare

    return bare.create_account(user=owner, name=name, mode=AccountMode.LIVE, now=NOW)


def _person(name: str, **fields: object) -> User:
    """Signed in by force: hashing a password costs more than the rest of the world."""
    user = User.objects.create(email=f"{name}@example.com", **fields)
    user.emailaddress_set.create(email=user.email, verified=True, primary=True)  # type: ignore[attr-defined]
    return user


def _wallet(token: Token) -> Wallet:
    wallet = Wallet.objects.create(
        address=LEADER,
        alias="Leader ABAB",
        trades=2,
        buys=2,
        markets=1,
        volume_usdc=Decimal(100),
        median_trade_usdc=Decimal(50),
        first_trade_at=NOW - timedelta(days=1),
        last_trade_at=NOW,
        source="a recording",
        measured_at=NOW,
    )
    for number, price in enumerate(("0.40", "0.60")):
        WalletTrade.objects.create(
            wallet=wallet,
            token=token,
            side="BUY",
            price=Decimal(price),
            shares=Decimal(100),
            transaction_hash=f"0x{number:064x}",
            traded_at=NOW - timedelta(hours=2 - number),
        )
    return wallet
