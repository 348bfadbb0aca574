"""API tokens at the door: `Authorization: Token …`."""

from datetime import datetime, timedelta
from hmac import compare_digest

from django.db.models import Q
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.exceptions import AuthenticationFailed

from accounts.models import ApiToken, User
from polyhub.lib.clock import SystemClock

TOUCH_EVERY = timedelta(minutes=1)


class ScopedTokenAuthentication(TokenAuthentication):  # type: ignore[misc]
    """A hashed token that has not expired, of a user who is still active."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        try:
            text = token.decode("ascii")
        except UnicodeDecodeError:
            raise AuthenticationFailed("Invalid token.") from None
        found = find_token(text, now=SystemClock().now())
        if found is None:
            raise AuthenticationFailed("Invalid token.")
        return found.user, found


def find_token(text: str, *, now: datetime) -> ApiToken | None:
    """The live token of an active user, its `last_used_at` moved on at most once a minute; None for any other text."""
    if not text.isascii() or "\0" in text:  # no token of ours; and the database refuses to look for some of it
        return None
    digest = hash_token(text)
    rows = ApiToken.objects.filter(token_key=text[: CONSTANTS.TOKEN_KEY_LENGTH]).select_related("user")
    token = next((row for row in rows if compare_digest(row.digest, digest)), None)
    if token is None or not token.user.is_active or token.expiry is None or token.expiry <= now:
        return None
    if token.last_used_at is None or now - token.last_used_at >= TOUCH_EVERY:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - TOUCH_EVERY)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    return token
