"""Deny by default: a view must name the scopes it needs."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiToken


class HasScope(BasePermission):
    """Allows what `view.required_scopes[method]` names; a signed-in person has every scope."""

    def has_permission(self, request: Request, view: Any) -> bool:
        scope = getattr(view, "required_scopes", {}).get(request.method)
        if scope is None or not request.user.is_authenticated:
            return False
        return not isinstance(request.auth, ApiToken) or scope in request.auth.scopes
