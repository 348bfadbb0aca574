"""Where the web process begins: pages and REST through Django, pushes through one WebSocket."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polyhub.settings")
# Loads the apps; what follows imports their models.
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from copytrade import selectors as copytrade  # noqa: E402
from polyhub.origin import SameOrigin  # noqa: E402
from trading import snapshots  # noqa: E402
from trading.consumers import HubConsumer  # noqa: E402

# What a snapshot holds beside the number it is good for.
PARTS = {**snapshots.PARTS, "decisions": copytrade.recent_payloads, "rules": copytrade.rule_payloads}

socket_routes = [path("ws/", HubConsumer.as_asgi(parts=PARTS), name="ws")]
application = ProtocolTypeRouter(
    {"http": django_application, "websocket": SameOrigin(AuthMiddlewareStack(URLRouter(socket_routes)))}
)
