"""What an answer, or the lack of one, proves about an order. One table; anything unlisted is OutcomeUnknown.

Sources: docs.polymarket.com (order errors, rate limits), github.com/Polymarket/py-clob-client/issues/273.
"""

import ssl
from dataclasses import dataclass
from enum import Enum

import aiohttp.client_exceptions as http
import msgspec

from markets.venue.errors import OutcomeUnknown, Refused, Unavailable, VenueError
from markets.venue.polymarket import wire

_ERROR = msgspec.json.Decoder(wire.ErrorBody)
_TEXT_LIMIT = 300


class Asked(Enum):
    """What a request does: a read may always be repeated, a change may have happened."""

    READ = "read"
    CHANGE = "change"


class Arrival(Enum):
    """Whether a failed request can have reached the venue."""

    NEVER = "never"
    MAYBE = "maybe"


# Every exception class of the HTTP library, and the system's own that may surface. The first match by MRO counts.
ARRIVAL: dict[type[BaseException], Arrival] = {
    http.ClientError: Arrival.MAYBE,
    http.ClientResponseError: Arrival.MAYBE,
    http.ContentTypeError: Arrival.MAYBE,
    http.WSServerHandshakeError: Arrival.MAYBE,
    http.ClientHttpProxyError: Arrival.MAYBE,
    http.TooManyRedirects: Arrival.MAYBE,
    http.ClientConnectionError: Arrival.MAYBE,
    http.ClientConnectionResetError: Arrival.MAYBE,
    http.ClientOSError: Arrival.MAYBE,
    http.ClientConnectorError: Arrival.NEVER,
    http.ClientConnectorDNSError: Arrival.NEVER,
    http.ClientProxyConnectionError: Arrival.NEVER,
    http.UnixClientConnectorError: Arrival.NEVER,
    http.ServerConnectionError: Arrival.MAYBE,
    http.ServerDisconnectedError: Arrival.MAYBE,
    http.ServerTimeoutError: Arrival.MAYBE,
    http.ConnectionTimeoutError: Arrival.NEVER,
    http.SocketTimeoutError: Arrival.MAYBE,
    http.ServerFingerprintMismatch: Arrival.NEVER,
    http.ClientPayloadError: Arrival.MAYBE,
    http.UploadAbortedError: Arrival.MAYBE,
    http.InvalidURL: Arrival.NEVER,
    http.InvalidUrlClientError: Arrival.NEVER,
    http.RedirectClientError: Arrival.MAYBE,
    http.NonHttpUrlClientError: Arrival.NEVER,
    http.InvalidUrlRedirectClientError: Arrival.MAYBE,
    http.NonHttpUrlRedirectClientError: Arrival.MAYBE,
    http.ClientSSLError: Arrival.NEVER,
    http.ClientConnectorSSLError: Arrival.NEVER,
    http.ClientConnectorCertificateError: Arrival.NEVER,
    ssl.SSLError: Arrival.MAYBE,
    TimeoutError: Arrival.MAYBE,
    OSError: Arrival.MAYBE,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """An answer with this status (0: any) and this text means this outcome."""

    status: int
    text: str
    outcome: type[VenueError]
    code: str


# Order texts are matched by substring, case ignored: the venue adds ids and amounts around them.
ORDER_RULES: tuple[Rule, ...] = (
    Rule(400, "duplicated", OutcomeUnknown, "DUPLICATED"),
    Rule(400, "order match delayed", OutcomeUnknown, "ORDER_DELAYED"),
    Rule(400, "not enough balance / allowance", Refused, "NOT_ENOUGH_BALANCE"),
    Rule(400, "allowance is not enough", Refused, "NOT_ENOUGH_BALANCE"),
    Rule(400, "insufficient balance", Refused, "NOT_ENOUGH_BALANCE"),
    Rule(400, "breaks minimum tick size", Refused, "TICK_SIZE"),
    Rule(400, "lower than the minimum", Refused, "MIN_SIZE"),
    Rule(400, "min size: $1", Refused, "MIN_AMOUNT"),
    Rule(400, "order crosses book", Refused, "POST_ONLY_CROSSES"),
    Rule(400, "crosses the book", Refused, "POST_ONLY_CROSSES"),
    # "price (0.999), min: 0.01 - max: 0.99": the tick changed since the price was chosen.
    Rule(400, "), min: ", Refused, "TICK_SIZE"),
    Rule(400, "fok orders are fully filled", Refused, "FOK_NOT_FILLED"),
    Rule(400, "no orders found to match with fak", Refused, "FAK_NOT_FILLED"),
    Rule(400, "invalid amounts", Refused, "AMOUNTS"),
    Rule(400, "invalid expiration", Refused, "INVALID_EXPIRATION"),
    Rule(400, "invalid nonce", Refused, "INVALID_NONCE"),
    Rule(400, "invalid signature", Refused, "INVALID_SIGNATURE"),
    Rule(400, "invalid order payload", Refused, "INVALID_PAYLOAD"),
    Rule(400, "owner of the api key", Refused, "OWNER_MISMATCH"),
    Rule(400, "address of the api key", Refused, "SIGNER_MISMATCH"),
    Rule(400, "not yet ready to process", Refused, "MARKET_NOT_READY"),
    Rule(400, "does not exist", Refused, "MARKET_NOT_FOUND"),
    Rule(400, "deposit wallet flow", Refused, "MAKER_NOT_ALLOWED"),
    Rule(400, "order_version_mismatch", Refused, "ORDER_VERSION_MISMATCH"),
    Rule(400, "canceled in the ctf exchange", Refused, "CANCELED_ON_CHAIN"),
    Rule(400, "address banned", Refused, "ADDRESS_BANNED"),
    Rule(400, "closed only mode", Refused, "CLOSED_ONLY"),
    Rule(400, "too many orders in payload", Refused, "TOO_MANY_ORDERS"),
    Rule(403, "restricted in your region", Refused, "GEOBLOCKED"),
    Rule(403, "closed only mode", Refused, "CLOSED_ONLY"),
    Rule(404, "no orderbook exists", Refused, "MARKET_NOT_FOUND"),
    Rule(503, "post_only_mode", Unavailable, "POST_ONLY_MODE"),
    Rule(503, "post-only mode", Unavailable, "POST_ONLY_MODE"),
    Rule(503, "cancel-only", Unavailable, "CANCEL_ONLY_MODE"),
    Rule(503, "cancel only", Unavailable, "CANCEL_ONLY_MODE"),
    Rule(503, "trading disabled", Unavailable, "TRADING_DISABLED"),
    Rule(503, "trading is disabled", Unavailable, "TRADING_DISABLED"),
    Rule(503, "trading is currently disabled", Unavailable, "TRADING_DISABLED"),
)

# By status alone, for every kind of request; looked at after the texts.
STATUS_RULES: dict[int, tuple[type[VenueError], str]] = {
    401: (Refused, "CREDENTIALS_REFUSED"),
    403: (Refused, "FORBIDDEN"),
    425: (Unavailable, "ENGINE_RESTARTING"),
    429: (Unavailable, "RATE_LIMITED"),
}


def from_exception(error: BaseException, asked: Asked) -> VenueError:
    """The outcome of a request that got no answer."""
    arrival = next((ARRIVAL[kind] for kind in type(error).__mro__ if kind in ARRIVAL), Arrival.MAYBE)
    # Only the type: messages of connection errors may carry URLs with parameters.
    text = f"No answer from the venue ({type(error).__name__})."
    if arrival is Arrival.NEVER:
        return Unavailable(text, code="NOT_CONNECTED")
    if asked is Asked.READ:
        return Unavailable(text, code="NO_ANSWER")
    return OutcomeUnknown(text, code="NO_ANSWER")


def from_answer(status: int, body: bytes, retry_after: str, asked: Asked) -> VenueError:
    """The outcome of a request answered with an error status."""
    text, announced_s = _error_text(body)
    wait_s = announced_s if announced_s is not None else _seconds(retry_after)
    if asked is Asked.CHANGE:
        for rule in ORDER_RULES:
            if rule.status == status and rule.text in text.lower():
                return _make(rule.outcome, text, rule.code, wait_s)
    if status in STATUS_RULES:
        outcome, code = STATUS_RULES[status]
        return _make(outcome, text, code, wait_s)
    if asked is Asked.READ:
        if status < 500:
            return Refused(text, code="NOT_FOUND" if status == 404 else "BAD_REQUEST")
        return Unavailable(text, code="SERVER_ERROR", retry_after_s=wait_s)
    return OutcomeUnknown(text, code="SERVER_ERROR" if status >= 500 else "UNLISTED_ANSWER")


def from_order_text(text: str) -> VenueError:
    """The outcome told inside a 200: the same texts as with a 400."""
    for rule in ORDER_RULES:
        if rule.text in text.lower():
            return _make(rule.outcome, text, rule.code, None)
    return OutcomeUnknown(text[:_TEXT_LIMIT], code="UNLISTED_ANSWER")


def _make(outcome: type[VenueError], text: str, code: str, wait_s: float | None) -> VenueError:
    if outcome is Unavailable:
        return Unavailable(text, code=code, retry_after_s=wait_s)
    return outcome(text, code=code)


def _error_text(body: bytes) -> tuple[str, float | None]:
    """The venue's own words, with its code in front when there is one; pages of a proxy are cut short."""
    try:
        parsed = _ERROR.decode(body)
    except msgspec.MsgspecError:
        return body[:_TEXT_LIMIT].decode("utf-8", "replace").strip() or "No text.", None
    text = f"{parsed.code}: {parsed.error}" if parsed.code else parsed.error
    return (text or "No text.")[:_TEXT_LIMIT], parsed.retry_after_seconds


def _seconds(header: str) -> float | None:
    try:
        return max(float(header), 0.0)
    except ValueError:
        return None
