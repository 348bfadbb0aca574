"""An engine shard on a local Polymarket, in the test's own loop: live and paper accounts, real database."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.db import connection

from accounts.models import AccountMode, TradingAccount
from markets.models import Market, Token
from markets.tests.local_signer import LocalSigner
from markets.tests.venue_fixtures import new_key, urls_of
from markets.venue import registry, signing
from markets.venue.ports import OrderType, Side, Venue
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket
from markets.venue.signers import VenueAccount
from polyhub.lib.clock import SystemClock
from polyhub.lib.held_lease import HeldLease, boot_clock
from polyhub.tests.eventually import eventually_async
from trading.domain.orders import OrderStatus
from trading.engine.database import Database
from trading.engine.ports import Policy
from trading.engine.runner import Decider, EngineShard
from trading.models import Balance, Order
from trading.services import orders, restore
from trading.services.work import Shard
from trading.tests import factories

T = TypeVar("T")

CLOCK = SystemClock()
# Everything that waits, waits in tenths of seconds here.
QUICK = Policy(
    horizon=timedelta(seconds=1.5),
    lookups_s=(0.1, 0.2, 0.3),
    send_backoff_s=(0.1, 0.2),
    immediate_patience=timedelta(seconds=1.5),
    resting_patience=timedelta(seconds=1.5),
    reconcile_every_s=2,
    watch_every_s=0.5,
    open_backoff_s=(0.2,),
    venue_timeout_s=5,
)
LEASE_S = 60.0


@dataclass
class Rig:
    """Accounts and orders beside a running shard. Database work runs in threads, as the engine's own does."""

    sandbox: RunningSandbox
    token: int
    signer: LocalSigner = field(default_factory=LocalSigner)
    policy: Policy = QUICK
    deciders: Sequence[Decider] = ()
    shard: EngineShard | None = None
    lease: HeldLease | None = None

    async def live_account(self, *, usdc: int = 1_000) -> TradingAccount:
        """A funded live account that the rig's signer signs for; its deposit is the venue's to tell."""
        key = new_key()
        wallet = self.sandbox.register_wallet(private_key="0x" + key.hex(), usdc=usdc, signature_type=3)

        def make() -> TradingAccount:
            account = factories.account(mode=AccountMode.LIVE, cash="0")
            account.signature_type = 3
            account.signer_address = signing.address_of(key)
            account.trading_address = wallet.address
            account.created_at = CLOCK.now()
            account.save()
            return account

        account = await db(make)
        venue_account = VenueAccount(account.id, 3, account.signer_address, account.trading_address)
        self.signer.add(venue_account, key)
        return account

    async def submit(
        self,
        account: TradingAccount,
        token: Token,
        *,
        side: Side = Side.BUY,
        order_type: OrderType = OrderType.FAK,
        price: str = "0.50",
        shares: str = "20",
    ) -> Order:
        request = factories.request(
            account=account, token=token, side=side, order_type=order_type, price=price, shares=shares
        )
        result = await db(lambda: orders.submit_order(request=request, actor="test", now=CLOCK.now()))
        assert result.admitted, result
        return await self.order(result.order_id)

    async def order(self, order_id: int | None) -> Order:
        return await db(lambda: Order.objects.select_related("token", "account").get(pk=order_id or 0))

    async def reaches(self, order: Order, *statuses: OrderStatus, timeout_s: float = 10) -> Order:
        """The order once it has one of these statuses."""

        async def there() -> Order | None:
            row = await self.order(order.pk)
            assert row.status in statuses, f"{row.status} {row.code} {row.message}"
            return row

        found = await eventually_async(there, timeout_s=timeout_s)
        assert found is not None
        return found

    async def cash_is(self, account: TradingAccount, amount: Decimal | str | int, timeout_s: float = 10) -> None:
        async def there() -> bool:
            row = await db(lambda: Balance.objects.get(account=account))
            assert row.cash_usdc == Decimal(amount), row.cash_usdc
            return True

        await eventually_async(there, timeout_s=timeout_s)

    def venue_orders(self, account: TradingAccount) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.sandbox.state(wallet=account.trading_address)["orders"]
        return found

    def venue_cash(self, account: TradingAccount) -> Decimal:
        (wallet,) = self.sandbox.state(wallet=account.trading_address)["wallets"]
        return Decimal(wallet["cash_units"]) / 1_000_000

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[EngineShard, None]:
        """The shard at work; leaving stops it and waits for it."""
        chance, stop = random.Random(1), asyncio.Event()
        transport = registry.open_transport(urls=urls_of(self.sandbox), clock=CLOCK)
        public = registry.open_public_client(transport=transport)
        books = registry.open_books(transport=transport, public=public, chance=chance)
        database = Database()
        self.lease = HeldLease(name=factories.SERVICE, token=self.token, ttl_s=LEASE_S, asked_at=boot_clock())

        async def open_venue(account: TradingAccount) -> Venue:
            return registry.open_venue(
                mode=account.mode,
                account=VenueAccount(
                    account.id, account.signature_type or 0, account.signer_address, account.trading_address
                ),
                restored=await database.call(restore.state_of, account_id=account.id),
                transport=transport,
                public=public,
                books=books,
                signer=self.signer,
                chance=chance,
                paper_latency_s=0.01,
            )

        self.shard = EngineShard(
            lease=self.lease,
            shard=Shard(index=0, count=1),
            open_venue=open_venue,
            deciders=self.deciders,
            clock=CLOCK,
            policy=self.policy,
            database=database,
        )
        feeding = asyncio.ensure_future(books.run())
        running = asyncio.ensure_future(self.shard.run(stop=stop))
        try:
            yield self.shard
        finally:
            stop.set()
            await asyncio.wait({running}, timeout=30)
            running.cancel()
            feeding.cancel()
            await asyncio.gather(running, feeding, return_exceptions=True)
            await transport.close()


async def db(work: Callable[[], T]) -> T:
    """Run `work` on a thread and close its connection."""

    def run() -> T:
        try:
            return work()
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def listed(sandbox: RunningSandbox, slug: str, **fields: Any) -> tuple[SandboxMarket, Token]:
    """A market of the sandbox and its row with us; no fee unless told otherwise."""
    made = sandbox.create_market(slug, **fields)

    def store() -> Token:
        market = Market.objects.create(
            condition_id=made.condition_id,
            slug=slug,
            fee_rate=Decimal(str(fields.get("fee_rate", 0))),
            updated_at=CLOCK.now(),
        )
        rows = [
            Token(token_id=token_id, market=market, outcome=outcome, outcome_index=index)
            for index, (token_id, outcome) in enumerate(zip(made.token_ids, ("Yes", "No"), strict=True))
        ]
        return Token.objects.bulk_create(rows)[0]

    return made, await db(store)
