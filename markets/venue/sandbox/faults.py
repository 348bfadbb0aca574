"""Faults on request: each names what goes wrong, for whom, how often and for how long.

| name | effect | own fields |
|---|---|---|
| delay | the request waits before it is handled | seconds |
| http_5xx | answers `status` (500) without handling | status, body |
| http_5xx_after | handles, then answers `status` (500) | status, body |
| drop_request | the connection is closed, nothing was handled | |
| drop_reply | handled, then the connection is closed without a reply | |
| late_accept | closed at once (`hold`: kept silent) without a reply, handled `seconds` later | seconds, hold |
| engine_restarting | 425 `service not ready` | retry_after |
| rate_limited | 429 | retry_after |
| post_only_mode | 503 with code post_only_mode for orders that are not post-only | retry_after |
| failed_settlement | the trades of accepted orders end FAILED | |
| silent_socket | the channel (market, user, rtds) stays open and sends nothing | channel, pong (false: no PONG) |
| close_socket | open sockets of the channel are closed once | channel |
"""

import random
from collections.abc import Iterable

import msgspec

NAMES = frozenset(
    {"delay", "http_5xx", "http_5xx_after", "drop_request", "drop_reply", "late_accept", "engine_restarting"}
    | {"rate_limited", "post_only_mode", "failed_settlement", "silent_socket", "close_socket"}
)
_DEFAULT_ROUTE = {"late_accept": "/clob/order", "post_only_mode": "/clob/order", "failed_settlement": "/clob/order"}


class UnknownFault(ValueError):
    """No fault has this name."""


class FaultRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`route` is the beginning of a path with its prefix (`/clob/order`); empty means every route of the protocol.

    late_accept, post_only_mode and failed_settlement strike POST of `/clob/order` and `/clob/orders` by default.
    `wallet` is a trading address or a signer. `count` ends the fault after so many hits, `for_seconds` by time.
    """

    name: str
    route: str | None = None
    method: str = ""
    wallet: str = ""
    probability: float = 1.0
    count: int | None = None
    for_seconds: float | None = None
    seconds: float = 0.0
    status: int = 500
    body: str = ""
    retry_after: float | None = None
    hold: bool = False
    channel: str = ""
    pong: bool = True


class Fault:
    def __init__(self, fault_id: int, request: FaultRequest, *, now_ms: int) -> None:
        self.fault_id = fault_id
        self.request = request
        self.route = request.route if request.route is not None else _DEFAULT_ROUTE.get(request.name, "")
        self.method = request.method or ("POST" if request.route is None and self.route else "")
        self.left = request.count
        self.hits = 0
        self.until_ms = now_ms + int(request.for_seconds * 1000) if request.for_seconds is not None else None

    def as_wire(self) -> dict[str, object]:
        return {"id": self.fault_id, "left": self.left, "hits": self.hits, **msgspec.to_builtins(self.request)}


class Faults:
    """The active faults. Chance comes from the sandbox's own seeded generator."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._serial = 0
        self._active: list[Fault] = []

    def add(self, request: FaultRequest, *, now_ms: int) -> Fault:
        if request.name not in NAMES:
            raise UnknownFault(f"unknown fault {request.name!r}: one of {', '.join(sorted(NAMES))}")
        self._serial += 1
        fault = Fault(self._serial, request, now_ms=now_ms)
        self._active.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        self._active = [fault for fault in self._active if fault_id is not None and fault.fault_id != fault_id]

    def active(self) -> list[Fault]:
        return list(self._active)

    def hit(
        self, names: Iterable[str], *, now_ms: int, path: str = "", method: str = "", wallets: Iterable[str] = ()
    ) -> FaultRequest | None:
        """The first active fault of these names that strikes this request; it counts as used."""
        wanted = frozenset(names)
        for fault in self._active:
            request = fault.request
            if request.name not in wanted or not path.startswith(fault.route):
                continue
            if fault.method and fault.method != method:
                continue
            if request.wallet and request.wallet.lower() not in {wallet.lower() for wallet in wallets}:
                continue
            if self._strikes(fault, now_ms):
                return request
        return None

    def silences(self, channel: str, *, now_ms: int, wallets: Iterable[str] = ()) -> FaultRequest | None:
        """The fault that keeps this channel silent now, if any."""
        if not self._active:
            return None
        for fault in self._active:
            request = fault.request
            if request.name != "silent_socket" or request.channel not in ("", channel):
                continue
            if request.wallet and request.wallet.lower() not in {wallet.lower() for wallet in wallets}:
                continue
            if fault.until_ms is None or now_ms < fault.until_ms:
                fault.hits += 1
                return request
        return None

    def _strikes(self, fault: Fault, now_ms: int) -> bool:
        if fault.left == 0 or (fault.until_ms is not None and now_ms >= fault.until_ms):
            return False
        if fault.request.probability < 1.0 and self._chance.random() >= fault.request.probability:
            return False
        fault.hits += 1
        if fault.left is not None:
            fault.left -= 1
        return True
