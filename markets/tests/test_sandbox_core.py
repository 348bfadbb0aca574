"""What only time brings about, on a clock the test holds."""

from decimal import Decimal

import msgspec
import pytest
from eth_account import Account

from markets.tests.sandbox_client import order_fields, sign_order
from markets.venue.sandbox.auth import Credentials
from markets.venue.sandbox.core import Sandbox, WrongHeartbeat
from markets.venue.sandbox.events import MarketDef
from markets.venue.sandbox.messages import PostOrder, WireOrder
from markets.venue.simulator.orders import Order

ALICE, BOB = "0x" + "a1" * 32, "0x" + "b0" * 32
TOKEN = "7" * 70
START_MS = 1_800_000_000_000


class World:
    """A sandbox with two funded wallets on a clock that stands still."""

    def __init__(self) -> None:
        self.ms = START_MS
        self.sandbox = Sandbox(now_ms=lambda: self.ms)
        market = MarketDef(condition_id="0xc", token_ids=(TOKEN, "8" * 70), slug="one", first_price=Decimal("0.5"))
        self.sandbox.add_market(market)
        self._salt = 0
        for key in (ALICE, BOB):
            signer = Account.from_key(key).address
            self.sandbox.register(signer, signature_type=0, cash_units=1_000_000_000)

    def credentials(self, key: str) -> Credentials:
        return Credentials(Account.from_key(key).address, f"key of {key[:4]}", "", "", b"")

    def buy(self, key: str, price_cents: int, shares: int, *, kind: str = "GTC", expiration: int = 0) -> Order:
        self._salt += 1
        owner = self.credentials(key)
        fields = order_fields(
            salt=self._salt,
            maker=owner.signer,
            signer=owner.signer,
            tokenId=TOKEN,
            makerAmount=price_cents * shares * 10_000,
            takerAmount=shares * 1_000_000,
            side="BUY",
        )
        texts = {name: str(fields[name]) for name in ("makerAmount", "takerAmount", "timestamp")}
        signed = {**fields, **texts, "signature": sign_order(key, fields), "expiration": str(expiration)}
        post = PostOrder(
            order=msgspec.convert(signed, WireOrder), owner=owner.api_key, orderType="GTD" if kind == "GTD" else "GTC"
        )
        return self.sandbox.accept(post, owner)

    def after(self, ms: int) -> None:
        self.ms = START_MS + ms
        self.sandbox.tick()


def live(world: World, key: str) -> int:
    return len(world.sandbox.orders_of(world.credentials(key).signer))


def test_a_missed_heartbeat_cancels_everything_of_that_key_and_nothing_of_others() -> None:
    world = World()
    world.buy(ALICE, 40, 10)
    world.buy(BOB, 40, 10)
    first = world.sandbox.heartbeat(world.credentials(ALICE), "")
    world.after(9_000)
    world.sandbox.heartbeat(world.credentials(ALICE), first)
    world.after(18_000)
    assert (live(world, ALICE), live(world, BOB)) == (1, 1)
    world.after(19_001)
    assert (live(world, ALICE), live(world, BOB)) == (0, 1)


def test_a_wrong_heartbeat_is_told_the_right_one() -> None:
    world = World()
    right = world.sandbox.heartbeat(world.credentials(ALICE), "")
    with pytest.raises(WrongHeartbeat) as refused:
        world.sandbox.heartbeat(world.credentials(ALICE), "wrong")
    assert refused.value.expected == right


def test_a_gtd_order_dies_a_minute_before_its_time() -> None:
    world = World()
    world.buy(ALICE, 40, 10, kind="GTD", expiration=START_MS // 1000 + 240)
    world.after(179_999)
    assert live(world, ALICE) == 1
    world.after(180_000)
    assert live(world, ALICE) == 0


def test_the_public_record_is_written_once_mined() -> None:
    world = World()
    order = world.buy(ALICE, 51, 10)
    assert order.matched_units == 10_000_000
    assert world.sandbox.record.trades == []
    world.after(400)
    assert {trade.wallet for trade in world.sandbox.record.trades if trade.taker} == {order.new.wallet}
    assert len(world.sandbox.record.positions(order.new.wallet)) == 1


def test_the_same_calls_give_the_same_trades() -> None:
    ids = []
    for _ in range(2):
        world = World()
        ids.append(world.buy(ALICE, 51, 10).trade_ids)
    assert ids[0] == ids[1]
