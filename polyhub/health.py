"""`/health`: this process answers. `/ready`: all of PolyHub works, part by part. Neither shows anybody's data."""

from dataclasses import asdict

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from polyhub import monitoring
from polyhub.lib.clock import SystemClock


@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    found = monitoring.parts(now=SystemClock().now())
    ok = monitoring.is_ready(found)
    body = {"ok": ok, "parts": {part.name: _row(part) for part in found}}
    return JsonResponse(body, status=200 if ok else 503)


def _row(part: monitoring.Part) -> dict[str, object]:
    row = asdict(part)
    row.pop("name")
    if part.age_s is not None:
        row["age_s"] = round(part.age_s, 1)
    return row
