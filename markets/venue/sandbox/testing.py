"""A sandbox on a free port in a thread of its own, with the controls as plain calls. For tests and benchmarks."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.server import Server, system_ms

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class SandboxWallet:
    """`address` holds the money, `signer` signs."""

    address: str
    signer: str
    signature_type: int


@dataclass(frozen=True, slots=True)
class SandboxMarket:
    condition_id: str
    token_ids: tuple[str, str]
    slug: str

    @property
    def yes(self) -> str:
        return self.token_ids[0]

    @property
    def no(self) -> str:
        return self.token_ids[1]


class RunningSandbox:
    """Starts on construction; `close` or leaving the (async) with block stops it. Amounts are dollars and shares."""

    def __init__(
        self, *, seed: int = 0, mined_after_ms: int = 50, confirmed_after_ms: int = 100, port: int = 0
    ) -> None:
        self._sandbox = Sandbox(
            now_ms=system_ms, seed=seed, mined_after_ms=mined_after_ms, confirmed_after_ms=confirmed_after_ms
        )
        self._server = Server(self._sandbox)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._thread.start()
        self._closed = False
        try:
            self._in_loop(self._server.start(host="127.0.0.1", port=port))
        except OSError:
            self._end_loop()
            raise
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"

    def register_wallet(
        self,
        *,
        private_key: str = "",
        address: str = "",
        usdc: Decimal | int = 1_000,
        signature_type: int = 3,
        name: str = "",
    ) -> SandboxWallet:
        """Make a signer's trading wallet known and fund it; approvals are given."""
        body = {"usdc": str(usdc), "signature_type": signature_type, "name": name}
        body |= {"private_key": private_key} if private_key else {"address": address}
        return SandboxWallet(**self.call("POST", "wallets", body))

    def state(self, *, everything: bool = False, wallet: str = "") -> dict[str, Any]:
        """The sandbox's own truth; unit amounts are strings of integers."""
        answer: dict[str, Any] = self.call("GET", f"state?all={int(everything)}&wallet={wallet}")
        return answer

    def fault(self, name: str, **fields: object) -> int:
        """Activate a fault (`faults.py` lists them); gives its id."""
        return int(self.call("POST", "faults", {"name": name, **fields})["id"])

    def faults(self) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self.call("GET", "faults")
        return answer

    def clear_faults(self, fault_id: int | None = None) -> None:
        self.call("DELETE", "faults" if fault_id is None else f"faults/{fault_id}")

    def create_market(
        self,
        slug: str = "will-it-happen",
        *,
        bids: Sequence[tuple[str, str]] | None = None,
        asks: Sequence[tuple[str, str]] | None = None,
        **fields: object,
    ) -> SandboxMarket:
        """List a market; with `bids` or `asks` ((price, shares) of the first outcome) these are its whole book."""
        body: dict[str, object] = {"slug": slug, **fields}
        if bids is not None or asks is not None:
            body["ladder"] = {"bids": bids or [], "asks": asks or []}
        made = self.call("POST", "markets", body)
        return SandboxMarket(made["condition_id"], tuple(made["token_ids"]), made["slug"])

    def leader_trade(
        self,
        *,
        wallet: str,
        token_id: str,
        side: str,
        price: Decimal | str,
        size: Decimal | str | int,
        **fields: object,
    ) -> dict[str, Any]:
        """A simulated wallet takes liquidity now, at this price and size; gives its transaction hash and trades."""
        body = {"wallet": wallet, "token_id": token_id, "side": side, "price": str(price), "size": str(size), **fields}
        answer: dict[str, Any] = self.call("POST", "leader_trade", body)
        return answer

    def change_tick(self, condition_id: str, tick_size: str) -> None:
        self.call("POST", f"markets/{condition_id}/tick", {"tick_size": tick_size})

    def resolve(self, condition_id: str, winning_token_id: str, *, redeem: bool = True) -> None:
        """Decide a market; without `redeem` holders must ask for their money themselves."""
        body = {"winning_token_id": winning_token_id, "redeem": redeem}
        self.call("POST", f"markets/{condition_id}/resolve", body)

    def set_venue(self, **options: object) -> None:
        """How strict the venue is: fields of `venue_control.VenueRequest`."""
        self.call("POST", "venue", options)

    def mark_account(self, address: str, **marks: object) -> None:
        """What the venue holds against a signer or a wallet: fields of `venue_control.AccountRequest`."""
        self.call("POST", "accounts", {"address": address, **marks})

    def restart_engine(self, *, down_seconds: float, post_only_seconds: float) -> None:
        """The engine answers 425, then takes post-only orders, then everything again."""
        self.call("POST", "restart", {"down_seconds": down_seconds, "post_only_seconds": post_only_seconds})

    def authorize_session_key(self, wallet: str, address: str, **fields: object) -> None:
        """Let another signer trade for a deposit wallet, for an hour unless said otherwise."""
        self.call("POST", "session_keys", {"wallet": wallet, "address": address, **fields})

    def tape(self, *, speed: float | None = None, pause: bool | None = None) -> dict[str, Any]:
        body = {key: value for key, value in (("speed", speed), ("pause", pause)) if value is not None}
        answer: dict[str, Any] = self.call("POST", "tape", body)
        return answer

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One control request. Raises urllib.error.HTTPError with the sandbox's own text."""
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.url}/_sandbox/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            return json.loads(answer.read())

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._in_loop(self._server.stop())
        self._end_loop()

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)


def running_sandbox(
    *, seed: int = 0, mined_after_ms: int = 50, confirmed_after_ms: int = 100, port: int = 0
) -> RunningSandbox:
    """Use as `with` or `async with`. Trades are mined and confirmed so many milliseconds after the match."""
    return RunningSandbox(seed=seed, mined_after_ms=mined_after_ms, confirmed_after_ms=confirmed_after_ms, port=port)
