"""Why a leader's trade was copied or not, in one sentence with its numbers. Codes stay stable; the words may change."""

from collections.abc import Mapping

from trading.domain import words

RISK = "RISK_"

SENTENCES = {
    "COPIED": "Ordered: {shares} shares at {limit}¢ or better (leader paid {leader_price}¢, best ask {best_ask}¢)",
    "EXIT_ORDERED": "Exit: selling {shares} of {booked} shares booked for this leader, at {limit}¢ or better",
    "EXIT_OWED": "Exit owed: {owed} shares are to be sold; tried again until done (waits: {waits_for})",
    "RULE_PAUSED": "Skipped: the rule was {status}",
    "TOO_OLD": "Skipped: seen {age_s} s after the trade; your limit is {max_age_s} s",
    "MARKET_CLOSED": "Skipped: the market takes no orders",
    "FEE_UNKNOWN": "Skipped: the market's fee was not known in time",
    "PRICE_BAND": "Skipped: leader's price {leader_price}¢ is outside your band of {min_price}¢ to {max_price}¢",
    "BOOK_UNTRUSTED": "Skipped: no order book to trust ({reason}, {age_ms} ms old)",
    "ALREADY_ORDERED": "Skipped: {ordered_shares} shares were already ordered for this trade",
    "BELOW_MINIMUM": (
        "Skipped: your size would be {wanted_shares} shares (${wanted_usdc}); "
        "the least is ${min_usdc} and {min_shares} shares"
    ),
    "MAX_POSITION": "Skipped: ${position_usdc} of ${max_position_usdc} in this position is used up",
    "SLIPPAGE": (
        "Skipped: best ask {best_ask}¢ is above the worst price you allow, {limit}¢ (leader paid {leader_price}¢)"
    ),
    "BOOK_DIVERGED": (
        "Skipped: best ask {best_ask}¢ is more than 10¢ from the leader's price of {leader_price}¢; "
        "a trade so far from its book is not copied"
    ),
    "NO_SHARES_OF_LEADER": "Nothing to sell: no shares are booked for this leader in this market",
}

LABELS = {
    "COPIED": "Ordered",
    "EXIT_ORDERED": "Exit ordered",
    "EXIT_OWED": "Exit owed",
    "RULE_PAUSED": "Rule paused",
    "TOO_OLD": "Too old",
    "MARKET_CLOSED": "Market closed",
    "FEE_UNKNOWN": "Fee unknown",
    "PRICE_BAND": "Outside price band",
    "BOOK_UNTRUSTED": "Book not trusted",
    "ALREADY_ORDERED": "Already ordered",
    "BELOW_MINIMUM": "Below minimum",
    "MAX_POSITION": "Position full",
    "SLIPPAGE": "Price ran away",
    "BOOK_DIVERGED": "Book disagrees",
    "NO_SHARES_OF_LEADER": "Nothing to sell",
}


def label(code: str) -> str:
    """Two or three words for a code."""
    if code.startswith(RISK):
        return "Risk limit: " + code.removeprefix(RISK).replace("_", " ").lower()
    return LABELS.get(code, code.replace("_", " ").capitalize())


def reason(code: str, numbers: Mapping[str, object]) -> str:
    """The sentence for a verdict."""
    if code.startswith(RISK):
        return f"Skipped: {words.denial_words(code.removeprefix(RISK), numbers)}"
    sentence = SENTENCES.get(code)
    if sentence is None:
        return label(code)
    waits = numbers.get("waits_for")
    told = {**numbers, "waits_for": label(str(waits)).lower()} if waits else numbers
    return words.fill(sentence, told)
