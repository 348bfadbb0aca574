"""The venue's number strings to whole units. Anything else than a plain, finite, non-negative number is refused."""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache

import msgspec

from markets.venue.polymarket.wire import BadAnswer
from polyhub.lib import clock, money

# More digits than any token supply has: such a number is an attack or a mistake.
_MAX_UNITS = 10**18
_TEXT_LIMIT = 40
_PLAIN_DIGITS = 24
_POWERS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


@lru_cache(maxsize=32_768)
def price_units(text: str) -> int:
    """A price such as ".48" in 1/10,000; finer averages are rounded to the nearest. Raises BadAnswer."""
    units = _units(text, 4)
    if not 0 <= units <= money.PRICE_UNITS:
        raise BadAnswer(f"price {text!r}")
    return units


@lru_cache(maxsize=65_536)
def share_units(text: str) -> int:
    """Shares or dollars in base units; the venue has no more than six decimals. Raises BadAnswer."""
    return _units(text, 6)


def integer(text: str) -> int:
    """A whole number in a string; huge allowances (2^256 - 1) are fine. Raises BadAnswer."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 80):
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}")
    return int(text)


def tick_units(value: str | float | Decimal) -> int:
    """A tick in 1/10,000; the venue sends it as a string or as a JSON number. Raises BadAnswer."""
    units = _units(str(value), 4)
    if not 0 < units <= money.PRICE_UNITS // 2:
        raise BadAnswer(f"tick {value!r}")
    return units


def milliseconds(text: str) -> int:
    """A timestamp in seconds, milliseconds or ISO form, as milliseconds; 0 when there is none. Raises BadAnswer."""
    if len(text) == 13 and text.isdecimal() and text.isascii():
        return int(text)
    if not text:
        return 0
    if "T" in text and len(text) <= _TEXT_LIMIT:
        return _iso_milliseconds(text)
    number = integer(text)
    return number * 1000 if number < 10**11 else number


def _iso_milliseconds(text: str) -> int:
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise BadAnswer(f"time {text!r}") from error
    if at.tzinfo is None:
        raise BadAnswer(f"time {text!r} without a zone")
    return clock.to_ms(at)


def number_text(raw: msgspec.Raw) -> str:
    """The digits of a JSON number (or of a number in a string), untouched by floats. Raises BadAnswer."""
    text = bytes(raw).decode("ascii", "replace").strip('"')
    if not text or len(text) > _TEXT_LIMIT or text[0] not in "0123456789.":
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}")
    return text


def _units(text: str, decimals: int) -> int:
    """Hot path: a book of 98 levels asks for 98 sizes."""
    whole, _, rest = text.partition(".")
    digits = whole + rest
    missing = decimals - len(rest)
    if missing < 0 or len(digits) > _PLAIN_DIGITS or not (digits.isdecimal() and digits.isascii()):
        return _slow_units(text, decimals)
    units = int(digits) * _POWERS[missing]
    if units > _MAX_UNITS:
        raise BadAnswer(f"number {text!r}")
    return units


def _slow_units(text: str, decimals: int) -> int:
    try:
        exact = Decimal(text[: _TEXT_LIMIT + 1])
    except InvalidOperation as error:
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}") from error
    if len(text) > _TEXT_LIMIT or not exact.is_finite() or not 0 <= exact.scaleb(decimals) <= _MAX_UNITS:
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}")
    return int(exact.scaleb(decimals).to_integral_value(ROUND_HALF_EVEN))
