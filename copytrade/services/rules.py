"""Following and unfollowing: rules are validated here, once, for every door."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from string import hexdigits

from django.db import IntegrityError, transaction

from accounts.models import AccountStatus, TradingAccount
from copytrade.domain.rules import SOURCE, RuleStatus, Sizing
from copytrade.models import CopyRule
from markets.services import watch
from polyhub.lib.errors import AppError
from polyhub.lib.push import Push, push
from trading.services import booked

MAX_RULES = 100
MAX_RATIO = Decimal(10)
MAX_USDC = Decimal(1_000_000)
MAX_SLIPPAGE = Decimal("0.5")
MAX_AGE_S = 3600
LEAST_USDC = Decimal(1)
_DUST_SHARES = Decimal("0.01")
_STEP = Decimal("0.0001")
_ADDRESS_LENGTH = 42


class InvalidRule(AppError):
    """A rule that cannot be followed; `details` name the field, the value and what is allowed."""

    code = "INVALID_RULE"


class AlreadyFollowed(AppError):
    code = "ALREADY_FOLLOWED"
    http_status = 409


class RuleStopped(AppError):
    """A stopped rule stays stopped."""

    code = "RULE_STOPPED"
    http_status = 409


@dataclass(frozen=True, slots=True)
class RuleInput:
    """What a user says about a rule; amounts in pUSD, prices and slippage as fractions of a dollar."""

    sizing: Sizing
    ratio: Decimal | None = None
    fixed_usdc: Decimal | None = None
    max_position_usdc: Decimal = Decimal(50)
    min_order_usdc: Decimal = LEAST_USDC
    slippage: Decimal = Decimal("0.03")
    min_price: Decimal = Decimal("0.05")
    max_price: Decimal = Decimal("0.95")
    max_age_s: int = 60


_LABELS = {
    "sizing": "Sizing",
    "ratio": "Ratio",
    "fixed_usdc": "Fixed size ($)",
    "max_position_usdc": "Largest position ($)",
    "min_order_usdc": "Smallest order ($)",
    "slippage": "Slippage",
    "min_price": "Lowest price",
    "max_price": "Highest price",
    "max_age_s": "Age limit (seconds)",
}


def create_rule(*, account: TradingAccount, leader: str, terms: RuleInput, now: datetime) -> CopyRule:
    """Follow a leader from now on. Raises InvalidRule, AlreadyFollowed."""
    address = check_address(leader)
    if account.status == AccountStatus.STOPPED:
        raise InvalidRule("This account is stopped; choose another one.", details={"field": "account"})
    if account.trading_address and account.trading_address.lower() == address:
        raise InvalidRule("An account cannot follow its own wallet.", details={"field": "leader", "value": address})
    check_terms(terms)
    # Each wallet is watched and looked up at the venue, whose limits all users share.
    if CopyRule.objects.filter(account=account).exclude(status=RuleStatus.STOPPED).count() >= MAX_RULES:
        raise InvalidRule(f"{MAX_RULES} wallets are the most one account may follow.", details={"field": "leader"})
    rule = CopyRule(account=account, leader=address, status=RuleStatus.ACTIVE, created_at=now)
    _apply(rule, terms, now=now)
    try:
        with transaction.atomic():
            rule.save(force_insert=True)
            watch.watch(addresses=[address], now=now)
            _tell(rule, now=now)
    except IntegrityError as error:
        if "rule_once_per_leader" not in str(error):
            raise
        message = "This account follows this wallet already; change that rule instead."
        raise AlreadyFollowed(message, details={"leader": address}) from None
    return rule


@transaction.atomic
def change_rule(*, rule: CopyRule, terms: RuleInput, now: datetime) -> CopyRule:
    """New terms for what the leader does from now on. Raises InvalidRule, RuleStopped."""
    check_terms(terms)
    row = _locked(rule)
    _apply(row, terms, now=now)
    row.save(update_fields=[*_LABELS, "updated_at"])
    _tell(row, now=now)
    return row


@transaction.atomic
def pause_rule(*, rule: CopyRule, now: datetime) -> CopyRule:
    """Copy no entries; exits go on. Raises RuleStopped."""
    return _move(_locked(rule), RuleStatus.PAUSED, now=now)


@transaction.atomic
def resume_rule(*, rule: CopyRule, now: datetime) -> CopyRule:
    """Copy entries again. Raises RuleStopped."""
    return _move(_locked(rule), RuleStatus.ACTIVE, now=now)


@transaction.atomic
def stop_rule(*, rule: CopyRule, now: datetime) -> CopyRule:
    """No entries for ever; the leader's sales still sell what is booked. Raises RuleStopped."""
    row = _move(_locked(rule), RuleStatus.STOPPED, now=now)
    unwatch_unneeded(leaders=[row.leader])
    return row


def unwatch_unneeded(*, leaders: list[str]) -> None:
    """Let go of wallets that nobody follows and of whom nobody holds shares."""
    rules = CopyRule.objects.filter(leader__in=leaders)
    followed = set(rules.exclude(status=RuleStatus.STOPPED).values_list("leader", flat=True))
    stopped = {str(pk): leader for pk, leader in rules.filter(status=RuleStatus.STOPPED).values_list("pk", "leader")}
    holding = {
        stopped[ref]
        for (ref, _), books in booked.by_ref(source=SOURCE, refs=list(stopped)).items()
        if books.held + books.buying >= _DUST_SHARES
    }
    unneeded = sorted(set(leaders) - followed - holding)
    if unneeded:
        watch.unwatch(addresses=unneeded)


def check_address(text: str) -> str:
    """A wallet address in lower case. Raises InvalidRule."""
    address = text.strip().lower()
    if len(address) != _ADDRESS_LENGTH or not address.startswith("0x") or not set(address[2:]) <= set(hexdigits):
        raise InvalidRule(
            "A wallet address is 0x followed by 40 hexadecimal digits.", details={"field": "leader", "value": text[:80]}
        )
    if not address.strip("0x"):
        raise InvalidRule("Nobody trades from this address.", details={"field": "leader", "value": address})
    return address


def check_terms(terms: RuleInput) -> None:
    """Every field, with a sentence that says what is allowed. Raises InvalidRule."""
    if terms.sizing is Sizing.RATIO:
        _within("ratio", terms.ratio, above=Decimal(0), most=MAX_RATIO)
        if terms.fixed_usdc is not None:
            raise _bad("fixed_usdc", terms.fixed_usdc, "Give either a ratio or fixed dollars, not both.")
    else:
        _within("fixed_usdc", terms.fixed_usdc, least=LEAST_USDC, most=MAX_USDC)
        if terms.ratio is not None:
            raise _bad("ratio", terms.ratio, "Give either a ratio or fixed dollars, not both.")
    _within("max_position_usdc", terms.max_position_usdc, least=LEAST_USDC, most=MAX_USDC)
    _within("min_order_usdc", terms.min_order_usdc, least=LEAST_USDC, most=MAX_USDC)
    _within("slippage", terms.slippage, least=Decimal(0), most=MAX_SLIPPAGE, step=_STEP)
    _within("min_price", terms.min_price, least=_STEP, most=1 - _STEP, step=_STEP)
    _within("max_price", terms.max_price, least=_STEP, most=1 - _STEP, step=_STEP)
    if not 1 <= terms.max_age_s <= MAX_AGE_S:
        raise _bad("max_age_s", terms.max_age_s, f"Must be from 1 to {MAX_AGE_S} seconds.")
    if terms.min_price >= terms.max_price:
        raise _bad("min_price", terms.min_price, "The lowest price must be below the highest price.")
    if terms.min_order_usdc > terms.max_position_usdc:
        raise _bad("min_order_usdc", terms.min_order_usdc, "One order cannot be larger than the whole position.")
    if terms.fixed_usdc is not None and terms.fixed_usdc < terms.min_order_usdc:
        raise _bad(
            "fixed_usdc", terms.fixed_usdc, "The fixed size is below the minimum order: nothing would be copied."
        )


def _within(
    field: str,
    value: Decimal | None,
    *,
    most: Decimal,
    least: Decimal | None = None,
    above: Decimal | None = None,
    step: Decimal = Decimal("0.000001"),
) -> None:
    refusal = _bad(field, value, allowed(least=least, above=above, most=most, step=step))
    # For a door that writes the field in another unit.
    refusal.details |= {"least": least, "above": above, "most": most, "step": step}
    if value is None or not value.is_finite():
        raise refusal
    try:
        is_on_step = value % step == 0
    except InvalidOperation:
        is_on_step = False
    is_low = (least is not None and value < least) or (above is not None and value <= above)
    if is_low or value > most or not is_on_step:
        raise refusal


def allowed(
    *, least: Decimal | None, above: Decimal | None, most: Decimal, step: Decimal, factor: int = 1, unit: str = ""
) -> str:
    """The sentence that says what a number may be, each figure times `factor`."""

    def said(number: Decimal) -> str:
        return f"{(number * factor).normalize():f}{unit}"

    low = f"at least {said(least)}" if least is not None else f"more than {said(above or Decimal(0))}"
    return f"Must be {low} and at most {said(most)}, in steps of {said(step)}."


def _bad(field: str, value: object, message: str) -> InvalidRule:
    return InvalidRule(f"{_LABELS[field]}: {message}", details={"field": field, "value": str(value)})


def _apply(rule: CopyRule, terms: RuleInput, *, now: datetime) -> None:
    rule.sizing = terms.sizing
    rule.ratio, rule.fixed_usdc = terms.ratio, terms.fixed_usdc
    rule.max_position_usdc, rule.min_order_usdc = terms.max_position_usdc, terms.min_order_usdc
    rule.slippage, rule.min_price, rule.max_price = terms.slippage, terms.min_price, terms.max_price
    rule.max_age_s, rule.updated_at = terms.max_age_s, now


def _locked(rule: CopyRule) -> CopyRule:
    row = CopyRule.objects.select_for_update(of=("self",)).select_related("account").get(pk=rule.pk)
    if row.status == RuleStatus.STOPPED:
        raise RuleStopped("This rule is stopped; follow the wallet again to copy it.", details={"rule": str(row.pk)})
    return row


def _move(rule: CopyRule, status: RuleStatus, *, now: datetime) -> CopyRule:
    rule.status, rule.updated_at = status, now
    rule.save(update_fields=["status", "updated_at"])
    _tell(rule, now=now)
    return rule


def _tell(rule: CopyRule, *, now: datetime) -> None:
    payload = {"rule": str(rule.pk), "account": str(rule.account_id), "leader": rule.leader, "status": str(rule.status)}
    push(pushes=[Push(rule.account.user_id, "rule.changed", payload)], now=now)
