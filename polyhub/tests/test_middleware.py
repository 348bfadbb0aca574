import pytest
from django.test import Client

from accounts.tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(client: Client) -> Client:
    client.force_login(factories.user("alice"))
    return client


@pytest.mark.parametrize("path", ["/cockpit/", "/accounts/", "/api/v1/orders/", "/auth/email/", "/"])
def test_nothing_personal_is_kept_by_a_proxy_or_the_browser(path: str, alice: Client) -> None:
    assert "no-store" in alice.get(path).headers["Cache-Control"]


@pytest.mark.parametrize(
    "path",
    ["/activity/?code=%00", "/leaders/?q=%00", "/api/v1/copy/decisions/?code=%00", "/api/v1/leaders/?search=a%00"],
)
def test_a_nul_is_a_bad_request_and_no_fault_of_ours(path: str, alice: Client) -> None:
    assert alice.get(path).status_code == 400
