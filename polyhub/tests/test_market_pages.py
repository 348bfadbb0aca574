"""The market pages: search, the book with one's own orders, and the ticket that places what it previewed."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from markets.models import BookView, Interest, Token
from markets.services import history, interest
from markets.services.history import TradeTick
from markets.services.interest import ShownBook
from polyhub.lib.clock import SystemClock
from polyhub.tests import world as worlds
from polyhub.tests.world import World
from trading.models import Order

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return worlds.build()


@pytest.fixture
def alice(world: World) -> Client:
    client = Client()
    client.force_login(world.alice)
    return client


def show(token: Token, *, doubt: str = "", age_s: float = 0) -> None:
    now = SystemClock().now() - timedelta(seconds=age_s)
    book = ShownBook(token.pk, [("0.48", "100"), ("0.47", "50")], [("0.52", "10"), ("0.53", "100")], doubt=doubt)
    interest.publish(books=[book], now=now)


def address(token: Token, name: str = "market") -> str:
    return reverse(name, kwargs={"condition_id": token.market.condition_id})


def ticket(world: World, **changed: object) -> dict[str, object]:
    asked = {
        "account": world.account.pk,
        "token": world.token.pk,
        "side": "BUY",
        "order_type": "FAK",
        "cents": "53",
        "shares": "20",
        "client_order_id": str(uuid4()),
    }
    return asked | changed


def place(client: Client, token: Token, said: Mapping[str, object], query: str = "") -> tuple[int, str]:
    answer = client.post(address(token, "ticket") + query, said)
    return answer.status_code, answer.content.decode()


def test_the_browser_finds_by_words_and_shows_what_is_known(alice: Client) -> None:
    found = alice.get(reverse("markets"), {"q": "only alice"}).content.decode()
    assert worlds.QUESTION in found
    assert "49¢ / 50¢" in found
    assert "No market found" in alice.get(reverse("markets"), {"q": "nothing like it"}).content.decode()


def test_a_list_of_markets_costs_the_same_whatever_its_length(
    alice: Client, django_assert_max_num_queries: object
) -> None:
    from markets.tests.factories import make_token

    for _ in range(20):
        make_token()
    with django_assert_max_num_queries(10):  # type: ignore[operator]
        alice.get(reverse("markets"))


def test_the_page_of_a_market_shows_book_tape_rules_and_own_orders(alice: Client, world: World) -> None:
    show(world.token)
    now = SystemClock().now()
    history.record(quotes=[], trades=[TradeTick(world.token.pk, now, now, False, 4810, 12_340_000)])
    own = Order.objects.get(pk=world.order.pk)
    own.pk, own.client_order_id, own.status, own.price, own.order_hash = (
        None,
        uuid4(),
        "OPEN",
        Decimal("0.48"),
        "0x" + "ab" * 32,
    )
    own.shares, own.filled_shares = Decimal(30), Decimal(5)
    own.save()
    page = alice.get(address(world.token)).content.decode()
    assert "Book trusted" in page
    assert "<strong>25</strong>" in page, "the open rest of alice's own order stands at its level"
    assert "150" in page, "cumulative depth of both bids"
    assert "▼ sold" in page
    assert "48.1¢" in page
    assert Interest.objects.filter(token__market=world.token.market).count() == 2, "looking keeps both books"


@pytest.mark.parametrize(
    ("doubt", "age_s", "words"),
    [("FEED_DOWN", 0, "Feed is down"), ("DISAGREES", 0, "contradicts"), ("", 60, "Not refreshed lately")],
)
def test_a_doubtful_book_is_shown_as_such_and_takes_no_order(
    alice: Client, world: World, doubt: str, age_s: float, words: str
) -> None:
    show(world.token, doubt=doubt, age_s=age_s)
    assert words in alice.get(address(world.token), {"part": "head"}, headers={"HX-Request": "true"}).content.decode()
    before = Order.objects.count()
    status, told = place(alice, world.token, ticket(world))
    assert (status, Order.objects.count()) == (409, before)
    assert "cannot be trusted" in told


def test_the_preview_tells_cost_fee_and_slippage(alice: Client, world: World) -> None:
    show(world.token)
    answer = alice.post(
        address(world.token, "ticket") + "?preview", ticket(world), headers={"HX-Request": "true"}
    ).content.decode()
    # 10 at 52 and 10 at 53 cents; a fee of 5 % of p(1-p) on each.
    for figure in ("20 of 20", "52.5¢", "$10.50", "0.5¢", "$0.25", "$10.75"):
        assert figure in answer, figure
    assert Order.objects.filter(source="ticket").count() == 0


def test_a_placed_ticket_is_one_order_however_often_it_is_sent(alice: Client, world: World) -> None:
    show(world.token)
    said = ticket(world)
    for _ in range(2):
        status, _ = place(alice, world.token, said)
        assert status == 302
    order = Order.objects.get(source="ticket")
    assert (order.side, order.order_type, order.price, order.actor) == (
        "BUY",
        "FAK",
        Decimal("0.53"),
        f"user:{world.alice.pk}",
    )


def test_bob_places_nothing_in_alices_account(world: World) -> None:
    show(world.token)
    bob = Client()
    bob.force_login(world.bob)
    before = Order.objects.count()
    assert place(bob, world.token, ticket(world))[0] == 400
    assert Order.objects.count() == before


def test_a_token_of_another_market_is_not_on_this_ticket(alice: Client, world: World) -> None:
    from markets.tests.factories import make_token

    show(world.token)
    assert place(alice, world.token, ticket(world, token=make_token().pk))[0] == 400


def test_g5_a_price_ten_cents_past_the_book_is_refused(alice: Client, world: World) -> None:
    """A spike trade shows 95 cents where the book stands at 52: nobody buys there by mistake."""
    show(world.token)
    before = Order.objects.count()
    for wrong in (ticket(world, cents="63"), ticket(world, side="SELL", cents="37"), ticket(world, cents="95")):
        status, told = place(alice, world.token, wrong)
        assert status == 409
        assert "worse than the best of the book" in told
    assert Order.objects.count() == before
    assert place(alice, world.token, ticket(world, cents="62"))[0] == 302, "exactly ten cents is still allowed"


def test_the_chart_gets_candles_of_its_range(alice: Client, world: World) -> None:
    now = SystemClock().now()
    history.record(quotes=[], trades=[TradeTick(world.token.pk, now, now, True, 5000, 10**7)])
    answer = alice.get(address(world.token, "market-candles"), {"range": "1h", "outcome": "0"}).json()
    assert answer["span_s"] == 60
    assert [point[1:5] for point in answer["points"]] == [["0.50000"] * 4]
    assert alice.get(address(world.token, "market-candles"), {"range": "no", "outcome": "1"}).json()["points"] == []


def test_the_data_page_tells_coverage_and_what_went_wrong(alice: Client, world: World) -> None:
    from markets.domain.continuity import Notebook, Subject, Trouble
    from markets.services import continuity
    from polyhub.lib.clock import to_ms

    now = SystemClock().now()
    notes = Notebook()
    notes.watched(Subject.ASSET, world.token.token_id, needed_ms=1_000, trusted_ms=990)
    notes.note(Trouble.DISAGREEMENT, Subject.ASSET, world.token.token_id, at_ms=to_ms(now), detail="best 1/2")
    continuity.store(told=notes.take(), now=now)
    page = alice.get(reverse("data-status")).content.decode()
    for part in ("99%", "Disagreement", "best 1/2", worlds.QUESTION, "Activity stream"):
        assert part in page, part


def test_the_metrics_tell_trust_and_troubles(alice: Client, world: World) -> None:
    from markets.domain.continuity import Notebook, Subject, Trouble
    from markets.services import continuity

    now = SystemClock().now()
    notes = Notebook()
    notes.watched(Subject.ASSET, world.token.token_id, needed_ms=1_000, trusted_ms=750)
    notes.note(Trouble.RECONNECT, Subject.STREAM, "market", at_ms=0)
    continuity.store(told=notes.take(), now=now)
    told = alice.get(reverse("api-data-metrics")).content.decode()
    assert "polyhub_books_trusted_ratio 0.75" in told
    assert 'polyhub_data_troubles_today{kind="reconnects"} 1.0' in told
    assert 'polyhub_leader_trades_seen{source="rtds"}' in told


def test_a_book_that_is_gone_is_not_shown_as_empty(alice: Client, world: World) -> None:
    BookView.objects.all().delete()
    assert "Waiting for the book" in alice.get(address(world.token)).content.decode()
