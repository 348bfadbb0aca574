"""Deny by default: a view must name the scope of each method it answers."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiToken

# A person at a browser, never a token: keys, limits and the tokens themselves.
SESSION_ONLY = "session"


class HasScope(BasePermission):
    """Allows what `view.required_scopes[method]` names; a person has every scope, a token those it was given."""

    message = "This token does not have the scope that is needed here."

    def has_permission(self, request: Request, view: Any) -> bool:
        method = "GET" if request.method in {"HEAD", "OPTIONS"} else request.method
        scope = getattr(view, "required_scopes", {}).get(method)
        if scope is None or not request.user or not request.user.is_authenticated:
            return False
        if request.auth is None:
            return True
        return isinstance(request.auth, ApiToken) and scope != SESSION_ONLY and scope in request.auth.scopes
