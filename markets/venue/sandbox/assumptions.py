"""What a recording of trades does not say about a market, and what is assumed instead.

Everything decided here is an assumption and is named as one in `tapes/*/SOURCES.md`: the category (from words in the
recorded slug and title), the fee schedule (the venue's published rate of that category) and the tick.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

FEE_RATES = {
    "crypto": Decimal("0.07"),
    "sports": Decimal("0.05"),
    "politics": Decimal("0.04"),
    "economics": Decimal("0.05"),
    "weather": Decimal("0.05"),
    "culture": Decimal("0.05"),
    "geopolitics": Decimal(0),
    "other": Decimal("0.05"),
}

# First match wins.
_WORDS = (
    ("crypto", r"updown|up or down|bitcoin|\bbtc\b|ethereum|\beth\b|solana|\bxrp\b|dogecoin|crypto|airdrop|\bfdv\b"),
    ("weather", r"temperature|hurricane|rainfall|snow|weather"),
    (
        "sports",
        r" vs\.? |\bwin on 20\d\d|\b(nba|nfl|mlb|nhl|epl|ufc|atp|wta|f1|ipl|ncaa|cs2|lol|dota2?|val|fifa)\b|"
        r"o/u |spread|league|cup\b|championship|grand prix|masters|open:|playoffs|finals|moneyline",
    ),
    ("economics", r"\bfed\b|interest rate|inflation|\bcpi\b|\bgdp\b|recession|jobs report|unemployment|tariff"),
    (
        "geopolitics",
        r"iran|israel|gaza|ukraine|russia|ceasefire|strike|invade|venezuela|taiwan|military|hormuz|hezbollah|nuclear",
    ),
    (
        "politics",
        r"trump|election|president|senate|congress|nominee|governor|mayor|prime minister|parliament|approval|"
        r"impeach|cabinet|minister|party|vote",
    ),
    ("culture", r"movie|album|song|oscar|grammy|box office|tweets?|youtube|mrbeast|netflix|spotify|celebrity"),
)
_PATTERNS = tuple((category, re.compile(words)) for category, words in _WORDS)

_OPPOSITE = {"Yes": "No", "No": "Yes", "Up": "Down", "Down": "Up", "Over": "Under", "Under": "Over"}


def category_of(*, slug: str, title: str) -> str:
    text = f"{slug.replace('-', ' ')} {title}".lower()
    return next((category for category, pattern in _PATTERNS if pattern.search(text)), "other")


def tick_of(prices: Iterable[Decimal]) -> Decimal:
    """A thousandth where a recorded price lies beyond 0.04 or 0.96, as the venue does, else a cent."""
    near_an_end = any(price < Decimal("0.04") or price > Decimal("0.96") for price in prices)
    return Decimal("0.001") if near_an_end else Decimal("0.01")


def opposite_outcome(outcome: str) -> str:
    """The name of the other outcome when nobody in the recording traded it."""
    return _OPPOSITE.get(outcome, f"Not {outcome}")
