"""The connection test end to end: the task, the real signer, and a local venue."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import TradingAccount
from accounts.tests import factories
from markets.venue.errors import Refused, Unavailable
from markets.venue.sandbox.testing import RunningSandbox
from trading import tasks
from trading.services import connection
from trading.services.connection import Examined
from trading.tests import signing_desk
from trading.tests.factories import NOW
from trading.tests.signing_desk import Desk
from trading.tests.test_signer_process import Running, start, stop

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(tmp_path: Path, settings: Any) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="phs") as folder:
        settings.SIGNER_SOCKET = str(Path(folder) / "s.sock")
        yield signing_desk.set_up(tmp_path, settings)


@pytest.fixture
def sandbox(settings: Any) -> Iterator[RunningSandbox]:
    with RunningSandbox() as running:
        base, socket = running.url, running.ws_url
        settings.VENUE_URLS = {
            "clob": f"{base}/clob",
            "gamma": f"{base}/gamma",
            "data": f"{base}/data",
            "relayer": f"{base}/relayer",
            "rpc": f"{base}/rpc",
            "ws_market": f"{socket}/ws/market",
            "ws_user": f"{socket}/ws/user",
            "ws_rtds": f"{socket}/ws/rtds",
        }
        yield running


@pytest.fixture
def signer(desk: Desk) -> Iterator[Running]:
    running = start(desk)
    yield running
    stop(running)


def found(account: TradingAccount) -> dict[str, Any]:
    tasks.check_connection(str(account.id))
    account.refresh_from_db()
    result: dict[str, Any] = account.connection
    return result


def test_a_funded_wallet_is_ready(desk: Desk, signer: Running, sandbox: RunningSandbox) -> None:
    sandbox.register_wallet(private_key=desk.private_key.hex(), usdc=250, signature_type=0)
    report = found(desk.account)
    assert report["first_failure"] is None
    assert all(step["ok"] for step in report["steps"])
    assert float(report["cash_usdc"]) == 250


def test_the_first_fault_is_named_with_what_to_do(desk: Desk, signer: Running, sandbox: RunningSandbox) -> None:
    sandbox.register_wallet(private_key=desk.private_key.hex(), usdc=0, signature_type=0)
    report = found(desk.account)
    assert report["first_failure"]["code"] == "BALANCE_ZERO"
    assert "Deposit" in report["first_failure"]["remedy"]
    assert [step["ok"] for step in report["steps"]] == [True, True, True, True, False, None]


def test_a_signer_that_does_not_run_is_named(desk: Desk, sandbox: RunningSandbox) -> None:
    report = found(desk.account)
    assert report["first_failure"]["code"] == "SIGNER_DOWN"


def test_a_venue_that_does_not_answer_is_named(desk: Desk, sandbox: RunningSandbox) -> None:
    sandbox.close()
    report = found(desk.account)
    assert report["first_failure"]["step"] == "venue"


def test_a_paper_account_is_told_of_the_venue_and_the_clock_alone(desk: Desk, sandbox: RunningSandbox) -> None:
    """It has no key and no money there: to tick these off would be made up."""
    paper = factories.paper_account(desk.owner)
    result = found(paper)
    assert [(step["name"], step["ok"]) for step in result["steps"]] == [("venue", True), ("clock", True)]
    assert (result["first_failure"], result["cash_usdc"]) == (None, None)


def test_a_paper_account_hears_that_the_venue_is_away(desk: Desk, sandbox: RunningSandbox, settings: Any) -> None:
    settings.VENUE_URLS = dict.fromkeys(settings.VENUE_URLS, "http://127.0.0.1:9")
    result = found(factories.paper_account(desk.owner))
    assert [(step["name"], step["ok"]) for step in result["steps"]] == [("venue", False), ("clock", None)]


@pytest.mark.parametrize("code", sorted({code for _, _, codes in connection.STEPS for code in codes}))
def test_every_known_fault_has_its_step(code: str) -> None:
    report = connection.report(Examined(Refused("why", code=code)), now=NOW)
    step = next(name for name, _, codes in connection.STEPS if code in codes)
    assert report["first_failure"]["step"] == step
    assert [each["ok"] for each in report["steps"]].count(False) == 1


def test_an_unknown_fault_is_the_venues() -> None:
    report = connection.report(Examined(Unavailable("503", code="NEW")), now=NOW)
    assert report["first_failure"]["step"] == "venue"
    assert report["first_failure"]["message"] == "503"
