"""kill -9 at every step of an order's life, with every fault of the venue: no order doubled, none lost, no ghost.

The number of random kills is CRASH_KILLS (100).
"""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from markets.models import Token
from markets.venue.sandbox.testing import RunningSandbox, running_sandbox
from polyhub.tests import crash_rig
from polyhub.tests.crash_rig import CrashRig
from trading.models import Order

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = int(os.environ.get("CRASH_KILLS", "100"))
SEED = int(os.environ.get("CRASH_SEED", "20261120"))
BIDS = [("0.48", "1000000"), ("0.47", "1000000")]
ASKS = [("0.50", "1000000"), ("0.51", "1000000")]

SUBMIT_STEPS = ("F0", "F1", "F2")
SIGNER_STEPS = ("F3", "F4")
ENGINE_STEPS = ("F5", "F6", "F7", "F8", "F9", "F10", "F11")
ORDER_ROUTE = {"route": "/clob/order", "method": "POST"}
FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "delay": {"name": "delay", "seconds": 0.15, **ORDER_ROUTE},
    "5xx before": {"name": "http_5xx", **ORDER_ROUTE},
    "5xx after": {"name": "http_5xx_after", **ORDER_ROUTE},
    "drop reply": {"name": "drop_reply", **ORDER_ROUTE},
    "late accept": {"name": "late_accept", "seconds": 0.8},
    "failed settlement": {"name": "failed_settlement"},
    "silent socket": {"name": "silent_socket", "channel": "user"},
}
# An engine that was not killed by its failpoint in this time is killed by hand.
PATIENCE_S = 1.2


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(mined_after_ms=60, confirmed_after_ms=120) as running:
        yield running


@pytest.fixture
def rig(sandbox: RunningSandbox, tmp_path: Path, settings: Any) -> Iterator[CrashRig]:
    with tempfile.TemporaryDirectory(prefix="phs") as folder:
        settings.SIGNER_SOCKET = str(Path(folder) / "s.sock")
        crash_rig.make_vault(tmp_path, settings)
        made = CrashRig(sandbox, tmp_path)
        made.start()
        try:
            yield made
        finally:
            made.stop()
            sandbox.clear_faults()
    assert django_settings.SIGNER_SOCKET


def market(rig: CrashRig, slug: str) -> Token:
    from decimal import Decimal

    from markets.models import Market
    from trading.tests.engine_rig import CLOCK

    made = rig.sandbox.create_market(slug, bids=BIDS, asks=ASKS, fee_rate="0.05")
    row = Market.objects.create(
        condition_id=made.condition_id, slug=slug, fee_rate=Decimal("0.05"), updated_at=CLOCK.now()
    )
    return Token.objects.create(token_id=made.yes, market=row, outcome="Yes", outcome_index=0)


def stock(rig: CrashRig, token: Token) -> None:
    """Every account owns shares to sell, bought in peace."""
    for account in rig.accounts:
        asked = rig.order(account, token, 0) | {"shares": "400"}
        rig.asked[-1] = asked
    rig.converge()


def test_every_step_with_every_fault(rig: CrashRig) -> None:
    for _ in FAULTS:
        rig.open_account()
    token = market(rig, "crash-every-step")
    stock(rig, token)
    kind = killed = 0
    for step in (*SUBMIT_STEPS, *SIGNER_STEPS, *ENGINE_STEPS):
        for account, fault in zip(rig.accounts, FAULTS.values(), strict=True):
            kind += 1
            rig.sandbox.clear_faults()
            if fault:
                rig.sandbox.fault(**fault)
            order = rig.order(account, token, kind)
            rig.submit(order, failpoints=f"{step}:kill" if step in SUBMIT_STEPS else "")
            if step in SUBMIT_STEPS:
                # The decider that died is run again, and asks for the same order.
                rig.submit(order)
            if step in SIGNER_STEPS:
                rig.start_signer(f"{step}:kill")
            with rig.engine(f"{step}:kill" if step in ENGINE_STEPS else "") as pid:
                killed += crash_rig.died(pid, within_s=PATIENCE_S)
            if step in SIGNER_STEPS:
                rig.start_signer()
    rig.converge()
    rig.check()
    # The test is worth something only if engines died at their steps and most orders reached the venue.
    assert killed >= len(ENGINE_STEPS) * len(FAULTS) // 2, killed
    placed = Order.objects.filter(status__in=sorted(crash_rig.PLACED)).count()
    assert placed >= len(rig.asked) // 2, f"{placed} of {len(rig.asked)}"


def test_random_kills(rig: CrashRig) -> None:
    chance = random.Random(SEED)
    for _ in range(3):
        rig.open_account()
    token = market(rig, "crash-random")
    stock(rig, token)
    armed = ",".join(f"{step}:kill@0.15" for step in ENGINE_STEPS)
    faults = [fault for fault in FAULTS.values() if fault]
    kills = 0
    while kills < KILLS:
        rig.sandbox.clear_faults()
        if chance.random() < 0.7:
            rig.sandbox.fault(**chance.choice(faults), probability=0.5)
        if chance.random() < 0.1:
            rig.start_signer(f"{chance.choice(SIGNER_STEPS)}:kill@0.5")
        for account in rig.accounts:
            rig.submit(rig.order(account, token, chance.randrange(len(crash_rig.MIX))))
        with rig.engine(armed, seed=chance.randrange(1, 10**9)) as pid:
            crash_rig.died(pid, within_s=chance.uniform(0.2, 1.0))
        kills += 1
        if rig.signer is None or rig.signer.poll() is not None:
            rig.start_signer()
    rig.start_signer()
    rig.converge()
    rig.check()
