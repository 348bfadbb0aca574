from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import RequestFactory
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.authentication import ScopedTokenAuthentication, find_token
from accounts.models import ApiToken, User
from accounts.permissions import SESSION_ONLY, HasScope
from accounts.selectors import NotFound
from accounts.services import tokens
from accounts.tests import factories
from accounts.tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return factories.user("alice")


def make(user: User, **given: Any) -> tuple[ApiToken, str]:
    wanted = {"name": "bot", "scopes": ["read:portfolio"], "days": 30, "now": NOW, **given}
    return tokens.create_token(user=user, **wanted)


def test_the_token_itself_is_stored_nowhere(alice: User) -> None:
    token, text = make(alice)
    row = ApiToken.objects.values().get(pk=token.pk)
    assert text not in str(row)
    assert text[15:] not in str(row)
    assert text.startswith("phub_")
    assert len(text) >= 64


def test_a_token_is_found_until_it_ends(alice: User) -> None:
    token, text = make(alice, days=1)
    assert find_token(text, now=NOW) == token
    assert find_token(text, now=NOW + timedelta(days=1)) is None
    for other in ("", text[:-1], text[:-1] + "x", text.upper(), "phub_"):
        assert find_token(other, now=NOW) is None


def test_a_revoked_token_and_one_of_a_disabled_user_are_dead(alice: User) -> None:
    token, text = make(alice)
    alice.is_active = False
    alice.save()
    assert find_token(text, now=NOW) is None
    alice.is_active = True
    alice.save()
    tokens.revoke_token(user=alice, token_id=token.id)
    assert find_token(text, now=NOW) is None


def test_bob_cannot_revoke_alices_token(alice: User) -> None:
    token, text = make(alice)
    with pytest.raises(NotFound):
        tokens.revoke_token(user=factories.user("bob"), token_id=token.id)
    assert find_token(text, now=NOW)


def test_last_use_is_written_once_a_minute(alice: User, django_assert_num_queries: Any) -> None:
    token, text = make(alice)
    find_token(text, now=NOW)
    with django_assert_num_queries(1):
        find_token(text, now=NOW + timedelta(seconds=59))
    token.refresh_from_db()
    assert token.last_used_at == NOW
    find_token(text, now=NOW + timedelta(seconds=60))
    token.refresh_from_db()
    assert token.last_used_at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize(
    "wrong", [{"scopes": []}, {"scopes": ["admin"]}, {"days": 0}, {"days": 366}, {"name": "  "}, {"name": "x" * 61}]
)
def test_a_token_without_bounds_is_refused(alice: User, wrong: dict[str, Any]) -> None:
    with pytest.raises(tokens.BadToken):
        make(alice, **wrong)


def test_the_header_is_read_and_a_wrong_token_is_401(alice: User) -> None:
    token, text = make(alice)
    ApiToken.objects.update(expiry=NOW + timedelta(days=36_500))
    door = ScopedTokenAuthentication()
    request = RequestFactory().get("/", headers={"authorization": f"Token {text}"})
    assert door.authenticate(Request(request)) == (alice, token)
    for wrong in ("Token nonsense", "Token", "Token a b", "Token \xff\xfe"):
        with pytest.raises(AuthenticationFailed):
            door.authenticate(Request(RequestFactory().get("/", HTTP_AUTHORIZATION=wrong)))


class Guarded(APIView):
    authentication_classes = (ScopedTokenAuthentication,)
    permission_classes: tuple[type[BasePermission], ...] = (HasScope,)
    required_scopes = {"GET": "read:portfolio", "POST": "trade:execute", "DELETE": SESSION_ONLY}

    def get(self, request: Request) -> Response:
        return Response({})

    post = put = delete = get


@pytest.mark.parametrize(
    ("method", "scopes", "status"),
    [
        ("get", ["read:portfolio"], 200),
        ("get", ["read:market", "trade:execute"], 403),
        ("head", ["read:portfolio"], 200),
        ("post", ["read:portfolio"], 403),
        ("post", ["trade:execute"], 200),
        ("put", ["read:portfolio", "trade:execute"], 403),
        ("delete", list(tokens.Scope), 403),
    ],
)
def test_a_token_does_what_its_scopes_say_and_no_more(alice: User, method: str, scopes: list[str], status: int) -> None:
    _, text = make(alice, scopes=scopes)
    ApiToken.objects.update(expiry=NOW + timedelta(days=36_500))
    request = getattr(APIRequestFactory(), method)("/", HTTP_AUTHORIZATION=f"Token {text}")
    assert Guarded.as_view()(request).status_code == status


def test_a_view_that_names_no_scope_is_closed_to_everybody(alice: User) -> None:
    class Forgotten(Guarded):
        required_scopes = {}

    _, text = make(alice, scopes=list(tokens.Scope))
    ApiToken.objects.update(expiry=NOW + timedelta(days=36_500))
    request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Token {text}")
    assert Forgotten.as_view()(request).status_code == 403


def test_the_command_prints_the_token_once(alice: User) -> None:
    output = StringIO()
    call_command("create_token", "--user", "Alice@example.com", "--scopes", "read:market,read:portfolio", stdout=output)
    token = ApiToken.objects.get()
    assert token.scopes == ["read:market", "read:portfolio"]
    assert output.getvalue().strip().startswith(token.token_key)
    for user, scope in (("nobody@example.com", "read:market"), (alice.email, "x")):
        with pytest.raises(CommandError):
            call_command("create_token", "--user", user, "--scopes", scope)


def test_a_token_with_a_nul_is_unknown_and_no_fault() -> None:
    assert find_token("phub_\0", now=NOW) is None
