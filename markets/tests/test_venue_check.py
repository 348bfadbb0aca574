"""The check of open points: it lists, asks the local venue, records, and never goes to the real one by itself."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from markets.services import venue_check
from markets.tests.venue_fixtures import sandbox as sandbox  # noqa: PLC0414
from markets.tests.venue_fixtures import urls_of
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib import shares

LEADER = "0x" + "77" * 20


@pytest.fixture(autouse=True)
def here(tmp_path: Path, settings: Any, sandbox: RunningSandbox) -> None:
    settings.VAR_DIR = tmp_path
    settings.VENUE_URLS = {
        **urls_of(sandbox),
        "rpc": f"{sandbox.url}/rpc",
        "ws_rpc": f"{sandbox.ws_url}/rpc",
        "geoblock": "",
    }


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("venue_check", *arguments, stdout=out)
    return out.getvalue()


def test_every_open_point_is_listed_with_how_to_try_it() -> None:
    listed = run()
    assert all(point.name in listed and point.how in listed for point in venue_check.POINTS)
    assert "costs an order" in listed
    assert "as relied on" not in listed


def test_the_read_only_points_are_asked_and_recorded(sandbox: RunningSandbox, tmp_path: Path) -> None:
    market = sandbox.create_market("venue-check", bids=[("0.48", "500")], asks=[("0.52", "500")])
    for size in ("10", "11"):
        sandbox.leader_trade(wallet=LEADER, token_id=market.yes, side="BUY", price="0.52", size=size)
    asked = ["clock", "version", "market", "chain-fills", "chain-domains", "limits", "second-protocol", "data-api"]
    listed = run("--ask", "--only", *asked)
    answers = venue_check.recorded(folder=tmp_path)
    assert set(answers) == set(asked)
    assert {answers[name].as_relied_on for name in ("clock", "version", "market")} == {True}, answers
    assert "as relied on (sandbox" in listed
    run("--ask", "--only", "clock")
    assert len((tmp_path / venue_check.RECORD).read_text().splitlines()) == len(asked) + 1


def test_what_is_not_as_relied_on_says_so(sandbox: RunningSandbox) -> None:
    fault = sandbox.fault("malformed_json", route="/clob/version")
    try:
        assert "NOT as relied on" in run("--ask", "--only", "version")
    finally:
        sandbox.clear_faults(fault)


def test_the_real_venue_is_asked_only_by_name(settings: Any) -> None:
    settings.VENUE = "polymarket"
    with pytest.raises(CommandError, match="--real"):
        run("--ask")
    assert "costs an order" in run()


def test_points_that_cost_money_are_never_asked() -> None:
    with pytest.raises(CommandError, match="order-hash"):
        run("--ask", "--only", "order-hash")


def test_a_broken_line_of_the_record_hides_nothing(tmp_path: Path) -> None:
    run("--ask", "--only", "clock")
    with (tmp_path / venue_check.RECORD).open("a") as file:
        file.write('{"point": "ver')
    assert set(venue_check.recorded(folder=tmp_path)) == {"clock"}


@pytest.mark.django_db
def test_a_person_ends_the_standstill_after_a_venue_upgrade() -> None:
    shares.hold(name="venue:standstill", seconds=3600, reason="changed")
    assert "Orders may leave again." in run("--resume")
    assert not shares.holds(prefix="venue:")
    assert "Nothing was stopped" in run("--resume")
