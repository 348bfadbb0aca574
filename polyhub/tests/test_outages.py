"""What goes away comes back: the database, the venue, the signer, an engine. Nothing is lost, nothing is doubled."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts.models import TradingAccount, User
from markets.domain.catalogue import MarketFacts, OutcomeFacts
from markets.models import Token
from markets.services import catalogue
from markets.venue import signing
from polyhub.hosting import Host
from polyhub.lib import leases, money
from polyhub.lib.clock import SystemClock
from polyhub.lib.models import Service
from polyhub.tests.eventually import eventually
from polyhub.tests.stack import Stack
from polyhub.tests.test_services import Idle
from riskmgmt import services as risk
from riskmgmt.services import LimitValues
from trading.domain.orders import OrderStatus
from trading.models import Balance, Engine, Order, Position
from trading.services import accounts, orders
from trading.tests import factories
from trading.tests.test_runner import database_away

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def hosted(idle: Idle, *, watch: Callable[[], None], leaving: Callable[[], bool]) -> Iterator[None]:
    leases.ensure(names=["idle"])
    host = Host(name="idle", factory=idle.factory, slice_s=60, ttl_s=2, watch=watch, leaving=leaving)

    def work() -> None:
        try:
            host.run()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        host.stop()
        thread.join(20)
        assert not thread.is_alive()


def outlives_its_lease(idle: Idle) -> bool:
    row = Service.objects.get(name="idle")
    assert row.started_at is not None
    assert row.heartbeat_at is not None
    return (row.heartbeat_at - row.started_at).total_seconds() > 2.5 and len(idle.tokens) == 1


def test_a_lease_is_renewed_while_it_is_not_known_whether_to_leave() -> None:
    def unknown() -> bool:
        if threading.current_thread().name.startswith("lease-"):
            raise OperationalError("away")
        return False

    idle = Idle()
    with hosted(idle, watch=lambda: None, leaving=unknown):
        eventually(lambda: outlives_its_lease(idle))


@pytest.mark.parametrize("error", [OperationalError("away"), ConnectionError("away")], ids=["database", "other"])
def test_a_lease_is_renewed_while_the_others_cannot_be_watched(error: Exception) -> None:
    def fail() -> None:
        raise error

    idle = Idle()
    with hosted(idle, watch=fail, leaving=lambda: False):
        eventually(lambda: outlives_its_lease(idle))


CLOCK = SystemClock()
ENGINE = "engine-0"
KEY = "51" * 32
START_USDC = Decimal(1_000)
# Short leases and little patience, so that an outage is over in seconds.
HASTE = {"SERVICE_LEASE_S": "3", "ORDER_MAX_PENDING_S": "10"}
MARKET = {"slug": "outages", "ladder": {"bids": [["0.48", "10000"]], "asks": [["0.50", "10000"]]}}


@dataclass
class Desk:
    """One live account on the product's own processes."""

    stack: Stack
    account: TradingAccount
    token: Token

    def submit(self) -> Order:
        request = factories.request(account=self.account, token=self.token, shares="10")
        result = orders.submit_order(request=request, actor="test", now=CLOCK.now())
        assert result.admitted, result
        return Order.objects.get(client_order_id=request.client_order_id)

    def reaches(self, order: Order, status: OrderStatus, *, timeout_s: float = 20) -> Order:
        def there() -> Order:
            row = Order.objects.get(pk=order.pk)
            assert row.status == status, (row.status, row.code, row.message, row.attempts)
            return row

        return eventually(there, timeout_s=timeout_s)

    def runs(self, *, timeout_s: float = 30) -> None:
        def running() -> bool:
            row = Engine.objects.get(account=self.account)
            return row.state == "RUNNING" and Service.objects.get(name=ENGINE).state == "RUNNING"

        eventually(running, timeout_s=timeout_s)

    def recovers_from(self, code: str) -> None:
        def recovering() -> bool:
            row = Engine.objects.get(account=self.account)
            assert (row.state, row.detail.partition(":")[0]) == ("RECOVERY", code), (row.state, row.detail)
            return True

        eventually(recovering, timeout_s=40)

    def agrees_with_the_venue(self) -> None:
        """Each order of ours is there once with what it filled; cash and shares are equal to the last unit."""
        state = self.stack.call("GET", f"state?wallet={self.account.trading_address}")
        (wallet,) = state["wallets"]
        there = {row["id"]: int(row["matched_units"]) for row in state["orders"]}
        ours = Order.objects.filter(account=self.account, status=OrderStatus.FILLED)
        assert {row.order_hash: money.to_units(row.filled_shares) for row in ours} == there
        assert money.to_units(Balance.objects.get(account=self.account).cash_usdc) == int(wallet["cash_units"])
        held = Position.objects.filter(account=self.account, shares__gt=0).select_related("token")
        assert {row.token.token_id: money.to_units(row.shares) for row in held} == {
            token: int(units) for token, units in wallet["shares"].items()
        }


@pytest.fixture
def desk(tmp_path: Path, settings: Any) -> Iterator[Desk]:
    settings.SIGNER_SOCKET = ""  # restored after the test, as the keys' files are
    settings.SIGNER_PRIVATE_KEY_FILE = settings.SIGNER_PUBLIC_KEY_FILE = tmp_path
    with Stack(tmp_path, environment=HASTE) as stack:
        stack.start_venue()
        stack.start_service(ENGINE)
        stack.start_signer()
        made = Desk(stack, live_account(stack), listed(stack))
        made.runs()
        yield made
    # An outage cuts the connection of this process too.
    connection.close()


def live_account(stack: Stack) -> TradingAccount:
    account = accounts.open_live_account(
        user=User.objects.create(email="outages@example.com"),
        name="live",
        private_key=KEY,
        signature_type=signing.DEPOSIT_WALLET,
        trading_address=fund(stack),
        now=CLOCK.now(),
    )
    wide = LimitValues(
        order_max_usdc=Decimal(100),
        market_max_usdc=Decimal(1_000),
        total_max_usdc=Decimal(1_000),
        max_open_orders=100,
        daily_loss_usdc=Decimal(1_000),
    )
    risk.set_limits(account=account, values=wide, now=CLOCK.now())
    return account


def fund(stack: Stack) -> str:
    wallet = stack.call("POST", "wallets", {"private_key": f"0x{KEY}", "usdc": str(START_USDC)})
    return str(wallet["address"])


def listed(stack: Stack) -> Token:
    market = stack.call("POST", "markets", MARKET)
    facts = MarketFacts(
        condition_id=market["condition_id"],
        outcomes=tuple(OutcomeFacts(one, str(index), index) for index, one in enumerate(market["token_ids"])),
        question="Will it come back?",
        neg_risk=False,
        tick_size=Decimal("0.01"),
        min_order_shares=Decimal(5),
        fee_rate=Decimal(0),
        fee_exponent=1,
    )
    catalogue.upsert_markets(markets=[facts], now=CLOCK.now())
    return Token.objects.get(token_id=market["token_ids"][0])


def test_database_signer_and_engine_go_away_and_every_order_is_sent_once(desk: Desk) -> None:
    stack = desk.stack
    desk.reaches(desk.submit(), OrderStatus.FILLED)

    # The database, for longer than the lease lasts.
    with database_away():
        eventually(lambda: "Service ended: engine-0" in stack.log(ENGINE), timeout_s=20)
    connection.close()
    desk.reaches(desk.submit(), OrderStatus.FILLED)
    desk.runs()
    assert "Traceback" not in stack.log(ENGINE)

    # The signer: the order waits for the next one.
    stack.kill("signer")
    waiting = desk.submit()
    stack.start_signer()
    desk.reaches(waiting, OrderStatus.FILLED)

    # The engine freezes and another takes over. Awake again, the first one writes nothing and leaves.
    frozen = Service.objects.get(name=ENGINE)
    stack.signal(ENGINE, signal.SIGSTOP)
    eventually(lambda: not leases.owner_of(name=ENGINE), timeout_s=15)
    stack.start_service(ENGINE, called="successor")
    eventually(lambda: Service.objects.get(name=ENGINE).token > frozen.token, timeout_s=30)
    meanwhile = desk.reaches(desk.submit(), OrderStatus.FILLED)
    assert (meanwhile.fencing_token or 0) > frozen.token
    stack.signal(ENGINE, signal.SIGCONT)
    later = desk.submit()
    assert (desk.reaches(later, OrderStatus.FILLED).fencing_token or 0) > frozen.token
    eventually(lambda: stack.has_ended(ENGINE), timeout_s=15)
    assert Service.objects.get(name=ENGINE).token > frozen.token
    assert Engine.objects.get(account=desk.account).state == "RUNNING"
    desk.agrees_with_the_venue()


def test_a_venue_that_comes_back_gets_nothing_that_waited_for_it(desk: Desk) -> None:
    stack = desk.stack
    desk.reaches(desk.submit(), OrderStatus.FILLED)
    stack.stop(ENGINE)
    stack.kill("sandbox")
    stack.start_service(ENGINE)
    desk.recovers_from("NOT_CONNECTED")
    late = desk.reaches(desk.submit(), OrderStatus.DENIED)
    assert (late.code, late.reserved_usdc, late.order_hash) == ("STALE_INTENT", 0, None)

    stack.start_venue()
    stack.call("POST", "markets", MARKET)
    fund(stack)
    # The longest pause between two tries is 30 s.
    desk.runs(timeout_s=45)
    last = desk.reaches(desk.submit(), OrderStatus.FILLED)
    (there,) = stack.call("GET", f"state?wallet={desk.account.trading_address}")["orders"]
    assert there["id"] == last.order_hash
