"""API tokens: `Authorization: Token …`."""

from knox.auth import TokenAuthentication


class ScopedTokenAuthentication(TokenAuthentication):
    """A knox token, whose scopes `permissions.HasScope` reads."""
