"""What keeping the venue's rate limits costs an order: the budget's turn for each request, and the clock's check.

    python benchmarks/venue_budget.py [--quick]

A table for people, then one line of JSON. Aim: under 0.2 ms an order.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from markets.venue.polymarket.budget import Budget
from markets.venue.polymarket.endpoints import endpoint
from markets.venue.polymarket.venue_clock import VenueClock
from polyhub.lib.clock import SystemClock

AIM_US = 200.0


async def _turns(accounts: int, orders: int) -> list[float]:
    """Microseconds of each order's turn, `accounts` taking turns."""
    budget = Budget(monotonic=time.monotonic, chance=random.Random(1), share=1.0, scale=1_000)
    post = endpoint("POST", "clob", "/order")
    took = []
    for at in range(orders):
        start = time.perf_counter()
        await budget.take(post, party=str(at % accounts))
        took.append((time.perf_counter() - start) * 1e6)
    return took


async def _checks(orders: int) -> list[float]:
    async def ask() -> int:
        return int(SystemClock().now().timestamp())

    clock = VenueClock(wall=SystemClock(), monotonic=time.monotonic, ask=ask)
    await clock.measure()
    took = []
    for _ in range(orders):
        start = time.perf_counter()
        await clock.trusted()
        took.append((time.perf_counter() - start) * 1e6)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    orders = 20_000 if parser.parse_args().quick else 200_000
    rows = {f"budget, {accounts} accounts": asyncio.run(_turns(accounts, orders)) for accounts in (1, 100, 4_000)}
    rows["clock"] = asyncio.run(_checks(orders))
    print(f"{'':24}{'median us':>12}{'p99 us':>12}")
    for name, took in rows.items():
        print(f"{name:24}{statistics.median(took):12.2f}{statistics.quantiles(took, n=100)[98]:12.2f}")
    worst = max(statistics.quantiles(took, n=100)[98] for name, took in rows.items() if name != "clock")
    total = worst + statistics.quantiles(rows["clock"], n=100)[98]
    print(json.dumps({"p99_us": round(total, 1), "aim_us": AIM_US, "holds": total < AIM_US}))


if __name__ == "__main__":
    main()
