"""What every template may show: the mode, the venue, and how the system feels."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from polyhub import system
from polyhub.lib.clock import SystemClock
from polyhub.mixins import mode_of


def page(request: HttpRequest) -> dict[str, Any]:
    now = SystemClock().now()
    return {
        "now": now,
        "mode": mode_of(request),
        "venue": settings.VENUE,
        "is_demo": settings.DEMO,
        "live_trading": settings.LIVE_TRADING,
        # Read only by the pages that show it.
        "system": SimpleLazyObject(lambda: system.state(now=now)),
    }
