"""Which pages may open a WebSocket here: our own, or a program that signs in with a token."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import validate_host

Scope = dict[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]


class SameOrigin:
    """Refuses the pages of other sites, which would come with the visitor's cookies.

    Browsers always send an origin. What comes without one is a program: it loses its cookies, so that only a token
    can sign it in.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", []))
        origin = headers.get(b"origin", b"").decode("latin1")
        if not origin:
            kept = [(name, value) for name, value in scope.get("headers", []) if name != b"cookie"]
            await self._application({**scope, "headers": kept}, receive, send)
        elif is_ours(origin, host=headers.get(b"host", b"").decode("latin1")):
            await self._application(scope, receive, send)
        else:
            await WebsocketDenier()(scope, receive, send)


def is_ours(origin: str, *, host: str) -> bool:
    """The page's own host and port, and one we answer to; or an origin the settings trust."""
    parts = urlsplit(origin)
    if f"{parts.scheme}://{parts.netloc}" in settings.CSRF_TRUSTED_ORIGINS:
        return True
    allowed = settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return parts.netloc == host and validate_host(name, allowed)
