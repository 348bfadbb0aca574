"""The demo: people with known passwords, accounts, and wallets to follow, beside the local venue only.

Trades come from the tape `demo`, a replayed recording; every order, fill and figure after that is PolyHub at work.
"""

import http.client
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from accounts.models import AccountMode, ApiToken, TradingAccount, User
from copytrade.domain.rules import Sizing
from copytrade.models import CopyDecision, CopyRule, LeaderBook
from copytrade.services import rules
from copytrade.services.rules import RuleInput
from markets.models import LeaderPosition, WatchedWallet
from markets.venue.sandbox import tape
from polyhub.lib.errors import AppError
from polyhub.lib.models import PushEvent
from riskmgmt import services as risk
from riskmgmt.services import LimitValues
from scanner.models import WalletTrade
from scanner.services import ingest
from trading.services import accounts as opening
from trading.services import erase
from trading.signer import keys

TAPE = tape.DEMO
_TIMEOUT_S = 5.0
_EOA = 0


class DemoRefused(AppError):
    """The demo has known passwords and made-up money: it exists beside the local venue only."""

    code = "DEMO_REFUSED"


@dataclass(frozen=True, slots=True)
class Following:
    """`leader` counts in the tape's featured wallets; dollars for FIXED, a part of the leader's size for RATIO."""

    leader: int
    sizing: Sizing
    size: Decimal


@dataclass(frozen=True, slots=True)
class Pot:
    """One account of a person and whom it follows."""

    name: str
    mode: AccountMode
    usdc: Decimal
    limits: LimitValues
    follows: tuple[Following, ...]


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    password: str
    is_staff: bool = False
    pots: tuple[Pot, ...] = ()


def _fixed(leader: int, usdc: int) -> Following:
    return Following(leader, Sizing.FIXED, Decimal(usdc))


def _ratio(leader: int, part: str) -> Following:
    return Following(leader, Sizing.RATIO, Decimal(part))


def _limits(total_usdc: int) -> LimitValues:
    """Room for a demo hour of small copies; the day's loss is a tenth."""
    return LimitValues(
        order_max_usdc=Decimal(100),
        market_max_usdc=Decimal(200),
        total_max_usdc=Decimal(total_usdc) * 9 / 10,
        max_open_orders=50,
        daily_loss_usdc=Decimal(total_usdc) / 10,
    )


CAST = (
    Person(
        "alice@polyhub.demo",
        "copy-leaders-alice",
        pots=(
            Pot(
                "Practice",
                AccountMode.PAPER,
                Decimal(10_000),
                _limits(10_000),
                (_fixed(0, 10), _fixed(1, 10), _fixed(2, 10), _ratio(3, "0.1"), _ratio(4, "0.2")),
            ),
            Pot(
                "Local venue wallet",
                AccountMode.LIVE,
                Decimal(3_000),
                _limits(3_000),
                (_fixed(0, 6), _fixed(1, 6), _fixed(2, 6), _ratio(6, "0.02")),
            ),
        ),
    ),
    Person(
        "bob@polyhub.demo",
        "copy-leaders-bob",
        pots=(
            Pot(
                "Practice",
                AccountMode.PAPER,
                Decimal(5_000),
                _limits(5_000),
                (_fixed(1, 8), _fixed(5, 8), _fixed(7, 8), _fixed(8, 8)),
            ),
            Pot("Local venue wallet", AccountMode.LIVE, Decimal(2_000), _limits(2_000), (_fixed(2, 6), _fixed(3, 6))),
        ),
    ),
    Person("staff@polyhub.demo", "look-after-it-all", is_staff=True),
)


def ensure(*, now: datetime) -> None:
    """Make what is missing of the demo; what is there stays. Raises DemoRefused beside a real venue.

    The local venue forgets everything when it stops. So live accounts that traded at an earlier one begin anew, and
    with them what was known of the leaders' holdings there.
    """
    _require_sandbox()
    keys.load_or_make(
        private_file=settings.SIGNER_PRIVATE_KEY_FILE,
        public_file=settings.SIGNER_PUBLIC_KEY_FILE,
        make=settings.EMBEDDED,
    )
    if not WalletTrade.objects.exists():
        ingest.ingest_tape(tape=tape.load(TAPE), now=now)
    with transaction.atomic():
        _forget_an_earlier_venue()
        for person in CAST:
            user = _ensure_user(person)
            for pot in person.pots:
                _ensure_pot(user, pot, now=now)


def reset(*, now: datetime) -> None:
    """Erase every account of the demo users, put back how they sign in, and make the demo again. Raises DemoRefused.

    Call it while no engine runs: one that is amid an order would find its account gone.
    """
    _require_sandbox()
    cast = [(person, user) for person in CAST if (user := _find_user(person)) is not None]
    ids = [user.pk for _, user in cast]
    with transaction.atomic():
        _erase(TradingAccount.objects.filter(user_id__in=ids))
        for kept in (PushEvent, Authenticator, ApiToken):
            kept.objects.filter(user_id__in=ids).delete()
        EmailAddress.objects.filter(user_id__in=ids).delete()
        for person, user in cast:
            user.email, user.is_active = person.email, True
            user.is_staff = user.is_superuser = person.is_staff
            # Another password ends the sessions opened with the old one.
            user.set_password(person.password)
            user.save(update_fields=["email", "password", "is_active", "is_staff", "is_superuser"])
    ensure(now=now)


def fund_demo_wallets() -> int:
    """Give the demo's live wallets their money at the local venue, once; how many got some. OSError: not reachable."""
    _require_sandbox()
    funded = 0
    for person in CAST:
        for pot in person.pots:
            for account in _live_accounts(person, pot):
                if not _venue_knows(account):
                    _ask("POST", "/_sandbox/wallets", _funding(account, pot))
                    funded += 1
    return funded


def venue_answers() -> bool:
    try:
        _ask("GET", "/_sandbox/tape")
    except OSError:
        return False
    return True


def welcome() -> list[str]:
    """What to tell the person who started the demo."""
    width = max(len(person.email) for person in CAST)
    return [
        "Sign in as one of the demo users:",
        *(f"  {person.email:<{width}}  {person.password}" for person in CAST),
        "Leaders' trades are a replayed recording of real wallets; no real money is involved.",
        "Try: the cockpit, then Activity, and watch alice's copied orders arrive; open Leaders and follow one more.",
    ]


def left_over() -> list[str]:
    """Demo users who could sign in with their known passwords, staff among them."""
    known = User.objects.filter(email__in=[person.email for person in CAST], is_active=True)
    return list(known.order_by("email").values_list("email", flat=True))


def _require_sandbox() -> None:
    if settings.VENUE != "sandbox":
        raise DemoRefused("The demo works with the local venue only: unset POLYHUB_VENUE.")


def _find_user(person: Person) -> User | None:
    """Who has the address, be it one of several: a demo user may have chosen another as the primary one."""
    holder = EmailAddress.objects.filter(email__iexact=person.email, verified=True).select_related("user").first()
    return holder.user if holder is not None else User.objects.filter(email__iexact=person.email).first()


def _ensure_user(person: Person) -> User:
    user = _find_user(person)
    if user is None:
        user = User.objects.create_user(
            person.email, person.password, is_staff=person.is_staff, is_superuser=person.is_staff
        )
    if not EmailAddress.objects.filter(user=user).exists():
        EmailAddress.objects.create(user=user, email=person.email, verified=True, primary=True)
    return user


def _ensure_pot(user: User, pot: Pot, *, now: datetime) -> None:
    """Open the account with its limits and rules; one that is there already is the user's own affair."""
    if TradingAccount.objects.filter(user=user, name=pot.name).exists():
        return
    if pot.mode == AccountMode.PAPER:
        account = opening.open_paper_account(user=user, name=pot.name, start_usdc=pot.usdc, now=now)
    else:
        account = opening.open_live_account(
            user=user,
            name=pot.name,
            private_key=secrets.token_hex(32),
            signature_type=_EOA,
            trading_address="",
            now=now,
        )
    risk.set_limits(account=account, values=pot.limits, now=now)
    featured = tape.header(TAPE).featured
    for following in pot.follows:
        rules.create_rule(account=account, leader=featured[following.leader], terms=_terms(following), now=now)


def _terms(following: Following) -> RuleInput:
    is_fixed = following.sizing == Sizing.FIXED
    return RuleInput(
        sizing=following.sizing,
        fixed_usdc=following.size if is_fixed else None,
        ratio=None if is_fixed else following.size,
        max_position_usdc=Decimal(60),
        slippage=Decimal("0.05"),
        min_price=Decimal("0.03"),
        max_price=Decimal("0.97"),
        max_age_s=60,
    )


def _forget_an_earlier_venue() -> None:
    live = TradingAccount.objects.filter(
        user__email__in=[person.email for person in CAST],
        mode=AccountMode.LIVE,
        name__in=[pot.name for person in CAST for pot in person.pots],
    )
    try:
        lost = [account.pk for account in live if not _venue_knows(account)]
    except OSError:
        lost = [account.pk for account in live]
    traded = erase.have_orders(account_ids=lost)
    if traded:
        _erase(TradingAccount.objects.filter(pk__in=traded))
    if len(lost) == len(live):
        LeaderPosition.objects.all().delete()
        WatchedWallet.objects.update(reconciled_at=None)


def _erase(accounts: Iterable[TradingAccount]) -> None:
    ids = [account.pk for account in accounts]
    followed = CopyRule.objects.filter(account__in=ids)
    leaders = list(followed.values_list("leader", flat=True).distinct())
    CopyDecision.objects.filter(rule__in=followed).delete()
    LeaderBook.objects.filter(rule__in=followed).delete()
    followed.delete()
    erase.erase_accounts(account_ids=ids)
    rules.unwatch_unneeded(leaders=leaders)


def _live_accounts(person: Person, pot: Pot) -> Iterator[TradingAccount]:
    yield from TradingAccount.objects.filter(user__email=person.email, name=pot.name, mode=AccountMode.LIVE).order_by(
        "created_at"
    )


def _funding(account: TradingAccount, pot: Pot) -> dict[str, object]:
    return {"address": account.signer_address, "usdc": str(pot.usdc), "signature_type": account.signature_type}


def _venue_knows(account: TradingAccount) -> bool:
    """Whether the local venue running now has the wallet; OSError when it does not answer."""
    return bool(_ask("GET", f"/_sandbox/state?wallet={account.trading_address}")["wallets"])


def _ask(method: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    parts = urlsplit(settings.SANDBOX_URL)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise OSError(f"The local venue answered {answer.status} to {method} {path}.")
        parsed: dict[str, Any] = json.loads(text)
        return parsed
    except http.client.HTTPException as error:
        raise OSError(f"The local venue broke off: {error!r}") from error
    finally:
        connection.close()
