"""The venue's rate limits: sliding windows per calling address, and token buckets per signer with their headers.

Off unless switched on. The windows refuse at once; the venue slows callers down first, for how long is (unverified).
`scale` makes every limit that many times smaller, so that tests reach them.
Published 2026-09/10; enforcement date of the buckets (unverified).
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

# (method or "", beginning of path, exact?, seconds, most requests). Every row that fits counts.
_WINDOWS: tuple[tuple[str, str, bool, int, int], ...] = (
    ("", "/", False, 10, 15_000),
    ("", "/clob/", False, 10, 9_000),
    ("GET", "/clob/ok", True, 10, 100),
    ("GET", "/clob/book", True, 10, 1_500),
    ("GET", "/clob/price", True, 10, 1_500),
    ("GET", "/clob/midpoint", True, 10, 1_500),
    ("POST", "/clob/books", True, 10, 500),
    ("POST", "/clob/prices", True, 10, 500),
    ("POST", "/clob/midpoints", True, 10, 500),
    ("GET", "/clob/prices-history", True, 10, 1_000),
    ("GET", "/clob/tick-size", True, 10, 200),
    ("GET", "/clob/balance-allowance", True, 10, 200),
    ("GET", "/clob/balance-allowance/update", True, 10, 50),
    ("", "/clob/data/", False, 10, 900),
    ("GET", "/clob/data/orders", True, 10, 500),
    ("GET", "/clob/data/trades", True, 10, 500),
    ("", "/clob/notifications", True, 10, 125),
    ("", "/clob/auth/", False, 10, 100),
    ("POST", "/clob/order", True, 10, 5_000),
    ("POST", "/clob/order", True, 600, 120_000),
    ("DELETE", "/clob/order", True, 10, 5_000),
    ("DELETE", "/clob/order", True, 600, 120_000),
    ("POST", "/clob/orders", True, 10, 2_000),
    ("POST", "/clob/orders", True, 600, 21_000),
    ("DELETE", "/clob/orders", True, 10, 2_000),
    ("DELETE", "/clob/orders", True, 600, 15_000),
    ("DELETE", "/clob/cancel-all", True, 10, 250),
    ("DELETE", "/clob/cancel-all", True, 600, 6_000),
    ("DELETE", "/clob/cancel-market-orders", True, 10, 1_500),
    ("DELETE", "/clob/cancel-market-orders", True, 600, 21_000),
    ("", "/gamma/", False, 10, 4_000),
    ("", "/gamma/events", False, 10, 500),
    ("", "/gamma/markets", False, 10, 300),
    ("", "/gamma/comments", False, 10, 200),
    ("", "/gamma/tags", False, 10, 200),
    ("", "/gamma/public-search", True, 10, 350),
    ("", "/data/v2/", False, 10, 800),
    ("", "/data/v2/trades", True, 10, 300),
    ("", "/data/v2/positions", True, 10, 200),
    ("", "/data/v2/activity", True, 10, 200),
    ("", "/data/v2/prices-history", True, 10, 200),
    ("", "/data/v2/status", True, 10, 100),
    ("", "/data/v2/user-pnl", True, 10, 200),
    ("POST", "/relayer/submit", True, 60, 25),
)

# tier: (orders a second, burst, cancels a second, burst)
TIERS: dict[str, tuple[int, int, int, int]] = {
    "standard": (40, 60, 80, 120),
    "copper": (60, 90, 120, 180),
    "bronze": (80, 120, 160, 240),
    "silver": (200, 300, 400, 600),
    "gold": (400, 600, 800, 1_200),
    "platinum": (450, 675, 900, 1_350),
    "diamond": (525, 787, 1_050, 1_575),
    "elite": (600, 900, 1_200, 1_800),
}
_ORDERS = ("/clob/order", "/clob/orders")
_CANCELS = (*_ORDERS, "/clob/cancel-all", "/clob/cancel-market-orders")
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Verdict:
    refused: bool
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ms: int


class Limits:
    """`warn_only` lets requests through that the buckets would refuse, and says so, as the venue began."""

    def __init__(self, now_ms: Callable[[], int], open_orders: Callable[[str], int]) -> None:
        self.enabled = False
        self.warn_only = False
        self.scale = 1
        self.tiers: dict[str, str] = {}
        self._now_ms = now_ms
        self._open_orders = open_orders
        self._windows: dict[tuple[str, int], deque[int]] = defaultdict(deque)
        self._buckets: dict[tuple[str, bool], _Bucket] = {}

    def clear(self) -> None:
        self._windows.clear()
        self._buckets.clear()

    def spend(self, *, method: str, path: str, address: str, signer: str, body: bytes) -> Verdict:
        """Count a request. Refused requests cost nothing from the buckets."""
        now = self._now_ms()
        wait_s = self._window_wait(method, path, address, now)
        if wait_s:
            return Verdict(True, {"Retry-After": str(wait_s)})
        placing = method == "POST" and path in _ORDERS
        if not signer or not (placing or (method == "DELETE" and path in _CANCELS)):
            return Verdict(False)
        return self._from_bucket(signer, placing, self._cost(path, signer, body), now)

    def _window_wait(self, method: str, path: str, address: str, now: int) -> int:
        """Whole seconds until this request would be allowed; 0 when it is."""
        counted: list[deque[int]] = []
        for index, (verb, start, exact, seconds, most) in enumerate(_WINDOWS):
            if (verb and verb != method) or not (path == start if exact else path.startswith(start)):
                continue
            seen = self._windows[address, index]
            while seen and seen[0] <= now - seconds * 1000:
                seen.popleft()
            if len(seen) >= max(most // self.scale, 1):
                return max(-(-(seen[0] + seconds * 1000 - now) // 1000), 1)
            counted.append(seen)
        for seen in counted:
            seen.append(now)
        return 0

    def _from_bucket(self, signer: str, placing: bool, cost: int, now: int) -> Verdict:
        tier = self.tiers.get(signer, "standard")
        rate, burst = TIERS[tier][:2] if placing else TIERS[tier][2:]
        rate, burst = max(rate // self.scale, 1), max(burst // self.scale, 1)
        bucket = self._buckets.setdefault((signer, placing), _Bucket(burst, now))
        bucket.tokens = min(burst, bucket.tokens + rate * (now - bucket.at_ms) / 1000)
        bucket.at_ms = now
        short = cost > bucket.tokens
        wait_s = max(-(-int((cost - bucket.tokens) * 1000) // (rate * 1000)), 1) if short else 0
        if not short:
            bucket.tokens -= cost
        headers = {
            "Poly-RateLimit-Remaining": f"{bucket.tokens:g}",
            "Poly-RateLimit-Reset": str(now // 1000 + wait_s),
            "Poly-RateLimit-Tier": tier,
        }
        if not short:
            return Verdict(False, headers)
        if self.warn_only:
            return Verdict(False, {**headers, "Poly-RateLimit-Warning": "true"})
        return Verdict(True, {**headers, "Retry-After": str(wait_s)})

    def _cost(self, path: str, signer: str, body: bytes) -> int:
        """1 per order; everything a batch names; what cancel-all may cancel, and 1."""
        if path == "/clob/cancel-all":
            return 1 + self._open_orders(signer)
        if path != "/clob/orders":
            return 1
        try:
            return max(len(_RAW_LIST.decode(body)), 1)
        except msgspec.MsgspecError:
            return 1
