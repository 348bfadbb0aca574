"""What holds for every answer and every request, whatever the view."""

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

Answering = Callable[[HttpRequest], HttpResponseBase]

_NUL = "%00"


def private_by_default(get_response: Answering) -> Answering:
    """Answers are of one person: neither a proxy nor the browser's history may keep what does not say it may."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return answer


def refuse_nul(get_response: Answering) -> Answering:
    """PostgreSQL stores no NUL: a search for one would end as a fault of ours with a traceback in the log."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if _NUL in request.META.get("QUERY_STRING", "") or "\0" in request.path:
            raise BadRequest("NUL")
        return get_response(request)

    return answer
