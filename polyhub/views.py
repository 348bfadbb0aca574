"""Pages that belong to no app: the front page, the system strip, and the pages for when something is wrong."""

import sys
from typing import Any

from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.views.generic import TemplateView
from redis import RedisError

from polyhub.mixins import Page, is_partial, note

API_PREFIX = "/api/"
RETRY_AFTER_S = 5

# code, heading, what to do about it
WORDS = {
    400: ("BAD_REQUEST", "That request made no sense to us", "Go back and try again."),
    403: ("FORBIDDEN", "You may not do that here", "If you came from an old page, reload it and try again."),
    404: ("NOT_FOUND", "There is nothing here", "It may have moved, or it belongs to somebody else."),
    500: ("SERVER_ERROR", "Something broke on our side", "It has been noted. Your orders are safe: engines run apart."),
    503: ("UNAVAILABLE", "We will be right back", "The database does not answer now. Nothing is lost."),
}


class Landing(TemplateView):
    template_name = "pages/landing.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect("cockpit")
        return super().get(request, *args, **kwargs)


class SystemStrip(Page):
    """The strip on top of each page."""

    template_name = "partials/system_strip.html"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, DisallowedHost):
        return problem(
            request, 400, advice="PolyHub does not answer to this address: ALLOWED_HOSTS lists those it knows."
        )
    return problem(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem(request, 404)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return problem(request, 403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Also called while the database or Redis is away: nothing here may touch them."""
    error = sys.exc_info()[1]
    if isinstance(error, RedisError):
        return problem(request, 503, advice="The cache (Redis) does not answer now. Orders do not need it.")
    return problem(request, 503 if isinstance(error, OperationalError | InterfaceError) else 500)


def problem(request: HttpRequest, status: int, *, advice: str = "") -> HttpResponse:
    """The page, the note or the JSON for an HTTP status; `advice` where there is a better one."""
    code, heading, usual = WORDS[status]
    advice = advice or usual
    is_page = not request.path.startswith(API_PREFIX) and not is_partial(request)
    if status == 503:
        advice += " This page tries again by itself." if is_page else f" Try again in {RETRY_AFTER_S} seconds."
    if request.path.startswith(API_PREFIX):
        told = {"code": code, "message": f"{heading}. {advice}", "details": {}}
        answer: HttpResponse = JsonResponse(told, status=status)
    elif is_partial(request):
        answer = note(request, f"{heading}. {advice}", status=status)
    else:
        retry_s = RETRY_AFTER_S if status == 503 else 0
        words = {"status": status, "heading": heading, "advice": advice, "retry_s": retry_s}
        answer = HttpResponse(render_to_string("pages/error.html", words), status=status)
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer
