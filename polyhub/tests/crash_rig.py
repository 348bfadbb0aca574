"""Killing engines, submitters and the signer at named steps, and comparing our books with the sandbox's after it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from django.conf import settings as django_settings
from django.db import connection

from accounts.models import TradingAccount
from accounts.services.keys import PolicyValues
from accounts.tests import factories as people
from markets.models import Token
from markets.venue import signing
from markets.venue.sandbox.testing import RunningSandbox
from polyhub.lib import leases
from polyhub.tests.eventually import eventually
from riskmgmt import services as risk
from trading.domain.orders import TERMINAL, FillStatus, OrderStatus
from trading.models import Balance, Engine, Fill, Order, Position, SignatureRecord
from trading.signer import keys, launch
from trading.tests.factories import NOW

START_USDC = 100_000
PLACED = {OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.CANCELED}


@dataclass
class CrashRig:
    """The processes under test and the accounts they trade for."""

    sandbox: RunningSandbox
    folder: Path
    nursery: subprocess.Popen[str] | None = None
    signer: subprocess.Popen[bytes] | None = None
    accounts: list[TradingAccount] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring up the nursery and a signer."""
        database = django_settings.DATABASES["default"]
        environment = {
            **os.environ,
            "DATABASE_URL": f"postgresql://{database['USER']}@/{connection.settings_dict['NAME']}"
            f"?host={quote(str(database['HOST']))}",
            "SECRET_KEY": "of-a-test-only",
            "FIELD_SECRET": "of-a-test-only",
            "SANDBOX_URL": self.sandbox.url,
            "POLYHUB_VENUE": "sandbox",
            "SIGNER_SOCKET": str(launch.socket_path()),
            "DJANGO_SETTINGS_MODULE": "polyhub.settings",
        }
        with (self.folder / "engines.log").open("ab") as log:
            self.nursery = subprocess.Popen(
                [sys.executable, "-m", "polyhub.tests.crash_nursery"],
                env=environment,
                cwd=django_settings.BASE_DIR,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.nursery.stdout is not None
        assert self.nursery.stdout.readline().strip() == "ready", self.log()
        self.start_signer()

    def stop(self) -> None:
        processes: list[subprocess.Popen[Any] | None] = [self.nursery, self.signer]
        for process in processes:
            if process is not None:
                process.kill()
                process.wait(10)
                for pipe in filter(None, (process.stdin, process.stdout)):
                    pipe.close()

    def start_signer(self, failpoints: str = "") -> None:
        """A signer; with failpoints it dies at that step of the next signature."""
        if self.signer is not None:
            self.signer.kill()
            self.signer.wait(10)
        arguments, environment, descriptor = launch.command("serve", make_keys=False)
        with (self.folder / "signer.log").open("ab") as output:
            self.signer = subprocess.Popen(
                arguments,
                env={**environment, "FAILPOINTS": failpoints},
                cwd=django_settings.BASE_DIR,
                pass_fds=[descriptor],
                stdout=output,
                stderr=output,
            )
        os.close(descriptor)
        eventually(_listens, timeout_s=20)

    def fork(self, command: dict[str, Any]) -> int:
        """The pid of a new child that runs `command`."""
        assert self.nursery is not None
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write(json.dumps(command) + "\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline())

    @contextmanager
    def engine(self, failpoints: str = "", seed: int = 0) -> Iterator[int]:
        """An engine that is dead at the end, by its failpoint or by our hand; its lease does not outlive it."""
        pid = self.fork({"do": "engine", "failpoints": failpoints, "seed": seed})
        try:
            yield pid
        finally:
            kill(pid)
            with connection.cursor() as cursor:
                cursor.execute("UPDATE lib_service SET expires_at = now() - interval '1 s'")

    def submit(self, order: dict[str, str], failpoints: str = "") -> None:
        """Ask for an order in a process of its own, and wait until that is gone."""
        pid = self.fork({"do": "submit", "order": order, "failpoints": failpoints})
        eventually(lambda: not alive(pid), timeout_s=20)

    def log(self) -> str:
        return (self.folder / "engines.log").read_text()[-4000:]

    # -- accounts and orders -------------------------------------------------------------------------------------

    def open_account(self) -> TradingAccount:
        """A funded live account whose key only the signer can open."""
        key = uuid4().bytes + uuid4().bytes
        address = signing.address_of(key)
        owner = people.user(f"user{len(self.accounts)}")
        policy = PolicyValues(max_order_usdc=Decimal(1000), max_day_usdc=Decimal(1_000_000))
        account = people.live_account(owner, key, address, policy=policy)
        self.sandbox.register_wallet(private_key="0x" + key.hex(), usdc=START_USDC, signature_type=0)
        risk.ensure(account_ids=[account.id], now=NOW)
        wide = risk.LimitValues(
            order_max_usdc=Decimal(1000),
            market_max_usdc=Decimal(50_000),
            total_max_usdc=Decimal(50_000),
            max_open_orders=10_000,
            daily_loss_usdc=Decimal(50_000),
        )
        risk.set_limits(account=account, values=wide, now=NOW)
        Balance.objects.create(
            account=account,
            cash_usdc=Decimal(START_USDC),
            deposited_usdc=Decimal(START_USDC),
            updated_at=NOW,
        )
        Engine.objects.create(account=account)
        self.accounts.append(account)
        return account

    def order(self, account: TradingAccount, token: Token, kind: int) -> dict[str, str]:
        """The next order of a fixed mix: buys and sells, immediate and resting."""
        side, order_type, price, shares = MIX[kind % len(MIX)]
        asked = {
            "account_id": str(account.id),
            "client_order_id": str(uuid4()),
            "token_id": token.token_id,
            "side": side,
            "order_type": order_type,
            "price": price,
            "shares": shares,
        }
        self.asked.append(asked)
        return asked

    # -- afterwards ----------------------------------------------------------------------------------------------

    def converge(self, *, timeout_s: float = 60) -> None:
        """With a healthy engine everything open finds its end."""
        self.sandbox.clear_faults()
        for order in self.asked:
            if not Order.objects.filter(client_order_id=order["client_order_id"]).exists():
                self.submit(order)
        with self.engine():
            eventually(self._is_settled, timeout_s=timeout_s, poll_s=0.2)

    def _is_settled(self) -> bool:
        open_ = Order.objects.filter(status__in=[OrderStatus.PENDING, OrderStatus.SENT, OrderStatus.PARTIALLY_FILLED])
        assert not open_.exists(), [(row.pk, row.status, row.code, row.order_type) for row in open_[:5]]
        # Only what nobody would trade with may rest: anything else could trade while we compare.
        crossing = Order.objects.filter(status=OrderStatus.OPEN).exclude(side="BUY", price=RESTING_PRICE)
        assert not crossing.exists(), [(row.pk, row.side, row.price, row.order_type) for row in crossing[:5]]
        unsettled = Fill.objects.exclude(status__in=[FillStatus.CONFIRMED, FillStatus.FAILED])
        assert not unsettled.exists()
        for account in self.accounts:
            cash = Balance.objects.get(account=account).cash_usdc
            assert _units(cash) == int(self.wallet(account)["cash_units"]), self._differences(account)
        return True

    def wallet(self, account: TradingAccount) -> dict[str, Any]:
        (found,) = self.sandbox.state(wallet=account.trading_address)["wallets"]
        return dict(found)

    def check(self) -> None:
        """The oracle: no order doubled, none lost, no ghost, every amount equal to the sandbox's."""
        state = self.sandbox.state()
        assert state["conserved"]
        ours = {row.order_hash: row for row in Order.objects.filter(order_hash__isnull=False)}
        for row in state["orders"]:
            order = ours.get(row["id"])
            # (i) every order at the venue is the one order of one intent.
            assert order is not None, f"the venue has an order we do not know: {row}"
            assert order.status in PLACED, f"ghost: {order.status} {order.code}, the venue has {row['status']}"
            assert _units(order.filled_usdc) <= int(row["matched_cost_units"])
        assert len({row["id"] for row in state["orders"]}) == len(state["orders"])
        assert SignatureRecord.objects.count() == len(set(SignatureRecord.objects.values_list("intent_id", flat=True)))
        at_venue = {row["id"] for row in state["orders"]}
        for order in Order.objects.all():
            # (ii) every intent is finished, resting or watched.
            assert order.status in TERMINAL or order.status == OrderStatus.OPEN, f"{order.pk} {order.status}"
            if order.status == OrderStatus.PRESUMED_NOT_PLACED:
                assert order.watch_until is not None
            if order.status in PLACED:
                assert order.order_hash in at_venue, f"lost: {order.pk} {order.status}"
            # (iv) finished orders hold nothing back.
            if order.status in TERMINAL:
                assert (order.reserved_usdc, order.reserved_shares) == (0, 0)
        assert {str(row) for row in Order.objects.values_list("client_order_id", flat=True)} == {
            order["client_order_id"] for order in self.asked
        }
        self._check_fills(state, ours)
        self._check_reserves(state, ours)
        wallets = {wallet["address"].lower(): wallet for wallet in state["wallets"]}
        for account in self.accounts:
            self._check_account(account, wallets[account.trading_address.lower()])

    def _check_fills(self, state: dict[str, Any], ours: dict[str | None, Order]) -> None:
        """(iii) the same fills with the same amounts on both sides."""
        venue: dict[tuple[str, str], tuple[int, int, int, bool]] = {}
        for trade in state["trades"]:
            for leg in (trade["taker"], *trade["makers"]):
                if leg["order_id"] in ours:
                    amounts = (int(leg["share_units"]), int(leg["cost_units"]), int(leg["fee_units"]))
                    venue[(leg["order_id"], trade["id"])] = (*amounts, trade["status"] != "FAILED")
        booked = {
            (fill.order.order_hash or "", fill.venue_trade_id): (
                _units(fill.shares),
                _units(fill.notional_usdc),
                _units(fill.fee_usdc),
                fill.status != FillStatus.FAILED,
            )
            for fill in Fill.objects.select_related("order")
        }
        assert booked == venue

    def _check_reserves(self, state: dict[str, Any], ours: dict[str | None, Order]) -> None:
        """(iv) what is held back is what still rests at the venue, with its fee."""
        live = [row for row in state["orders"] if row["status"] == "LIVE"]
        resting = Order.objects.filter(status__in=[OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED])
        assert {row["id"] for row in live} == set(resting.values_list("order_hash", flat=True))
        for row in live:
            order = ours[row["id"]]
            rest = int(row["maker_units"]) - int(row["matched_cost_units"])
            assert _units(order.reserved_usdc) == rest + _units(order.admitted_usdc) - order.maker_units

    def _check_account(self, account: TradingAccount, wallet: dict[str, Any]) -> None:
        held = {
            position.token.token_id: _units(position.settled_shares)
            for position in Position.objects.filter(account=account, shares__gt=0).select_related("token")
        }
        theirs = {token: int(units) for token, units in wallet["shares"].items() if int(units)}
        assert held == theirs, f"{held} {theirs} {self._story(account)}"
        assert _units(Balance.objects.get(account=account).cash_usdc) == int(wallet["cash_units"])

    def _story(self, account: TradingAccount) -> str:
        """Everything both sides know of an account's fills, for the eyes of whoever has to find out."""
        ours = [
            (fill.pk, fill.side, str(fill.shares), fill.status, fill.venue_trade_id, fill.order_id, fill.order.status)
            for fill in Fill.objects.filter(order__account=account).select_related("order").order_by("id")
        ]
        theirs = [
            (leg["side"], leg["share_units"], trade["status"], trade["id"])
            for trade in self.sandbox.state(wallet=account.trading_address)["trades"]
            for leg in (trade["taker"], *trade["makers"])
            if leg["wallet"] == account.trading_address.lower()
        ]
        positions = list(Position.objects.filter(account=account).values())
        return f"ours={ours} theirs={theirs} positions={positions}"

    def _differences(self, account: TradingAccount) -> dict[str, Any]:
        """What to look at when cash does not agree."""
        venue: dict[str, int] = defaultdict(int)
        for row in self.sandbox.state(wallet=account.trading_address)["orders"]:
            venue[row["id"]] = int(row["matched_cost_units"])
        return {
            str(order.pk): (order.status, _units(order.filled_usdc), venue.get(order.order_hash or "", 0))
            for order in Order.objects.filter(account=account)
            if _units(order.filled_usdc) != venue.get(order.order_hash or "", 0)
        }


RESTING_PRICE = Decimal("0.40")
# side, type, price, shares: the book is 0.48/0.50 and deep.
MIX = (
    ("BUY", "FAK", "0.50", "20"),
    ("BUY", "GTC", "0.50", "15"),
    ("SELL", "FAK", "0.48", "5"),
    ("BUY", "FOK", "0.51", "10"),
    ("BUY", "GTC", str(RESTING_PRICE), "10"),
    ("SELL", "GTC", "0.48", "6"),
)


def make_vault(folder: Path, settings: Any) -> None:
    """Keys of a signer in `folder`, and the settings that name them."""
    private, public = folder / "private.key", folder / "public.key"
    keys.load_or_make(private_file=private, public_file=public, make=True)
    settings.SIGNER_PRIVATE_KEY_FILE, settings.SIGNER_PUBLIC_KEY_FILE = private, public
    leases.ensure(names=["engine-0"])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(pid: int) -> None:
    """kill -9, and wait until the process is gone."""
    if alive(pid):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))


def died(pid: int, *, within_s: float) -> bool:
    """Whether the process ends by itself in this time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


def _listens() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(launch.socket_path()))
        except OSError:
            return False
    return True


def _units(amount: Decimal) -> int:
    return int(amount * 1_000_000)
