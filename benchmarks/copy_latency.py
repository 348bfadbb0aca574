"""How long a copied trade takes inside our own processes, and how the official client compares.

From the activity frame as the feed received it to the bytes of the last POST written, with every database step: feed,
engine and signer run as the product runs them, beside a local venue without added delay. The start is the arrival
time the feed stores, cut to the millisecond, so figures are up to one millisecond too long, never too short.

    python benchmarks/copy_latency.py [--quick]

Prints a table, then one JSON line.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "polyhub.settings")
os.environ.setdefault("TEST_DATABASE_NAME", f"bench_copy_{os.getpid()}")

import django  # noqa: E402
from django.conf import settings  # noqa: E402

from polyhub import postgres  # noqa: E402

if settings.EMBEDDED:
    postgres.ensure_running(settings.VAR_DIR)
django.setup()

from django.db import connection  # noqa: E402
from django.test.utils import setup_databases, teardown_databases  # noqa: E402
from polymarket import AsyncSecureClient  # noqa: E402
from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment  # noqa: E402

from accounts.models import TradingAccount, User  # noqa: E402
from accounts.services.keys import PolicyValues  # noqa: E402
from copytrade.domain.rules import Sizing  # noqa: E402
from copytrade.models import CopyDecision  # noqa: E402
from copytrade.services import rules  # noqa: E402
from copytrade.services.rules import RuleInput  # noqa: E402
from markets.venue import signing  # noqa: E402
from polyhub import services  # noqa: E402
from polyhub.hosting import Host  # noqa: E402
from polyhub.lib import leases  # noqa: E402
from polyhub.lib.clock import SystemClock  # noqa: E402
from polyhub.tests.eventually import eventually  # noqa: E402
from polyhub.tests.stack import Stack  # noqa: E402
from riskmgmt import services as risk  # noqa: E402
from riskmgmt.services import LimitValues  # noqa: E402
from trading.models import Engine  # noqa: E402
from trading.services import accounts  # noqa: E402

SOLO, CROWD = "0x" + "a1" * 20, "0x" + "b2" * 20
FOLLOWERS = 200
PRICE, SHARES = "0.50", "400"
RATIO = Decimal("0.02")
MANY = Decimal(1_000_000)
LIMITS = LimitValues(
    order_max_usdc=Decimal(500),
    market_max_usdc=MANY,
    total_max_usdc=MANY,
    max_open_orders=10_000,
    daily_loss_usdc=MANY,
)
POLICY = PolicyValues(max_order_usdc=Decimal(500), max_day_usdc=MANY)


@dataclass(frozen=True, slots=True)
class Plan:
    solo_trades: int
    rounds: int
    sdk_clients: int
    sdk_rounds: int


FULL = Plan(solo_trades=200, rounds=7, sdk_clients=200, sdk_rounds=3)
QUICK = Plan(solo_trades=60, rounds=3, sdk_clients=20, sdk_rounds=2)
WARM_UP = 15


@dataclass(frozen=True, slots=True)
class Sent:
    """One order: when its leader's frame arrived, its signing began and its bytes were written (ms since the epoch)."""

    received: float
    signing: float
    written: float


class Probe:
    """What the engine's hooks saw, written to a file by a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[tuple[str, str, float]] = []
        threading.Thread(target=self._flush, daemon=True).start()

    def sign(self, key: str) -> None:
        self._rows.append(("sign", key, time.time() * 1000))

    def sent(self, key: str) -> None:
        self._rows.append(("sent", key, time.time() * 1000))

    def _flush(self) -> None:
        while True:
            time.sleep(0.05)
            rows, self._rows = self._rows, []
            if rows:
                with self._path.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)


def run_engine(path: Path) -> None:
    """The engine's process: the product's own composition, with the two hooks."""
    probe = Probe(path)
    leases.ensure(names=services.names())
    Host(
        name=services.engine_name(0),
        factory=lambda lease: services.engine(
            lease,
            index=0,
            count=1,
            on_sign=lambda request: probe.sign(str(request.terms.client_order_id)),
            on_order_sent=probe.sent,
        ),
        slice_s=float("inf"),
        ttl_s=settings.SERVICE_LEASE_S,
        watch=lambda: None,
        leaving=lambda: False,
    ).run()


def follow(stack: Stack, *, leader: str, count: int, first_key: int) -> list[TradingAccount]:
    """Live accounts behind one leader."""
    now = SystemClock().now()
    made = []
    for number in range(first_key, first_key + count):
        wallet = stack.call("POST", "wallets", {"private_key": f"0x{number:064x}", "usdc": "100000"})
        account = accounts.open_live_account(
            user=User.objects.create(email=f"follower{number}@example.com"),
            name="live",
            private_key=f"{number:064x}",
            signature_type=signing.DEPOSIT_WALLET,
            trading_address=wallet["address"],
            now=now,
            policy=POLICY,
        )
        risk.set_limits(account=account, values=LIMITS, now=now)
        terms = RuleInput(sizing=Sizing.RATIO, ratio=RATIO, max_position_usdc=MANY, slippage=Decimal("0.2"))
        rules.create_rule(account=account, leader=leader, terms=terms, now=now)
        made.append(account)
    return made


def trade(stack: Stack, *, leader: str, token_id: str) -> str:
    """The leader buys; gives the transaction."""
    body = {"wallet": leader, "token_id": token_id, "side": "BUY", "price": PRICE, "size": SHARES}
    answer = stack.call("POST", "leader_trade", body)
    return str(answer["transaction_hash"])


def sent_orders(path: Path, transaction: str) -> list[Sent]:
    """The orders one leader trade led to, as far as they have left."""
    seen: dict[str, dict[str, float]] = defaultdict(dict)
    if path.exists():
        for line in path.read_text().splitlines():
            kind, key, at = json.loads(line)
            seen[kind].setdefault(key, at)
    rows = CopyDecision.objects.filter(leader_trade__transaction_hash=transaction, order__order_hash__isnull=False)
    names = rows.values_list("leader_trade__received_at", "order__client_order_id", "order__order_hash")
    return [
        Sent(received.timestamp() * 1000, seen["sign"][str(intent)], seen["sent"][order_hash])
        for received, intent, order_hash in names
        if order_hash in seen["sent"]
    ]


def measure(stack: Stack, path: Path, *, leader: str, token_id: str, followers: int, times: int) -> list[list[Sent]]:
    """`times` trades of the leader one after the other, each with all its orders."""
    found = []
    for _ in range(times):
        transaction = trade(stack, leader=leader, token_id=token_id)
        eventually(lambda tx=transaction: _all_left(path, tx, followers), timeout_s=60, poll_s=0.1)  # type: ignore[misc]
        found.append(sent_orders(path, transaction))
        eventually(_all_answered, timeout_s=30, poll_s=0.1)
    return found


def _all_left(path: Path, transaction: str, followers: int) -> bool:
    decided = CopyDecision.objects.filter(leader_trade__transaction_hash=transaction)
    verdicts = Counter(decided.values_list("code", "order__status", "order__code"))
    assert len(sent_orders(path, transaction)) == followers, dict(verdicts)
    return True


def _all_answered() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM trading_order WHERE status IN ('PENDING', 'SENT')")
        return bool(cursor.fetchone()[0] == 0)


async def sdk_send(stack: Stack, *, token_id: str, clients: int, rounds: int, first_key: int) -> list[float]:
    """Milliseconds in which the official clients create and post 200 such orders, all at once, for each round."""
    rest, stream = stack.url, stack.url.replace("http", "ws", 1)
    config = dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=f"{rest}/clob",
        gamma_url=f"{rest}/gamma",
        data_url=f"{rest}/data",
        relayer_url=f"{rest}/relayer",
        rpc_url=f"{rest}/rpc",
        clob_market_ws_url=f"{stream}/ws/market",
        clob_user_ws_url=f"{stream}/ws/user",
        rtds_ws_url=f"{stream}/ws/rtds",
    )
    environment = create_environment(name="sandbox", config=config)
    opened = [
        await AsyncSecureClient.create(private_key=f"0x{number:064x}", environment=environment)
        for number in range(first_key, first_key + clients)
    ]

    async def one(number: int) -> None:
        client = opened[number % clients]
        order = await client.create_market_order(
            token_id=token_id, side="BUY", amount=Decimal(4), max_price=Decimal("0.60"), order_type="FAK"
        )
        answer = await client.post_order(order)
        if not answer.ok:
            raise RuntimeError(str(answer))

    taken = []
    try:
        await asyncio.gather(*(one(number) for number in range(clients)))  # connections and caches are warm after it
        for _ in range(rounds):
            trade(stack, leader=SOLO, token_id=token_id)  # fresh quotes
            started = time.perf_counter()
            await asyncio.gather(*(one(number) for number in range(FOLLOWERS)))
            taken.append((time.perf_counter() - started) * 1000)
    finally:
        for client in opened:
            await client.close()
    return taken


def run(plan: Plan, folder: Path) -> dict[str, float]:
    path = folder / "probe.jsonl"
    with Stack(folder) as stack:
        stack.start_venue()
        stack.start_signer()
        market = stack.call("POST", "markets", {"slug": "bench", "fee_rate": "0.05"})
        token_id = market["token_ids"][0]
        follow(stack, leader=SOLO, count=1, first_key=1)
        follow(stack, leader=CROWD, count=FOLLOWERS, first_key=2)
        stack.start_service("feed")
        stack.start_script("engine", str(ROOT / "benchmarks" / "copy_latency.py"), "--engine", str(path))
        eventually(lambda: Engine.objects.filter(state="RUNNING").count() == FOLLOWERS + 1, timeout_s=240)
        eventually(lambda: _is_copied(stack, token_id), timeout_s=60)
        measure(stack, path, leader=SOLO, token_id=token_id, followers=1, times=WARM_UP)
        solo = measure(stack, path, leader=SOLO, token_id=token_id, followers=1, times=plan.solo_trades)
        measure(stack, path, leader=CROWD, token_id=token_id, followers=FOLLOWERS, times=1)
        crowd = measure(stack, path, leader=CROWD, token_id=token_id, followers=FOLLOWERS, times=plan.rounds)
        stack.stop_services()
        sdk = asyncio.run(
            sdk_send(stack, token_id=token_id, clients=plan.sdk_clients, rounds=plan.sdk_rounds, first_key=2)
        )
    return figures(solo, crowd, sdk)


def _is_copied(stack: Stack, token_id: str) -> bool:
    """The first trades teach the processes the market; later ones are measured."""
    trade(stack, leader=SOLO, token_id=token_id)
    time.sleep(0.5)
    return CopyDecision.objects.filter(code="COPIED").exists()


def figures(solo: Sequence[Sequence[Sent]], crowd: Sequence[Sequence[Sent]], sdk: Sequence[float]) -> dict[str, float]:
    ways = sorted(sent.written - sent.received for (sent,) in solo)
    fanout = [max(sent.written for sent in orders) - orders[0].received for orders in crowd]
    send = [max(sent.written for sent in orders) - min(sent.signing for sent in orders) for orders in crowd]
    return {
        "p50_ms": statistics.median(ways),
        "p99_ms": ways[min(int(len(ways) * 0.99), len(ways) - 1)],
        "fanout_200_ms": statistics.median(fanout),
        "send_200_ms": statistics.median(send),
        "sdk_send_200_ms": statistics.median(sdk),
    }


def show(found: dict[str, float], plan: Plan) -> None:
    rows = [
        ("1 follower, frame to POST, p50", found["p50_ms"], "10"),
        ("1 follower, frame to POST, p99", found["p99_ms"], "30"),
        ("200 followers, frame to last POST", found["fanout_200_ms"], "500"),
        ("  of it signing and sending (database included)", found["send_200_ms"], ""),
        (f"official client, the same 200 orders ({plan.sdk_clients} clients)", found["sdk_send_200_ms"], ""),
    ]
    print(f"{'':58}{'ms':>9}{'aim':>7}")
    for name, value, aim in rows:
        print(f"{name:58}{value:9.1f}{aim:>7}")
    print(f"{'signing and sending is faster by':58}{found['sdk_send_200_ms'] / found['send_200_ms']:8.1f}x{'5x':>7}")
    print(
        f"{plan.solo_trades} trades, {plan.rounds} rounds of 200, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--engine", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        run_engine(arguments.engine)
        return
    # Whoever stops us by a signal must not leave the processes behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = QUICK if arguments.quick else FULL
    before = setup_databases(verbosity=0, interactive=False)
    try:
        with tempfile.TemporaryDirectory(prefix="phb") as folder:
            found = run(plan, Path(folder))
    finally:
        teardown_databases(before, verbosity=0)
    show(found, plan)
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    main()
