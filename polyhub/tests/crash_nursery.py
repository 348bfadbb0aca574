"""A process with everything imported that forks engines and submitters to be killed: `python -m` this module.

It reads one JSON command per line and answers with the child's pid. Forking saves seconds of imports per kill.
"""

import json
import os
import signal
import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import django

django.setup()

from markets.venue.ports import OrderType, Side  # noqa: E402
from polyhub import services  # noqa: E402
from polyhub.hosting import Host  # noqa: E402
from polyhub.lib import failpoints  # noqa: E402
from polyhub.lib.clock import SystemClock  # noqa: E402
from trading.engine.ports import Policy  # noqa: E402
from trading.services import orders  # noqa: E402

POLICY = Policy(
    horizon=timedelta(seconds=2.5),
    lookups_s=(0.1, 0.2, 0.4),
    send_backoff_s=(0.1, 0.2),
    immediate_patience=timedelta(seconds=2),
    resting_patience=timedelta(seconds=2),
    reconcile_every_s=1.5,
    watch_every_s=1,
    open_backoff_s=(0.1, 0.3),
    venue_timeout_s=5,
)


def engine() -> None:
    """Run engine-0 until killed or told to stop."""
    Host(
        name="engine-0",
        factory=lambda lease: services.engine(lease, index=0, count=1, policy=POLICY),
        slice_s=float("inf"),
        ttl_s=4,
        watch=lambda: None,
        leaving=lambda: False,
    ).run()


def submit(asked: dict[str, Any]) -> None:
    """Ask for one order, as a decider or a page would."""
    request = orders.OrderRequest(
        account_id=UUID(asked["account_id"]),
        client_order_id=UUID(asked["client_order_id"]),
        token_id=asked["token_id"],
        side=Side(asked["side"]),
        order_type=OrderType(asked["order_type"]),
        price=Decimal(asked["price"]),
        shares=Decimal(asked["shares"]),
        source="test",
    )
    orders.submit_order(request=request, actor="test", now=SystemClock().now())


def child(command: dict[str, Any]) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    failpoints.arm(command.get("failpoints", ""), seed=command.get("seed", 0))
    try:
        if command["do"] == "engine":
            engine()
        else:
            submit(command["order"])
    finally:
        sys.stderr.flush()
        os._exit(0)


def main() -> None:
    # Children are not waited for: the kernel removes them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(command)
        print(pid, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
