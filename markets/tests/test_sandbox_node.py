"""The venue's own TypeScript clients, unchanged but for their URLs, trade at the local venue."""

from collections.abc import Iterator
from typing import Any

import pytest

from markets.tests.official_clients import DEPOSIT_WALLET, EOA, PROXY, SAFE, Venue, open_venue, run_script
from markets.venue.sandbox.testing import running_sandbox

TYPES = pytest.mark.parametrize(
    "venue", [EOA, PROXY, SAFE, DEPOSIT_WALLET], ids=["eoa", "proxy", "safe", "deposit wallet"], indirect=True
)


@pytest.fixture
def venue(request: pytest.FixtureRequest) -> Iterator[Venue]:
    with running_sandbox() as sandbox:
        yield open_venue(sandbox, request.param)


def failures(report: dict[str, Any]) -> dict[str, str]:
    return {step: told["error"] for step, told in report.items() if "error" in told}


@TYPES
def test_clob_client_v2_trades_with_every_wallet(venue: Venue) -> None:
    report = run_script("clob_client_v2.mjs", venue)
    failed = failures(report)
    assert "order crosses book" in failed.pop("crossingPostOnly")
    assert "Unauthorized/Invalid api key" in failed.pop("afterwards")
    assert failed == {}
    answers = {step: told["answer"] for step, told in report.items() if "answer" in told}
    assert answers["getOrderBookHash"] == answers["getOrderBook"]["hash"]
    assert (answers["marketBuy"]["status"], answers["marketBuy"]["takingAmount"]) == ("matched", "20")
    assert answers["marketSell"]["makingAmount"] == "5"
    assert answers["shares"]["balance"] == "15000000"
    orders = {order["id"]: order for order in venue.sandbox.state()["orders"]}
    for step, token in (
        ("createAndPostOrder", venue.market.yes),
        ("negRiskOrder", venue.neg_risk.yes),
        ("v2PositionOrder", venue.v2.yes),
    ):
        assert orders[answers[step]["orderID"]]["token_id"] == token
    assert venue.sandbox.state()["conserved"] is True


@TYPES
def test_the_unified_client_trades_and_listens_with_every_wallet(venue: Venue) -> None:
    report = run_script("client.mjs", venue)
    failed = failures(report)
    assert "order crosses book" in failed.pop("crossingPostOnly")
    assert failed == {}
    answers = {step: told["answer"] for step, told in report.items() if "answer" in told}
    assert answers["createSecureClient"]["walletType"] == venue.wallet.signature_type
    assert answers["fetchOrder"]["id"] == answers["placeLimitOrder"]["orderId"]
    assert answers["placeMarketOrder"]["takingAmount"] == "20"
    assert len(answers["waitForOrderFillSettlement"]) == 1
    assert {trade["status"] for trade in answers["listAccountTrades"]} <= {
        "TRADE_STATUS_MATCHED",
        "TRADE_STATUS_MINED",
        "TRADE_STATUS_CONFIRMED",
    }
    if venue.wallet.signature_type != EOA:
        # Bought 20 for 10.25, sold 5 for 2.3376, split 5 and merged 2 dollars: 18 winners at a dollar each.
        assert answers["redeemPositions"]["transactionHash"].startswith("0x")
        (holdings,) = venue.sandbox.state(wallet=venue.wallet.address)["wallets"]
        assert (holdings["cash_units"], holdings["shares"]) == ("1007087600", {})
    assert venue.sandbox.state()["conserved"] is True
