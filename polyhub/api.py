"""What every REST endpoint shares: paging, the one error format, and how the schema tells of it."""

from typing import Any, cast

from django.http import HttpRequest
from rest_framework.exceptions import APIException, Throttled, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.views import exception_handler as drf_exception_handler

from accounts.domain.statuses import AccountMode
from accounts.models import User
from polyhub.lib.errors import AppError

PROBLEM = {
    "type": "object",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "string", "description": "Stable; programs look at this."},
        "message": {"type": "string", "description": "A sentence for people."},
        "details": {"type": "object", "additionalProperties": True, "description": "Numbers and fields."},
    },
}


class Paging(PageNumberPagination):
    page_size_query_param = "page_size"
    max_page_size = 500


def user_of(view: APIView) -> User:
    """The person behind a request that the permission let through."""
    return cast(User, view.request.user)


def actor_of(view: APIView) -> str:
    """Who asks, for the history of an order."""
    token: Any = view.request.auth
    return f"token:{token.id}" if token is not None else f"user:{view.request.user.pk}"


def mode_param(view: APIView) -> AccountMode | None:
    """`?mode=paper` or `?mode=live`; both when it is left out."""
    said = view.request.query_params.get("mode")
    if said is None:
        return None
    if said not in set(AccountMode):
        raise ValidationError({"mode": [f"Must be one of {', '.join(AccountMode)}."]})
    return AccountMode(said)


def choice_param(view: APIView, name: str, choices: Any) -> str | None:
    """A query parameter that must be one of an enum's values."""
    said = view.request.query_params.get(name)
    if said is not None and said not in set(choices):
        raise ValidationError({name: [f"Must be one of {', '.join(choices)}."]})
    return said


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error has the shape {code, message, details}."""
    if isinstance(error, AppError):
        body = {"code": error.code, "message": error.message, "details": error.details}
        return Response(body, status=error.http_status)
    response = drf_exception_handler(error, context)
    if response is not None:
        response.data = _told(error, response.data)
    return response


def _told(error: Exception, said: Any) -> dict[str, Any]:
    if isinstance(error, ValidationError):
        fields = said if isinstance(said, dict) else {"": said}
        return {"code": "INVALID", "message": "Some fields are not as they must be.", "details": fields}
    wait = getattr(error, "wait", None) if isinstance(error, Throttled) else None
    details = {} if wait is None else {"retry_after_s": wait}
    code = error.get_codes() if isinstance(error, APIException) else "not_found"
    message = said.get("detail", "") if isinstance(said, dict) else ""
    return {"code": str(code).upper(), "message": str(message), "details": details}


def add_problem(result: dict[str, Any], generator: Any, request: HttpRequest | None, public: bool) -> dict[str, Any]:
    """Schema hook: each operation may answer with the one error format."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    answer = {
        "description": "It did not work, and why.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"]["4XX"] = answer
    return result
