"""What an answer or its absence proves: nothing is called refused without proof, nothing unknown is re-sendable."""

import aiohttp
import pytest
from aiohttp import client_exceptions

from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket import error_map
from markets.venue.polymarket.error_map import Arrival, Asked


def every_subclass(kind: type[BaseException]) -> set[type[BaseException]]:
    found = {kind}
    for child in kind.__subclasses__():
        found |= every_subclass(child)
    return found


def test_every_error_of_the_http_library_is_in_the_table() -> None:
    known = {kind for kind in every_subclass(aiohttp.ClientError) if kind.__module__ == client_exceptions.__name__}
    assert len(known) > 20
    assert known - set(error_map.ARRIVAL) == set()


@pytest.mark.parametrize("kind", [kind for kind, arrival in error_map.ARRIVAL.items() if arrival is Arrival.NEVER])
def test_only_errors_from_before_the_first_byte_may_be_sent_again(kind: type[BaseException]) -> None:
    error = kind.__new__(kind)
    found = error_map.from_exception(error, Asked.CHANGE)
    assert isinstance(found, Unavailable)
    assert found.code == "NOT_CONNECTED"


@pytest.mark.parametrize("kind", [kind for kind, arrival in error_map.ARRIVAL.items() if arrival is Arrival.MAYBE])
def test_everything_later_leaves_a_change_unknown_and_a_read_repeatable(kind: type[BaseException]) -> None:
    error = kind.__new__(kind)
    assert isinstance(error_map.from_exception(error, Asked.CHANGE), OutcomeUnknown)
    assert isinstance(error_map.from_exception(error, Asked.READ), Unavailable)


def test_an_exception_nobody_listed_is_an_unknown_outcome() -> None:
    assert isinstance(error_map.from_exception(RuntimeError("surprise"), Asked.CHANGE), OutcomeUnknown)


def test_no_message_of_a_connection_error_is_repeated() -> None:
    error = aiohttp.InvalidURL("http://venue/?secret=1")
    assert "secret" not in error_map.from_exception(error, Asked.CHANGE).message


@pytest.mark.parametrize(
    ("status", "text", "outcome", "code"),
    [
        (400, "order 0xab is invalid. Duplicated.", OutcomeUnknown, "DUPLICATED"),
        (400, "order match delayed due to market conditions", OutcomeUnknown, "ORDER_DELAYED"),
        (400, "not enough balance / allowance: balance: 1", Refused, "NOT_ENOUGH_BALANCE"),
        (400, "order 0x is invalid. Reason: breaks minimum tick size rule: 0.01", Refused, "TICK_SIZE"),
        (400, "order 0x is invalid. Reason: Size (1) lower than the minimum: 5", Refused, "MIN_SIZE"),
        (400, "invalid amount for a marketable BUY order ($0.5), min size: $1", Refused, "MIN_AMOUNT"),
        (400, "invalid post-only order: order crosses book", Refused, "POST_ONLY_CROSSES"),
        (400, "order couldn't be fully filled. FOK orders are fully filled or killed.", Refused, "FOK_NOT_FILLED"),
        (400, "no orders found to match with FAK order. FAK", Refused, "FAK_NOT_FILLED"),
        (400, "the market is not yet ready to process new orders", Refused, "MARKET_NOT_READY"),
        (400, "maker address not allowed, please use the deposit wallet flow", Refused, "MAKER_NOT_ALLOWED"),
        (400, "order_version_mismatch", Refused, "ORDER_VERSION_MISMATCH"),
        (400, "invalid amounts, the market buy orders maker amount", Refused, "AMOUNTS"),
        (400, "the order signer address has to be the address of the API KEY", Refused, "SIGNER_MISMATCH"),
        (400, "'0xab' address banned", Refused, "ADDRESS_BANNED"),
        (400, "address in closed only mode", Refused, "CLOSED_ONLY"),
        (400, "something new", OutcomeUnknown, "UNLISTED_ANSWER"),
        (401, "Unauthorized/Invalid api key", Refused, "CREDENTIALS_REFUSED"),
        (403, "<html>blocked</html>", Refused, "FORBIDDEN"),
        (404, "No orderbook exists for the requested token id", Refused, "MARKET_NOT_FOUND"),
        (404, "not found", OutcomeUnknown, "UNLISTED_ANSWER"),
        (418, "teapot", OutcomeUnknown, "UNLISTED_ANSWER"),
        (425, "service not ready", Unavailable, "ENGINE_RESTARTING"),
        (429, "Too Many Requests", Unavailable, "RATE_LIMITED"),
        (500, "could not insert order", OutcomeUnknown, "SERVER_ERROR"),
        (502, "bad gateway", OutcomeUnknown, "SERVER_ERROR"),
        (503, "trading disabled", Unavailable, "TRADING_DISABLED"),
        (503, "upstream connect error", OutcomeUnknown, "SERVER_ERROR"),
    ],
)
def test_each_answer_to_an_order_means_one_outcome(
    status: int, text: str, outcome: type[VenueError], code: str
) -> None:
    body = b'{"error":"' + text.encode() + b'"}'
    found = error_map.from_answer(status, body, "", Asked.CHANGE)
    assert (type(found), found.code) == (outcome, code)


def test_announced_pauses_say_how_long() -> None:
    busy = error_map.from_answer(429, b'{"error":"slow down"}', "3", Asked.CHANGE)
    assert isinstance(busy, Unavailable)
    assert busy.retry_after_s == 3
    body = b'{"error":"only post-only orders","code":"post_only_mode","retry_after_seconds":120}'
    restarting = error_map.from_answer(503, body, "", Asked.CHANGE)
    assert isinstance(restarting, Unavailable)
    assert (restarting.code, restarting.retry_after_s) == ("POST_ONLY_MODE", 120)


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [(404, Refused, "NOT_FOUND"), (400, Refused, "BAD_REQUEST"), (500, Unavailable, "SERVER_ERROR")],
)
def test_reads_can_be_refused_or_repeated_but_never_unknown(status: int, outcome: type[VenueError], code: str) -> None:
    found = error_map.from_answer(status, b"not json", "soon", Asked.READ)
    assert (type(found), found.code) == (outcome, code)


def test_a_failure_told_inside_a_success_is_read_by_the_same_table() -> None:
    assert error_map.from_order_text("order 0x is invalid. Duplicated.").code == "DUPLICATED"
    assert isinstance(error_map.from_order_text("not enough balance / allowance"), Refused)
    assert isinstance(error_map.from_order_text("who knows"), OutcomeUnknown)
