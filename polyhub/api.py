"""What every REST endpoint shares: paging and the one error format."""

from typing import Any

from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from polyhub.lib.errors import AppError


class Paging(PageNumberPagination):
    page_size_query_param = "page_size"
    max_page_size = 500


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error has the shape {code, message, details}."""
    if isinstance(error, AppError):
        return Response(
            {"code": error.code, "message": error.message, "details": error.details}, status=error.http_status
        )
    return drf_exception_handler(error, context)
