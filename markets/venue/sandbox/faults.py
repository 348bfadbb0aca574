"""Faults on request: each names what goes wrong, for whom, how often and for how long. They combine.

Of a request, before it is handled (the first that strikes answers; delays add up):

| name | effect | own fields |
|---|---|---|
| delay | the request waits before it is handled | seconds |
| half_open | the connection stays open, nothing is handled and nothing answered | |
| drop_request | the connection is closed, nothing was handled | |
| http_5xx | answers `status` (500) without handling | status, body |
| unauthorized | 401, as for a wrong key or a wrong clock | |
| rate_limited | 429 | retry_after |
| engine_restarting | 425 `service not ready` | retry_after |
| post_only_mode | 503 with code post_only_mode for orders that are not post-only | retry_after |
| cancel_only | 503 for new orders; cancels pass | retry_after |
| trading_disabled | 503 for orders and cancels | retry_after |
| version_mismatch | 400 `order_version_mismatch`, as after an upgrade of the venue | |
| late_accept | closed at once (`hold`: kept silent) without a reply, handled `seconds` later | seconds, hold |
| late_cancel | a cancel is answered as done and done `seconds` later, so that a fill can come after it | seconds |

Of a request, after it is handled (all that strike apply, in this order):

| name | effect | own fields |
|---|---|---|
| failed_settlement | the trades of accepted orders end FAILED | |
| retried_settlement | they are RETRYING once, before they are mined or fail | |
| duplicated | an accepted order is answered as one the venue has already | |
| missing_entry | the last order of a batch has no entry in the answer | |
| truncated_page | a list ends after half of its rows, without a next page | |
| index_lag | rows and look-ups do not know what is younger than `seconds` | seconds |
| clock_skew | `/time` is wrong by `seconds` | seconds |
| malformed_json | the body breaks off in the middle | |
| late_reply | the answer waits, so that the streams speak first | seconds |
| http_5xx_after | answers `status` (500) instead | status, body |
| slow_body | the body comes byte by byte over `seconds` | seconds |
| drop_reply | the connection is closed without a reply | |

Of sockets: `channel` (market, user, rtds), `event` (an event type, or trades and orders_matched), `token_id` and
`wallet` choose the frames. Faults of requests with a route under `/ws/` strike the opening of a socket.

| name | effect | own fields |
|---|---|---|
| silent_socket | the channel stays open and sends nothing | pong (false: no PONG) |
| drop_frames | a frame is lost | |
| duplicate_frames | a frame comes twice | |
| shuffle_frames | every `frames` frames come in a random order | frames |
| delay_frames | a frame comes `seconds` late | seconds |
| old_data | a frame says it is `seconds` older than it is | seconds |
| broken_frame | prices are `crossed`, `negative`, `nan` or `huge` | kind |
| close_socket | open sockets are closed once | |
| replay_frames | open sockets hear once more what they heard lately | |
| huge_frame | open sockets get one frame of 10 MB (`bytes`), of 100,000 `levels`, or 1,000 levels `deep` | kind |
"""

import random
from collections.abc import Iterable
from typing import Literal

import msgspec

BEFORE = (
    *("delay", "half_open", "drop_request", "http_5xx", "unauthorized", "rate_limited", "engine_restarting"),
    *("post_only_mode", "cancel_only", "trading_disabled", "version_mismatch", "late_accept", "late_cancel"),
)
AFTER = (
    *("duplicated", "missing_entry", "truncated_page", "index_lag", "clock_skew", "malformed_json", "late_reply"),
    *("http_5xx_after", "slow_body", "drop_reply"),
)
FRAMES = (
    *("silent_socket", "drop_frames", "old_data", "broken_frame"),
    *("duplicate_frames", "shuffle_frames", "delay_frames"),
)
AT_ONCE = ("close_socket", "replay_frames", "huge_frame")
SETTLEMENT = ("failed_settlement", "retried_settlement")
NAMES = frozenset((*BEFORE, *AFTER, *SETTLEMENT, *FRAMES, *AT_ONCE))

_ORDERS = "/clob/order"
_DEFAULT_ROUTE = {
    **dict.fromkeys(
        ("late_accept", "post_only_mode", "cancel_only", "duplicated", "version_mismatch", "late_cancel"), _ORDERS
    ),
    **dict.fromkeys(SETTLEMENT, _ORDERS),
    "missing_entry": "/clob/orders",
    "clock_skew": "/clob/time",
}
# These strike every method of the trading routes; what has no default route strikes every method of every route.
_CANCELS = ("/clob/order", "/clob/orders", "/clob/cancel-all", "/clob/cancel-market-orders")

Kind = Literal["", "crossed", "negative", "nan", "huge", "bytes", "levels", "deep"]


class UnknownFault(ValueError):
    """No fault has this name."""


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`route` is the beginning of a path with its prefix (`/clob/order`); empty means every route of the protocol.

    What concerns new orders strikes POST of `/clob/order` and `/clob/orders` by default, trading_disabled orders and
    cancels. `wallet` is a trading address or a signer, or whom a public route is asked about; on RTDS who traded.
    `count` ends the fault after so many hits, `for_seconds` by time; `after` lets so many pass first.
    """

    name: str
    route: str | None = None
    method: str = ""
    wallet: str = ""
    probability: float = 1.0
    count: int | None = None
    after: int = 0
    for_seconds: float | None = None
    seconds: float = 0.0
    status: int = 500
    body: str = ""
    retry_after: float | None = None
    hold: bool = False
    channel: str = ""
    event: str = ""
    token_id: str = ""
    pong: bool = True
    frames: int = 4
    kind: Kind = ""


class Fault:
    def __init__(self, fault_id: int, request: FaultRequest, *, now_ms: int) -> None:
        self.fault_id = fault_id
        self.request = request
        self.route = request.route if request.route is not None else _DEFAULT_ROUTE.get(request.name, "")
        self.method = request.method or (_default_method(request.name, self.route) if request.route is None else "")
        self.left = request.count
        self.to_pass = request.after
        self.hits = 0
        self.until_ms = now_ms + int(request.for_seconds * 1000) if request.for_seconds is not None else None
        self._wallet = request.wallet.lower()

    def as_wire(self) -> dict[str, object]:
        return {"id": self.fault_id, "left": self.left, "hits": self.hits, **msgspec.to_builtins(self.request)}

    def concerns_route(self, path: str, method: str) -> bool:
        if self.request.name == "trading_disabled" and self.request.route is None:
            return path in _CANCELS
        if path.startswith("/ws/") and not self.route.startswith("/ws/"):
            return False
        return path.startswith(self.route) and self.method in ("", method)

    def concerns_frame(self, channel: str, event: str, tokens: Iterable[str]) -> bool:
        request = self.request
        if request.channel not in ("", channel) or request.event not in ("", event):
            return False
        return not request.token_id or request.token_id in tokens

    def concerns_wallet(self, wallets: Iterable[str]) -> bool:
        return not self._wallet or self._wallet in {wallet.lower() for wallet in wallets}


def _default_method(name: str, route: str) -> str:
    if name == "late_cancel":
        return "DELETE"
    return "POST" if route.startswith(_ORDERS) else ""


class Faults:
    """The active faults. Chance comes from the sandbox's own seeded generator."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self._serial = 0
        self._active: list[Fault] = []
        self.on_frames = False

    def add(self, request: FaultRequest, *, now_ms: int) -> Fault:
        if request.name not in NAMES:
            raise UnknownFault(f"unknown fault {request.name!r}: one of {', '.join(sorted(NAMES))}")
        self._serial += 1
        fault = Fault(self._serial, request, now_ms=now_ms)
        self._active.append(fault)
        self._noted()
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        self._active = [fault for fault in self._active if fault_id is not None and fault.fault_id != fault_id]
        self._noted()

    def active(self) -> list[Fault]:
        return list(self._active)

    def hit(
        self, names: Iterable[str], *, now_ms: int, path: str = "", method: str = "", wallets: Iterable[str] = ()
    ) -> FaultRequest | None:
        """The first active fault of these names that strikes this request; it counts as used."""
        if not self._active:
            return None
        wanted, known = frozenset(names), list(wallets)
        for fault in self._active:
            if fault.request.name not in wanted or not fault.concerns_route(path, method):
                continue
            if fault.concerns_wallet(known) and self._strikes(fault, now_ms):
                return fault.request
        return None

    def hit_frame(
        self, name: str, *, now_ms: int, channel: str, event: str, tokens: Iterable[str], wallets: Iterable[str]
    ) -> FaultRequest | None:
        """The first active fault of this name that strikes this frame; it counts as used."""
        for fault in self._active:
            if fault.request.name != name or not fault.concerns_frame(channel, event, tokens):
                continue
            if fault.concerns_wallet(wallets) and self._strikes(fault, now_ms):
                return fault.request
        return None

    def withholds_pong(self, channel: str, *, now_ms: int, wallets: Iterable[str]) -> bool:
        for fault in self._active:
            request = fault.request
            if request.name != "silent_socket" or request.pong or not fault.concerns_frame(channel, request.event, ()):
                continue
            if fault.concerns_wallet(wallets) and (fault.until_ms is None or now_ms < fault.until_ms):
                return True
        return False

    def _noted(self) -> None:
        self.on_frames = any(fault.request.name in FRAMES for fault in self._active)

    def _strikes(self, fault: Fault, now_ms: int) -> bool:
        if fault.left == 0 or (fault.until_ms is not None and now_ms >= fault.until_ms):
            return False
        if fault.request.probability < 1.0 and self.chance.random() >= fault.request.probability:
            return False
        if fault.to_pass:
            fault.to_pass -= 1
            return False
        fault.hits += 1
        if fault.left is not None:
            fault.left -= 1
        return True
