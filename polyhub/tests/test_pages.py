import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.urls import reverse
from redis import RedisError

from accounts.models import AccountMode
from copytrade.models import CopyRule
from copytrade.services import preview
from copytrade.services.rules import RuleInput
from copytrade.tests import factories as copying
from markets.models import Quote, Token
from markets.tests import factories as venue
from markets.venue.ports import Side
from polyhub import system, views
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import Service
from polyhub.tests import world as worlds
from polyhub.tests.world import LEADER, World
from trading import selectors as trading
from trading.models import Position
from trading.services import balances
from trading.services.work import Shard

pytestmark = pytest.mark.django_db

PAGES = ("cockpit", "leaders", "copy-desk", "activity", "orders", "positions", "accounts", "tokens")
RULE = {
    "sizing": "FIXED",
    "fixed_usdc": "5",
    "max_position_usdc": "50",
    "min_order_usdc": "1",
    "slippage_percent": "3",
    "min_cents": "5",
    "max_cents": "95",
    "max_age_s": "60",
}


@pytest.fixture
def world() -> World:
    return worlds.build()


@pytest.fixture
def alice(world: World) -> Client:
    client = Client()
    client.force_login(world.alice)
    return client


@pytest.fixture
def bob(world: World) -> Client:
    client = Client()
    client.force_login(world.bob)
    return client


@pytest.mark.parametrize("name", PAGES)
def test_a_page_works_with_everything_and_with_nothing(name: str, alice: Client, bob: Client) -> None:
    assert alice.get(reverse(name)).status_code == 200
    empty = bob.get(reverse(name))
    assert empty.status_code == 200
    assert worlds.QUESTION not in empty.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_no_page_runs_script_of_its_own_text(name: str, alice: Client) -> None:
    response = alice.get(reverse(name))
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    html = response.content.decode()
    assert not re.search(r"<script(?![^>]*(src=|type=\"application/json\"))", html)
    assert not re.search(r"\son(click|load|change|submit|input)=", html)
    assert "hx-on" not in html


@pytest.mark.parametrize(
    ("name", "most"), [("cockpit", 26), ("copy-desk", 22), ("activity", 20), ("orders", 16), ("positions", 16)]
)
def test_a_list_page_asks_as_much_of_the_database_for_many_rows_as_for_one(
    name: str, most: int, world: World, alice: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        leader = f"0x{number + 1:040x}"
        rule = copying.follow(world.account, leader=leader)
        token = venue.make_token()
        Quote.objects.create(token=token, best_bid=Decimal("0.4"), received_at=worlds.NOW)
        copying.leader_does(Side.BUY, token, wallet=leader)
        copying.decide_all(token)
        copying.fill(copying.orders_of(rule)[0])
    with django_assert_max_num_queries(most):
        html = alice.get(reverse(name)).content.decode()
    assert html


def test_the_verdict_is_told_in_words_with_its_numbers(alice: Client) -> None:
    html = alice.get(reverse("activity")).content.decode()
    assert "Ordered: 20 shares at 51¢ or better (leader paid 50¢, best ask 50¢)" in html


def test_paper_and_live_are_never_on_one_page(world: World, alice: Client) -> None:
    worlds.live_account(world.alice, "Real money")
    assert "Real money" not in alice.get(reverse("positions")).content.decode()
    alice.post(reverse("mode-switch"), {"mode": "live"})
    live = alice.get(reverse("cockpit")).content.decode()
    assert worlds.QUESTION not in live
    assert 'data-mode="live"' in live
    portfolio = trading.portfolio_of(user=world.alice, mode="live")  # type: ignore[arg-type]
    assert [figures.account.name for figures in portfolio.accounts] == ["Real money"]


def test_a_part_is_only_the_part_and_an_unknown_one_is_not_found(alice: Client) -> None:
    part = alice.get(reverse("cockpit") + "?part=positions", headers={"HX-Request": "true"}).content.decode()
    assert worlds.QUESTION in part
    assert "<html" not in part
    assert alice.get(reverse("cockpit") + "?part=secrets", headers={"HX-Request": "true"}).status_code == 404


@pytest.mark.parametrize(("part", "most"), [("figures", 12), ("positions", 8), ("activity", 4), ("attention", 9)])
def test_a_part_of_the_cockpit_asks_only_for_what_it_shows(
    part: str, most: int, alice: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(most):
        assert alice.get(f"{reverse('cockpit')}?part={part}", headers={"HX-Request": "true"}).status_code == 200


def test_the_equity_curve_is_of_one_mode_and_one_person(alice: Client, bob: Client) -> None:
    curve = alice.get(reverse("equity")).json()
    assert [value for _, value in curve["points"]] == ["1000.00", "1001.00", "1002.00"]
    assert bob.get(reverse("equity")).json()["points"] == []
    alice.post(reverse("mode-switch"), {"mode": "live"})
    assert alice.get(reverse("equity")).json() == {"mode": "live", "points": []}


def test_following_a_leader_makes_the_rule_that_was_written(world: World, alice: Client) -> None:
    leader = "0x" + "cd" * 20
    response = alice.post(reverse("follow", args=[leader]), {**RULE, "account": str(world.account.pk)})
    assert response.status_code == 302
    rule = CopyRule.objects.get(leader=leader)
    assert (rule.fixed_usdc, rule.slippage, rule.min_price, rule.max_price) == (
        Decimal(5),
        Decimal("0.03"),
        Decimal("0.05"),
        Decimal("0.95"),
    )
    assert rule.ratio is None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("fixed_usdc", "-5", "Fixed size"),
        ("slippage_percent", "5000", "Slippage"),
        ("min_cents", "99", "below the highest price"),
        ("max_position_usdc", "99999999999999999999999", "digits"),
        ("max_age_s", "0", "greater than or equal to 1"),
        ("max_cents", "abc", "Enter a number"),
    ],
)
def test_an_absurd_rule_is_refused_at_its_field_in_words(
    field: str, value: str, says: str, world: World, alice: Client
) -> None:
    leader = "0x" + "cd" * 20
    response = alice.post(reverse("follow", args=[leader]), {**RULE, "account": str(world.account.pk), field: value})
    assert response.status_code == 422
    assert says in response.content.decode()
    assert not CopyRule.objects.filter(leader=leader).exists()


def test_nobody_follows_with_the_account_of_another(world: World, bob: Client) -> None:
    response = bob.post(reverse("follow", args=["0x" + "cd" * 20]), {**RULE, "account": str(world.account.pk)})
    assert response.status_code == 422
    assert CopyRule.objects.count() == 1


def test_the_preview_decides_as_the_engine_does_and_respects_the_largest_position(world: World) -> None:
    seen = preview.preview(leader=LEADER, terms=RuleInput(sizing="FIXED", fixed_usdc=Decimal(5)))  # type: ignore[arg-type]
    assert (seen.seen, seen.copied) == (2, 2)
    tight = RuleInput(sizing="FIXED", fixed_usdc=Decimal(5), max_position_usdc=Decimal(5))  # type: ignore[arg-type]
    full = preview.preview(leader=LEADER, terms=tight)
    assert [row.code for row in full.rows] == ["MAX_POSITION", "COPIED"]


def test_pause_resume_stop_move_the_rule_and_a_stopped_one_says_why_it_cannot(world: World, alice: Client) -> None:
    def move(action: str) -> Any:
        return alice.post(reverse("rule-move", args=[world.rule.pk, action]), headers={"HX-Request": "true"})

    for action, status in (("pause", "PAUSED"), ("resume", "ACTIVE"), ("stop", "STOPPED")):
        assert move(action).headers["HX-Redirect"] == reverse("copy-desk")
        assert CopyRule.objects.get(pk=world.rule.pk).status == status
    refused = move("resume")
    assert refused.status_code == 409
    assert "follow the wallet again" in refused.content.decode()
    assert refused.headers["HX-Retarget"] == "#notes"
    assert move("explode").status_code == 404


def test_a_finished_order_says_why_it_cannot_be_canceled(world: World, alice: Client) -> None:
    html = alice.get(reverse("order", args=[world.order.pk])).content.decode()
    assert "disabled" in html
    assert "The order is finished." in html
    assert alice.post(reverse("order-cancel", args=[world.order.pk])).status_code == 409


def test_an_order_without_an_answer_is_shown_as_unknown(world: World, alice: Client) -> None:
    now = SystemClock().now()
    order = world.order
    order.status, order.sent_at, order.order_hash = "SENT", now - timedelta(minutes=1), "0x" + "1" * 64
    order.save()
    html = alice.get(reverse("cockpit")).content.decode()
    assert "has not answered" in html


def test_the_next_page_after_an_action_is_one_of_ours(world: World, alice: Client) -> None:
    for evil in ("https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example", "/\n"):
        response = alice.post(reverse("rule-move", args=[world.rule.pk, "pause"]), {"next": evil})
        assert response.headers["Location"] == reverse("copy-desk")


def test_a_session_that_ended_under_an_open_page_leads_to_sign_in(db: None) -> None:
    response = Client().get(reverse("cockpit") + "?part=positions", headers={"HX-Request": "true"})
    assert response.status_code == 204
    assert reverse("account_login") in response.headers["HX-Redirect"]


def test_a_host_we_do_not_know_is_told_what_would_make_it_known() -> None:
    answer = Client(headers={"host": "other.example"}).get("/")
    assert answer.status_code == 400
    assert "ALLOWED_HOSTS" in answer.content.decode()
    assert "other.example" not in answer.content.decode()


def test_an_unknown_address_is_a_designed_page_a_note_or_json() -> None:
    client = Client()
    page = client.get("/nowhere/")
    assert page.status_code == 404
    assert "There is nothing here" in page.content.decode()
    assert client.get("/nowhere/", headers={"HX-Request": "true"}).headers["HX-Retarget"] == "#notes"
    assert client.get("/api/v1/nowhere/").json()["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("error", "named"), [(OperationalError("gone"), "The database"), (RedisError("gone"), "The cache (Redis)")]
)
def test_a_store_that_is_away_is_503_with_a_time_to_come_back(error: Exception, named: str) -> None:
    page, call = RequestFactory().get("/cockpit/"), RequestFactory().get("/api/v1/orders/")
    try:
        raise error
    except (OperationalError, RedisError):
        response, told = views.server_error(page), views.server_error(call)
    assert response.status_code == told.status_code == 503
    assert response.headers["Retry-After"] == told.headers["Retry-After"] == "5"
    assert f"{named} does not answer now" in response.content.decode()
    assert "This page tries again by itself" in response.content.decode()
    assert "Try again in 5 seconds" in told.content.decode()
    assert views.server_error(page).status_code == 500


def test_the_strip_names_a_service_that_does_not_run_and_a_quiet_feed() -> None:
    now = SystemClock().now()
    assert system.state(now=now).tone == "danger"
    Service.objects.create(
        name="feed",
        expires_at=now + timedelta(seconds=8),
        heartbeat_at=now,
        detail={"connected": True, "last_event_at": (now - timedelta(minutes=2)).isoformat()},
    )
    Service.objects.create(name="engine-0", expires_at=now - timedelta(seconds=1))
    state = system.state(now=now)
    assert state.feed is not None
    assert (state.feed.tone, state.feed.word) == ("warning", "connected, but quiet")
    assert [engine.tone for engine in state.engines] == ["danger"]
    assert state.word == "Engine 0: not running, restarts by itself"


def test_the_page_of_a_wallet_names_the_markets_it_traded(world: World, alice: Client) -> None:
    html = alice.get(reverse("wallet", args=[world.wallet.address])).content.decode()
    assert worlds.QUESTION in html


@pytest.mark.parametrize("name", ["cockpit", "positions"])
def test_a_position_whose_market_has_no_quote_is_shown_without_one(name: str, world: World, alice: Client) -> None:
    Quote.objects.all().delete()
    assert worlds.QUESTION in alice.get(reverse(name)).content.decode()


def test_many_positions_come_page_by_page(world: World, alice: Client) -> None:
    market = world.token.market
    for number in range(60):
        token = Token.objects.create(
            market=market, token_id=f"9{number:05}", outcome=f"{number}", outcome_index=number + 2
        )
        Position.objects.create(
            account=world.account,
            token=token,
            shares=5,
            cost_usdc=number + 1,
            opened_at=worlds.NOW,
            updated_at=worlds.NOW,
        )
    first, second = (alice.get(f"{reverse('positions')}?page={page}").content.decode() for page in (1, 2))
    assert (first.count('class="lead"'), second.count('class="lead"')) == (50, 11)
    assert "1–50 of 61" in first
    assert "?part=positions&amp;page=2" in second


@pytest.mark.parametrize("quote", [{"best_bid": "0.3"}, {"last_price": "0.2"}, None])
def test_the_equity_of_the_cockpit_is_the_end_of_its_curve(quote: dict[str, str] | None, world: World) -> None:
    Quote.objects.all().delete()
    if quote is not None:
        Quote.objects.create(token=world.token, received_at=worlds.NOW, **{k: Decimal(v) for k, v in quote.items()})
    balances.record_equity(shard=Shard(0, 1), now=SystemClock().now())
    curve = trading.equity_of(user=world.alice, mode=AccountMode.PAPER)
    assert trading.portfolio_of(user=world.alice, mode=AccountMode.PAPER).equity_usdc == curve[-1][1]
