"""What each request costs of the venue's budgets. Pure.

Source: docs.polymarket.com (rate limits), as re-read 2026-09 and 2026-10. Whether the limits hold per key, per wallet
or per address is not settled (unverified): everything but the signer's own buckets is taken as shared by this machine.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

SIGN_IN: Final = "/auth"
CLOB, GAMMA, DATA, RELAYER, OTHER = "clob", "gamma", "data", "relayer", "other"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `requests` in any `window_s` seconds."""

    requests: int
    window_s: float = 10.0


# By address. The general ones bound everything sent to a host.
LIMITS: Final[dict[str, tuple[Limit, ...]]] = {
    "all": (Limit(15_000),),
    CLOB: (Limit(9_000),),
    GAMMA: (Limit(4_000),),
    DATA: (Limit(800),),
    RELAYER: (Limit(25, 60.0),),
    "POST /order": (Limit(5_000), Limit(120_000, 600.0)),
    "DELETE /order": (Limit(5_000), Limit(120_000, 600.0)),
    "POST /orders": (Limit(2_000), Limit(21_000, 600.0)),
    "DELETE /orders": (Limit(2_000), Limit(15_000, 600.0)),
    "DELETE /cancel-all": (Limit(250), Limit(6_000, 600.0)),
    "DELETE /cancel-market-orders": (Limit(1_500), Limit(21_000, 600.0)),
    "/ok": (Limit(100),),
    "/book": (Limit(1_500),),
    "/books": (Limit(500),),
    "/price": (Limit(1_500),),
    "/prices": (Limit(500),),
    "/midpoint": (Limit(1_500),),
    "/midpoints": (Limit(500),),
    "/prices-history": (Limit(1_000),),
    "/tick-size": (Limit(200),),
    "/balance-allowance": (Limit(200),),
    "/balance-allowance/update": (Limit(50),),
    "ledger": (Limit(900),),
    "/data/orders": (Limit(500),),
    "/data/trades": (Limit(500),),
    "/notifications": (Limit(125),),
    SIGN_IN: (Limit(100),),
    "gamma /events": (Limit(500),),
    "gamma /markets": (Limit(300),),
    "gamma listings": (Limit(900),),
    "gamma /comments": (Limit(200),),
    "gamma /tags": (Limit(200),),
    "gamma /public-search": (Limit(350),),
    "data /trades": (Limit(300),),
    "data /positions": (Limit(200),),
    "data /activity": (Limit(200),),
    "data /prices-history": (Limit(200),),
    "data /status": (Limit(100),),
}

# By signer: (orders a second, their burst, cancels a second, their burst), by 30-day volume of the maker's wallet.
TIERS: Final = {
    "standard": (40, 60, 80, 120),
    "copper": (60, 90, 120, 180),
    "bronze": (80, 120, 160, 240),
    "silver": (200, 300, 400, 600),
    "gold": (400, 600, 800, 1200),
    "platinum": (450, 675, 900, 1350),
    "diamond": (525, 787, 1050, 1575),
    "elite": (600, 900, 1200, 1800),
}
DEFAULT_TIER: Final = "standard"
ORDERS, CANCELS = "orders", "cancels"

_SIGNER: Final = {
    "POST /order": ORDERS,
    "POST /orders": ORDERS,
    "DELETE /order": CANCELS,
    "DELETE /orders": CANCELS,
    "DELETE /cancel-all": CANCELS,
    "DELETE /cancel-market-orders": CANCELS,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`names` are the budgets a request counts against, the narrowest first; `signer_kind` the signer's own, if any."""

    names: tuple[str, ...]
    signer_kind: str = ""

    @property
    def lane(self) -> str:
        """What waits together."""
        return self.names[0]


@lru_cache(maxsize=1024)
def endpoint(method: str, host: str, path: str) -> Endpoint:
    """Which budgets a request counts against; a path nobody listed counts against its host's."""
    wide = (host, "all") if host in LIMITS else ("all",)
    verb = f"{method} {path}"
    if host == CLOB and verb in _SIGNER:
        return Endpoint((verb, *wide), _SIGNER[verb])
    return Endpoint((*_narrow(host, path), *wide))


def _narrow(host: str, path: str) -> tuple[str, ...]:
    if host == CLOB:
        if path.startswith("/auth/"):
            return (SIGN_IN,)
        own = (path,) if path in LIMITS else ()
        return (*own, "ledger") if path.startswith(("/data/", "/notifications")) else own
    name = f"{host} {path.removeprefix('/v2')}" if host == DATA else f"{host} /{path.strip('/').partition('/')[0]}"
    listing = ("gamma listings",) if name in ("gamma /events", "gamma /markets") else ()
    return ((name,) if name in LIMITS else ()) + listing
