"""What codes mean, in sentences for people. Codes stay stable; these words may change."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

DENIED = {
    "ACCOUNT_STOPPED": "the account is stopped",
    "ACCOUNT_PAUSED": "the account is paused: it opens nothing new",
    "LIVE_TRADING_OFF": "live trading is switched off on this installation",
    "HALTED": "trading is halted for this account",
    "REDUCING_ONLY": "the account may only reduce positions now",
    "TOKEN_UNKNOWN": "this outcome is not in the catalogue",
    "MARKET_CLOSED": "the market takes no orders",
    "FEE_UNKNOWN": "the market's fee is not known, and no order goes out without it",
    "ORDER_EXPIRED": "its time had run out",
    "PRICE_OFF_TICK": "the price is not on the market's grid",
    "SIZE_INVALID": "the size is too small to be signed",
    "VENUE_MINIMUM": "it is below the venue's minimum ({notional|shares} of {minimum})",
    "ORDER_BELOW_MIN": "the order of ${notional} is below your minimum of ${limit}",
    "ORDER_ABOVE_MAX": "the order of ${notional} is above your maximum of ${limit}",
    "OPEN_ORDERS": "{open} orders are open already; your limit is {limit}",
    "DAILY_LOSS": "today's loss of ${loss} reached your limit of ${limit}",
    "MARKET_EXPOSURE": "${used} is in this market already; with ${order} more it would pass your limit of ${limit}",
    "TOTAL_EXPOSURE": "${used} is at stake already; with ${order} more it would pass your limit of ${limit}",
    "CASH_SHORT": "it needs ${need} and ${free} is free",
    "SHARES_SHORT": "it would sell {shares} shares and {free} are free",
    "STALE_INTENT": "it waited too long to be sent, so it was not sent blindly",
    "BOOK_UNTRUSTED": "the order book cannot be trusted now ({doubt})",
    "PRICE_FAR_FROM_BOOK": "the price {price} is more than {limit} worse than the best of the book, {best}",
    "SIGNING_REFUSED": "the signer's policy refused it",
    "CANCELED_BEFORE_SENDING": "it was canceled before it left",
    "VENUE_UPGRADED": "the venue has changed how orders are signed: nothing is sent before PolyHub is brought up to it",
    "CLOCK_OFFSET": "this machine's clock was too far off to be believed",
    "INVALID_EXPIRATION": "the venue takes no order that ends so soon",
    "POST_ONLY_TYPE": "only an order that rests can be post-only",
    # What the venue answers.
    "FAK_NOT_FILLED": "nobody offered this price when the order arrived",
    "FOK_NOT_FILLED": "the whole size was not offered at this price when the order arrived",
    "REST_NOT_FILLED": "the rest was not offered at this price when the order arrived",
    "POST_ONLY_CROSSES": "it would have traded at once, and it was asked only to rest",
    "NOT_ENOUGH_BALANCE": "the venue saw too little balance or allowance",
    "TRADING_DISABLED": "the venue takes no orders now",
    "CANCEL_ONLY_MODE": "the venue takes cancels only now",
    "POST_ONLY_MODE": "the venue takes only resting orders just after its restart",
    "TICK_SIZE": "the market's price grid has changed",
    "MIN_SIZE": "it is below the venue's minimum size",
    "NOT_FOUND_AT_VENUE": "the venue knows nothing of it",
    "NO_ANSWER": "the venue did not answer",
    "BY_VENUE": "the venue ended it",
}

# Why a book is shown but may not be believed.
DOUBTS = {
    "NO_BOOK": "Waiting for the book",
    "NO_ORDERBOOK": "The venue has no book",
    "FEED_DOWN": "Feed is down",
    "CROSSED": "Crossed book",
    "DISAGREES": "The venue contradicts it",
    "UNCONFIRMED": "Not confirmed lately",
    "STALE": "Not refreshed lately",
    "CLOSED": "Market closed",
}

# Why an account's engine does not run, and what to do. It tries again by itself in every case.
_VENUE_AWAY = "the venue does not answer now; nothing to do, it tries again by itself"
ENGINE = {
    **dict.fromkeys(
        ("NOT_CONNECTED", "NO_ANSWER", "TIMEOUT", "SERVER_ERROR", "BAD_ANSWER", "ENGINE_RESTARTING", "RATE_LIMITED"),
        _VENUE_AWAY,
    ),
    "JOURNAL_UNAVAILABLE": "the database does not answer now; nothing to do, it tries again by itself",
    "INTERNAL_ERROR": "something unexpected happened, the log says what; it tries again by itself",
    "SIGNER_DOWN": "the signer does not answer; it is one of the processes of ./hub up",
    "KEY_MISSING": "the signer has no key for it: import the key again",
    "KEY_EXPIRED": "its session key has ended: take the next one into use on the page of keys",
    "SEAL_BROKEN": "the signer cannot open its key: restore the vault key, or import the key again",
    "CREDENTIALS_REFUSED": "the venue refused the key: check that it belongs to this wallet, and the kind of wallet",
    "BALANCE_ZERO": "the trading wallet holds no money: deposit pUSD to its address, and it goes on by itself",
    "ALLOWANCE_MISSING": "the exchange may not use the wallet's money: place one order on Polymarket itself",
    "CLOCK_OFFSET": "this machine's clock is wrong: set it (NTP)",
}

STATUS = {
    "AWAITING_APPROVAL": "waits for your approval",
    "PENDING": "admitted, waits for the engine",
    "DENIED": "not sent: our own limits said no",
    "SENT": "sent, the venue has not answered yet",
    "OPEN": "rests at the venue",
    "PARTIALLY_FILLED": "partly filled",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "REJECTED": "refused by the venue",
    "PRESUMED_NOT_PLACED": "no trace at the venue: presumed not placed, watched for a day",
}

TONES = {
    "FILLED": "success",
    "PARTIALLY_FILLED": "success",
    "OPEN": "primary",
    "PENDING": "primary",
    "AWAITING_APPROVAL": "warning",
    "SENT": "warning",
    "PRESUMED_NOT_PLACED": "warning",
    "DENIED": "secondary",
    "CANCELED": "secondary",
    "EXPIRED": "secondary",
    "REJECTED": "danger",
}


# These never rest: the venue fills what it can at once and ends the order.
_AT_ONCE = {"FAK", "FOK"}


def status_words(status: str, order_type: str = "") -> str:
    if status == "OPEN" and order_type in _AT_ONCE:
        return "taken in by the venue"
    return STATUS.get(status, _plain(status))


def verdict_words(text: str) -> str:
    """The risk gate's verdict as noted ("CODE: name=value, ..."), for people."""
    code, numbers = text.partition(":")[0], numbers_of(text)
    if code != "APPROVED":
        return denial_words(code, numbers)
    held_shares = numbers.get("reserve_shares", "0")
    held = (
        f"{_number(held_shares)} shares" if held_shares.strip("0.") else f"${_money(numbers.get('reserve_usdc', '?'))}"
    )
    return f"approved, {held} held back for it"


def denial_words(code: str, numbers: Mapping[str, object]) -> str:
    """Why the risk gate said no, with its numbers. An unknown code is shown as it is."""
    sentence = DENIED.get(code)
    return fill(sentence, numbers) if sentence else _plain(code)


def fill(sentence: str, numbers: Mapping[str, object]) -> str:
    """`{name}` becomes the number, `{a|b}` the first of them that is there, an unknown one a question mark.

    `${name}` is money, `{name}¢` a price of 0 to 1 told in cents.
    """
    out, rest = "", sentence
    while "{" in rest:
        before, _, rest = rest.partition("{")
        names, _, rest = rest.partition("}")
        value = next((numbers[name] for name in names.split("|") if name in numbers), "?")
        if rest.startswith("¢"):
            out += before + _cents(value)
            rest = rest.removeprefix("¢")
        else:
            out += before + (_money(value) if before.endswith("$") else _number(value))
    return out + rest


def _number(value: object) -> str:
    """12.500000 as 12.5; words stay words."""
    try:
        return f"{Decimal(str(value)).normalize():f}"
    except InvalidOperation:
        return str(value)


def _money(value: object) -> str:
    try:
        return f"{Decimal(str(value)):,.2f}"
    except InvalidOperation:
        return str(value)


def _cents(value: object) -> str:
    """0.9295 as 92.95¢; words stay words."""
    try:
        return f"{(Decimal(str(value)) * 100).normalize():f}¢"
    except InvalidOperation:
        return str(value)


def _plain(code: str) -> str:
    return code.replace("_", " ").lower()


def numbers_of(text: str) -> dict[str, str]:
    """The numbers of a verdict's text, "CODE: name=value, name=value"."""
    _, _, told = text.partition(": ")
    pairs = (part.partition("=") for part in told.split(", "))
    return {name: value for name, found, value in pairs if found}


def engine_words(detail: str) -> str:
    """Why an engine recovers, from what it noted ("CODE: the venue's words"); those words where none are ours."""
    code, _, said = detail.partition(": ")
    return ENGINE.get(code, said or detail)


def doubt_words(code: str) -> str:
    """Why a book may not be believed; empty for a trusted one."""
    return DOUBTS.get(code, code.replace("_", " ").capitalize()) if code else ""
