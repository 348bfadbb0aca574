"""Where the web process begins: pages and REST through Django, pushes through one WebSocket."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polyhub.settings")
# Loads the apps; what follows imports their models.
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.db import database_sync_to_async  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from accounts.authentication import find_token  # noqa: E402
from accounts.services.tokens import Scope  # noqa: E402
from copytrade import selectors as copytrade  # noqa: E402
from markets.consumers import MarketConsumer  # noqa: E402
from polyhub.lib.clock import SystemClock  # noqa: E402
from polyhub.origin import SameOrigin  # noqa: E402
from trading import snapshots  # noqa: E402
from trading.consumers import HubConsumer  # noqa: E402

# What a snapshot holds beside the number it is good for.
PARTS = {**snapshots.PARTS, "decisions": copytrade.recent_payloads, "rules": copytrade.rule_payloads}


async def may_read_markets(token: str) -> bool:
    """Whether an API token is good for market data."""
    found = await database_sync_to_async(find_token)(token, now=SystemClock().now())
    return found is not None and Scope.READ_MARKET in found.scopes


socket_routes = [
    path("ws/", HubConsumer.as_asgi(parts=PARTS), name="ws"),
    path("ws/markets/", MarketConsumer.as_asgi(may_read=may_read_markets), name="ws-markets"),
]
application = ProtocolTypeRouter(
    {"http": django_application, "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(socket_routes)))}
)
