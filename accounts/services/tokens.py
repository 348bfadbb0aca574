"""API tokens: shown once, stored as a digest, scoped and expiring."""

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db import transaction
from knox.models import get_digest_token
from knox.settings import CONSTANTS

from accounts.models import ApiToken, User
from accounts.selectors import NotFound, tokens_of
from polyhub.lib.errors import AppError

PREFIX = "phub_"
MAX_DAYS = 365
MAX_TOKENS = 50


class Scope(StrEnum):
    """What a token may do. Keys, limits, tokens and people are never a token's business."""

    READ_MARKET = "read:market"
    READ_PORTFOLIO = "read:portfolio"
    TRADE_EXECUTE = "trade:execute"


class BadToken(AppError):
    """The token cannot be made as asked; `details.field` names the field."""

    code = "BAD_TOKEN"


@transaction.atomic
def create_token(*, user: User, name: str, scopes: Collection[str], days: int, now: datetime) -> tuple[ApiToken, str]:
    """The row and the token itself, which nobody can show again. Raises BadToken."""
    name = " ".join(name.split())
    if not name or len(name) > 60:
        raise BadToken("Give the token a name of 1 to 60 letters.", details={"field": "name"})
    unknown = sorted(set(scopes) - {scope.value for scope in Scope})
    if unknown or not scopes:
        known = ", ".join(Scope)
        raise BadToken(f"Choose one or more of: {known}.", details={"field": "scopes", "unknown": unknown})
    if not 1 <= days <= MAX_DAYS:
        raise BadToken(f"A token lives 1 to {MAX_DAYS} days.", details={"field": "days"})
    User.objects.select_for_update().get(pk=user.pk)
    if tokens_of(user=user).filter(expiry__gt=now).count() >= MAX_TOKENS:
        raise BadToken(f"{MAX_TOKENS} tokens are the most one user may have: revoke one.")
    digest, text = get_digest_token(PREFIX)
    token = ApiToken(
        user=user,
        name=name,
        scopes=sorted(set(scopes)),
        digest=digest,
        token_key=text[: CONSTANTS.TOKEN_KEY_LENGTH],
        expiry=now + timedelta(days=days),
    )
    token.save(force_insert=True)
    return token, text


def revoke_all(*, user: User) -> None:
    """After a new password: whoever had the old one may have made tokens with it."""
    tokens_of(user=user).delete()


def revoke_token(*, user: User, token_id: UUID) -> None:
    """It stops working at once. Raises NotFound for a foreign one too."""
    deleted, _ = tokens_of(user=user).filter(id=token_id).delete()
    if not deleted:
        raise NotFound("There is no such token.")
