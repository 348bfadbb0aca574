"""A rule is checked once for every door, with a sentence that says what to change."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from copytrade.domain.rules import RuleStatus, Sizing
from copytrade.forms import RuleForm, defaults
from copytrade.models import CopyRule
from copytrade.services import rules
from copytrade.tests.factories import TERMS, follow
from markets.models import WatchedWallet
from markets.tests.factories import LEADER, NOW
from trading.tests import factories as trading

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("ratio", {"ratio": None}),
        ("ratio", {"ratio": Decimal(0)}),
        ("ratio", {"ratio": Decimal(-1)}),
        ("ratio", {"ratio": Decimal(11)}),
        ("ratio", {"ratio": Decimal("NaN")}),
        ("ratio", {"ratio": Decimal("0.1234567")}),
        ("fixed_usdc", {"fixed_usdc": Decimal(5)}),
        ("fixed_usdc", {"sizing": Sizing.FIXED, "ratio": None, "fixed_usdc": Decimal("0.5")}),
        (
            "fixed_usdc",
            {"sizing": Sizing.FIXED, "ratio": None, "fixed_usdc": Decimal(2), "min_order_usdc": Decimal(3)},
        ),
        ("ratio", {"sizing": Sizing.FIXED, "fixed_usdc": Decimal(5)}),
        ("max_position_usdc", {"max_position_usdc": Decimal("1e30")}),
        ("max_position_usdc", {"max_position_usdc": Decimal("Infinity")}),
        ("min_order_usdc", {"min_order_usdc": Decimal("0.99")}),
        ("min_order_usdc", {"min_order_usdc": Decimal(101)}),
        ("slippage", {"slippage": Decimal("0.51")}),
        ("slippage", {"slippage": Decimal("0.00001")}),
        ("min_price", {"min_price": Decimal(0)}),
        ("max_price", {"max_price": Decimal(1)}),
        ("min_price", {"min_price": Decimal("0.6"), "max_price": Decimal("0.6")}),
        ("max_age_s", {"max_age_s": 0}),
        ("max_age_s", {"max_age_s": 3601}),
    ],
)
def test_an_absurd_rule_is_refused_naming_the_field(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(rules.InvalidRule) as refused:
        rules.create_rule(account=trading.account(), leader=LEADER, terms=replace(TERMS, **change), now=NOW)
    assert refused.value.details["field"] == field
    assert not CopyRule.objects.exists()


@pytest.mark.parametrize("address", ["", "0x12", "0x" + "g" * 40, "ab" * 21, LEADER + "0", "0x" + "0" * 40])
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(rules.InvalidRule):
        rules.create_rule(account=trading.account(), leader=address, terms=TERMS, now=NOW)


def test_following_makes_the_feed_watch_the_wallet_in_lower_case() -> None:
    follow(trading.account(), leader="0x" + "AB" * 20)
    assert CopyRule.objects.get().leader == LEADER
    assert WatchedWallet.objects.get(active=True).address == LEADER


def test_one_account_follows_a_wallet_once_until_it_stopped() -> None:
    account = trading.account()
    rule = follow(account)
    with pytest.raises(rules.AlreadyFollowed):
        follow(account)
    rules.stop_rule(rule=rule, now=NOW)
    follow(account)
    assert WatchedWallet.objects.get().active


def test_a_stopped_rule_stays_stopped() -> None:
    rule = follow(trading.account())
    rules.stop_rule(rule=rule, now=NOW)
    for act in (rules.resume_rule, rules.pause_rule, rules.stop_rule):
        with pytest.raises(rules.RuleStopped):
            act(rule=rule, now=NOW)
    with pytest.raises(rules.RuleStopped):
        rules.change_rule(rule=rule, terms=TERMS, now=NOW)


def test_a_wallet_is_let_go_when_its_last_follower_stops() -> None:
    first, second = follow(trading.account()), follow(trading.account())
    rules.stop_rule(rule=first, now=NOW)
    assert WatchedWallet.objects.get().active
    rules.stop_rule(rule=second, now=NOW)
    assert not WatchedWallet.objects.get().active


def test_a_rule_pauses_resumes_and_changes() -> None:
    rule = follow(trading.account())
    assert rules.pause_rule(rule=rule, now=NOW).status == RuleStatus.PAUSED
    assert rules.resume_rule(rule=rule, now=NOW).status == RuleStatus.ACTIVE
    rules.change_rule(rule=rule, terms=replace(TERMS, ratio=Decimal("0.25")), now=NOW)
    assert CopyRule.objects.get().ratio == Decimal("0.25")


def test_an_account_follows_a_bounded_number_of_wallets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_RULES", 2)
    account = trading.account()
    first, _ = (follow(account, leader=f"0x{number:040x}") for number in (1, 2))
    with pytest.raises(rules.InvalidRule):
        follow(account, leader=f"0x{3:040x}")
    rules.stop_rule(rule=first, now=NOW)
    follow(account, leader=f"0x{3:040x}")


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"slippage_percent": "500"}, "slippage_percent", "Must be at least 0% and at most 50%, in steps of 0.01%."),
        ({"ratio_percent": "-1"}, "ratio_percent", "Must be more than 0% and at most 1000%, in steps of 0.0001%."),
        ({"max_cents": "150"}, "max_cents", "Must be at least 0.01¢ and at most 99.99¢, in steps of 0.01¢."),
        ({"max_position_usdc": "-5"}, "max_position_usdc", "Must be at least 1 and at most 1000000"),
        ({"min_cents": "98"}, "min_cents", "The lowest price must be below the highest price."),
    ],
)
def test_the_form_says_what_is_allowed_in_its_own_unit(change: dict[str, str], field: str, said: str) -> None:
    form = RuleForm({**defaults(), "sizing": "RATIO", **change})
    assert form.is_valid(), form.errors
    with pytest.raises(rules.InvalidRule) as refused:
        rules.check_terms(form.terms())
    form.blame(refused.value)
    assert said in form.errors[field][0]
