"""Times in which the matching engine takes no orders, or only some: restarts, post-only, cancel-only, disabled.

After a restart (425 for everything that trades) only post-only orders are taken for about two minutes (503). Which
routes answer 425, and the texts of the other two modes, are (unverified).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec


class Mode(StrEnum):
    RESTARTING = "restarting"
    POST_ONLY = "post_only"
    CANCEL_ONLY = "cancel_only"
    DISABLED = "disabled"


CANCEL_ONLY_TEXT = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
DISABLED_TEXT = "Trading is disabled. Check polymarket.com for updates"
POST_ONLY_TEXT = "post-only mode: only post-only orders and cancels are allowed"

_TRADING = ("/clob/order", "/clob/cancel", "/clob/data/", "/clob/v1/heartbeats")
_POSTS = ("/clob/order", "/clob/orders")


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    payload: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Window:
    mode: Mode
    until_ms: int


class _PostOnly(msgspec.Struct):
    postOnly: bool = False


_ONE = msgspec.json.Decoder(_PostOnly)
_MANY = msgspec.json.Decoder(list[_PostOnly])


class Windows:
    """`tell_wait` off leaves out how long it will take, as the venue sometimes does."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.tell_wait = True
        self._now_ms = now_ms
        self._ahead: list[_Window] = []

    @property
    def active(self) -> bool:
        return bool(self._ahead)

    def restart(self, *, down_s: float, post_only_s: float) -> None:
        """The engine goes away now, and comes back in post-only mode."""
        self.clear()
        self.add(Mode.RESTARTING, seconds=down_s)
        self.add(Mode.POST_ONLY, seconds=post_only_s)

    def add(self, mode: Mode, *, seconds: float) -> None:
        """Begins when the windows announced before have ended."""
        start = self._ahead[-1].until_ms if self._ahead else self._now_ms()
        self._ahead.append(_Window(mode, start + int(seconds * 1000)))

    def clear(self) -> None:
        self._ahead.clear()

    def current(self) -> tuple[Mode, float] | None:
        """The mode now and the seconds it lasts, or None."""
        now = self._now_ms()
        while self._ahead and now >= self._ahead[0].until_ms:
            del self._ahead[0]
        return (self._ahead[0].mode, (self._ahead[0].until_ms - now) / 1000) if self._ahead else None

    def refusal(self, *, method: str, path: str, body: bytes) -> Refusal | None:
        """How this request is refused now, if it is."""
        current = self.current()
        if current is None:
            return None
        mode, left_s = current
        wait = {"Retry-After": str(max(round(left_s), 1))} if self.tell_wait else {}
        if mode is Mode.RESTARTING:
            touched = path.startswith(_TRADING)
            return Refusal(425, {"error": "service not ready"}, wait) if touched else None
        placing = method == "POST" and path in _POSTS
        if not placing and not (mode is Mode.DISABLED and path.startswith(("/clob/order", "/clob/cancel"))):
            return None
        if mode is Mode.CANCEL_ONLY:
            return Refusal(503, {"error": CANCEL_ONLY_TEXT})
        if mode is Mode.DISABLED:
            return Refusal(503, {"error": DISABLED_TEXT})
        return None if all_post_only(body) else Refusal(503, self._post_only(left_s), wait)

    def _post_only(self, left_s: float) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "error": POST_ONLY_TEXT,
            "code": "post_only_mode",
        }
        return {**payload, "retry_after_seconds": max(round(left_s), 1)} if self.tell_wait else payload


def all_post_only(body: bytes) -> bool:
    """Whether every order of a POST may pass where only post-only ones do."""
    try:
        posts = _MANY.decode(body) if body.lstrip().startswith(b"[") else [_ONE.decode(body)]
    except msgspec.MsgspecError:
        return True  # unreadable: refused for that, by the route
    return all(post.postOnly for post in posts)
