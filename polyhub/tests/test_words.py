import re
from inspect import getsource

import pytest

from copytrade.domain import decide
from copytrade.domain import words as copying
from copytrade.services import commit
from riskmgmt.domain.gate import DenyCode
from trading.domain import words
from trading.domain.orders import OrderStatus
from trading.services import connection


@pytest.mark.parametrize("code", sorted(DenyCode))
def test_every_refusal_of_the_risk_gate_has_a_sentence(code: DenyCode) -> None:
    assert code in words.DENIED
    assert copying.reason(f"RISK_{code}", {}).startswith("Skipped: ")


@pytest.mark.parametrize("status", sorted(OrderStatus))
def test_every_status_has_words_and_a_tone(status: OrderStatus) -> None:
    assert status in words.STATUS
    assert status in words.TONES


def test_every_verdict_has_a_sentence_and_a_label() -> None:
    skips = set(re.findall(r'Skip\(\s*"([A-Z_]+)"', getsource(decide)))
    codes = skips | {commit.COPIED, commit.EXIT_ORDERED, commit.EXIT_OWED}
    assert len(codes) > 10
    assert codes == set(copying.SENTENCES) == set(copying.LABELS)


@pytest.mark.parametrize(
    ("sentence", "numbers", "said"),
    [
        ("{shares} shares", {"shares": "12.500000"}, "12.5 shares"),
        ("${notional} of ${limit}", {"notional": "1234.5", "limit": "100"}, "$1,234.50 of $100.00"),
        ("at {limit}¢ or better", {"limit": "0.9295"}, "at 92.95¢ or better"),
        ("best ask {best_ask}¢", {"best_ask": "none"}, "best ask none"),
        ("{notional|shares} of {minimum}", {"shares": "3", "minimum": "5"}, "3 of 5"),
        ("{gone} left", {}, "? left"),
        ("{odd}", {"odd": "{shares}"}, "{shares}"),
    ],
)
def test_numbers_are_told_as_people_write_them(sentence: str, numbers: dict[str, str], said: str) -> None:
    assert words.fill(sentence, numbers) == said


def test_the_numbers_of_a_denied_order_come_back_from_its_message() -> None:
    numbers = words.numbers_of("ORDER_ABOVE_MAX: notional=120, limit=100")
    assert words.denial_words("ORDER_ABOVE_MAX", numbers) == "the order of $120.00 is above your maximum of $100.00"
    assert words.numbers_of("the venue said no") == {}


def test_why_an_engine_recovers_is_told_with_what_to_do() -> None:
    assert "deposit pUSD" in words.engine_words("BALANCE_ZERO: The trading wallet holds no pUSD.")
    assert "tries again by itself" in words.engine_words("NOT_CONNECTED: No answer from the venue.")
    assert words.engine_words("UNHEARD_OF: The venue's own words.") == "The venue's own words."
    assert set(connection.REMEDIES) - {"ACCOUNT_STOPPED"} <= set(words.ENGINE)


def test_an_order_that_never_rests_is_not_said_to_rest() -> None:
    assert words.status_words("OPEN", "GTC") == "rests at the venue"
    assert {words.status_words("OPEN", kind) for kind in ("FAK", "FOK")} == {"taken in by the venue"}


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("APPROVED: reserve_usdc=10.489500, reserve_shares=0", "approved, $10.49 held back for it"),
        ("APPROVED: reserve_usdc=0, reserve_shares=14.420000", "approved, 14.42 shares held back for it"),
        ("APPROVED", "approved, $? held back for it"),
        ("OPEN_ORDERS: open=50, limit=50", "50 orders are open already; your limit is 50"),
    ],
)
def test_the_risk_gates_verdict_is_told_to_people(verdict: str, said: str) -> None:
    assert words.verdict_words(verdict) == said
