"""The venue's number strings to whole units. Anything else than a plain, finite, non-negative number is refused."""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

import msgspec

from markets.venue.polymarket.wire import BadAnswer
from polyhub.lib import money

# More digits than any token supply has: such a number is an attack or a mistake.
_MAX_UNITS = 10**18
_TEXT_LIMIT = 40


def price_units(text: str) -> int:
    """A price such as ".48" in 1/10,000; finer averages are rounded to the nearest. Raises BadAnswer."""
    units = _units(text, money.PRICE_UNITS)
    if not 0 <= units <= money.PRICE_UNITS:
        raise BadAnswer(f"price {text!r}")
    return units


def share_units(text: str) -> int:
    """Shares or dollars in base units; the venue has no more than six decimals. Raises BadAnswer."""
    return _units(text, money.UNITS)


def integer(text: str) -> int:
    """A whole number in a string; huge allowances (2^256 - 1) are fine. Raises BadAnswer."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 80):
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}")
    return int(text)


def tick_units(value: str | float | Decimal) -> int:
    """A tick in 1/10,000; the venue sends it as a string or as a JSON number. Raises BadAnswer."""
    units = _units(str(value), money.PRICE_UNITS)
    if not 0 < units <= money.PRICE_UNITS // 2:
        raise BadAnswer(f"tick {value!r}")
    return units


def milliseconds(text: str) -> int:
    """A timestamp that may be in seconds or milliseconds, as milliseconds; 0 when there is none. Raises BadAnswer."""
    if not text:
        return 0
    number = integer(text)
    return number * 1000 if number < 10**11 else number


def number_text(raw: msgspec.Raw) -> str:
    """The digits of a JSON number (or of a number in a string), untouched by floats. Raises BadAnswer."""
    text = bytes(raw).decode("ascii", "replace").strip('"')
    if not text or len(text) > _TEXT_LIMIT or text[0] not in "0123456789.":
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}")
    return text


def _units(text: str, scale: int) -> int:
    whole, dot, rest = text.partition(".")
    # Fast path: plain digits with few enough decimals.
    if (whole + rest).isdecimal() and len(text) <= _TEXT_LIMIT and text.isascii():
        decimals = len(str(scale)) - 1
        if len(rest) <= decimals:
            units = int(whole or "0") * scale + (int(rest.ljust(decimals, "0")) if dot and rest else 0)
            if units > _MAX_UNITS:
                raise BadAnswer(f"number {text!r}")
            return units
    return _slow_units(text, scale)


def _slow_units(text: str, scale: int) -> int:
    try:
        exact = Decimal(text[: _TEXT_LIMIT + 1])
    except InvalidOperation as error:
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}") from error
    if len(text) > _TEXT_LIMIT or not exact.is_finite() or not 0 <= exact * scale <= _MAX_UNITS:
        raise BadAnswer(f"number {text[:_TEXT_LIMIT]!r}")
    return int((exact * scale).to_integral_value(ROUND_HALF_EVEN))
