"""Every error the venue documents, and every one it was recorded to give, means exactly one thing to us."""

import re

import pytest

from markets.tests import recorded
from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket import error_map
from markets.venue.polymarket.error_map import ORDER_RULES, Asked

# Texts as docs.polymarket.com (error codes, order lifecycle, rate limits) gives them, with their status.
DOCUMENTED: list[tuple[int, str, type[VenueError]]] = [
    (400, "Invalid order payload", Refused),
    (400, "the order owner has to be the owner of the API KEY", Refused),
    (400, "the order signer address has to be the address of the API KEY", Refused),
    (400, "invalid post-only order: order crosses book", Refused),
    (400, "order 0xab is invalid. Reason: breaks minimum tick size rule: 0.01", Refused),
    (400, "order 0xab is invalid. Reason: Size (1) lower than the minimum: 5", Refused),
    (400, "order 0xab is invalid. Duplicated.", OutcomeUnknown),
    (400, "not enough balance / allowance: the balance is not enough -> balance: 1, order amount: 2", Refused),
    (400, "invalid nonce", Refused),
    (400, "invalid expiration", Refused),
    (400, "order canceled in the CTF exchange contract", Refused),
    (400, "order match delayed due to market conditions", OutcomeUnknown),
    (400, "order couldn't be fully filled. FOK orders are fully filled or killed.", Refused),
    (400, "no orders found to match with FAK order. FAK orders are partially filled or killed", Refused),
    (400, "the market is not yet ready to process new orders", Refused),
    (400, "maker address not allowed, please use the deposit wallet flow", Refused),
    (400, "order_version_mismatch", Refused),
    (400, "invalid amounts, the market buy orders maker amount supports a max accuracy of 2 decimals", Refused),
    (400, "invalid amount for a marketable BUY order ($0.5), min size: $1", Refused),
    (400, "invalid signature", Refused),
    (400, "Too many orders in payload: 16, max allowed: 15", Refused),
    (400, "'0xab' address banned", Refused),
    (400, "'0xab' address in closed only mode", Refused),
    (401, "Unauthorized/Invalid api key", Refused),
    (401, "Invalid L1 Request headers", Refused),
    (403, "Trading restricted in your region, please refer to available regions", Refused),
    (404, "No orderbook exists for the requested token id", Refused),
    (425, "service not ready", Unavailable),
    (429, "Too Many Requests", Unavailable),
    (500, "there are no matching orders", OutcomeUnknown),
    (500, "could not insert order", OutcomeUnknown),
    (503, "Trading is currently disabled. Check polymarket.com for updates", Unavailable),
    (503, "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed.", Unavailable),
    (503, "post-only mode: only post-only orders and cancels are allowed", Unavailable),
]


@pytest.mark.parametrize(("status", "text", "outcome"), DOCUMENTED, ids=[text[:40] for _, text, _ in DOCUMENTED])
def test_every_documented_error_means_exactly_one_outcome(status: int, text: str, outcome: type[VenueError]) -> None:
    found = error_map.from_answer(status, b'{"error":"' + text.encode() + b'"}', "", Asked.CHANGE)
    assert type(found) is outcome
    meant = {(rule.outcome, rule.code) for rule in ORDER_RULES if rule.status == status and rule.text in text.lower()}
    assert len(meant) <= 1
    assert found.code != "UNLISTED_ANSWER"


def test_no_rule_is_dead_or_shadowed() -> None:
    """Each rule is reached by its own text: one that another swallows would never tell its code."""
    for rule in ORDER_RULES:
        found = error_map.from_answer(rule.status, b'{"error":"' + rule.text.encode() + b'"}', "", Asked.CHANGE)
        assert (type(found), found.code) == (rule.outcome, rule.code)


@recorded.needed
def test_every_recorded_rejection_of_the_venue_is_listed() -> None:
    texts = recorded.rejections()
    assert len(texts) > 10
    unlisted = set()
    for status, text in texts:
        found = error_map.from_answer(status, b'{"error":"' + text.encode() + b'"}', "", Asked.CHANGE)
        if found.code == "UNLISTED_ANSWER":
            unlisted.add(re.sub(r"\d{6,}", "#", text))
    assert unlisted == set()
