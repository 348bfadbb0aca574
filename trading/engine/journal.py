"""The journal in PostgreSQL. Calls of many accounts that arrive together are written in one transaction."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from markets.venue.ports import Balances, PreparedOrder, VenueTrade
from polyhub.lib.batching import Batcher
from polyhub.lib.clock import Clock
from trading.domain.orders import EngineState, OrderStatus
from trading.domain.reports import Answer, Claim, LeaseLost, OpenWork, OrderSeen, PendingOrder, SeenReport, TradeReport
from trading.engine.database import Database
from trading.engine.ports import JournalUnavailable, LeaseView
from trading.services import balances as balances_service
from trading.services import claiming, fills, outcomes, work

logger = logging.getLogger(__name__)

# Answers, fills and states of many accounts trickle in: a moment's patience makes one transaction of dozens.
LINGER_S = 0.005
# When so many orders leave together, what comes back waits a little: the processor belongs to those still to go out.
CROWD = 10
BUSY_S = 0.15

Item = TypeVar("Item")
Result = TypeVar("Result")


class DatabaseJournal:
    """Writes under one lease, and not without it. Every claim names its fencing token, which the database checks."""

    def __init__(self, *, database: Database, background: Database, lease: LeaseView, clock: Clock) -> None:
        """`background` serves reconciliation, so that many accounts' look-backs never delay an order."""
        self._database = database
        self._background = background
        self._lease = lease
        self._clock = clock
        self._busy_until = 0.0
        self._claims: Batcher[Claim, bool] = Batcher(self._flush_claims)
        self._answers: Batcher[Answer, None] = Batcher(self._flush_answers, linger_s=self._patience_s)
        self._trades: Batcher[Sequence[TradeReport], int] = Batcher(self._flush_trades, linger_s=self._patience_s)
        self._seen: Batcher[Sequence[SeenReport], int] = Batcher(self._flush_seen, linger_s=self._patience_s)
        self._states: Batcher[tuple[UUID, EngineState, str, bool], None] = Batcher(
            self._flush_states, linger_s=self._patience_s
        )

    async def claim(self, order: PendingOrder, prepared: PreparedOrder) -> bool:
        return await self._claims.submit(Claim(order.order_id, prepared.order_hash, prepared.wire))

    async def deny(self, order: PendingOrder, *, code: str, message: str) -> None:
        refusals = [(order.order_id, code, message)]
        await self._call(outcomes.deny, refusals=refusals, actor=self._lease.name, now=self._clock.now())

    async def answered(self, answer: Answer) -> None:
        await self._answers.submit(answer)

    async def allow_resend(self, order_id: int) -> bool:
        return await self._call(
            outcomes.count_attempt,
            order_id=order_id,
            service=self._lease.name,
            fencing_token=self._lease.token,
            now=self._clock.now(),
        )

    async def trades(self, account_id: UUID, trades: Sequence[VenueTrade]) -> int:
        if not trades:
            return 0
        return await self._trades.submit([TradeReport(account_id, trade) for trade in trades])

    async def seen(self, account_id: UUID, orders: Sequence[OrderSeen]) -> int:
        if not orders:
            return 0
        return await self._seen.submit([SeenReport(account_id, order) for order in orders])

    async def presume_not_placed(self, order_id: int, *, code: str) -> None:
        await self._call(
            outcomes.presume_not_placed,
            order_ids=[order_id],
            code=code,
            actor=self._lease.name,
            now=self._clock.now(),
        )

    async def close(self, order_id: int, *, to: OrderStatus, code: str) -> None:
        await self._call(
            outcomes.close, order_ids=[order_id], to=to, code=code, actor=self._lease.name, now=self._clock.now()
        )

    async def open_work(self, account_id: UUID) -> OpenWork:
        self._must_hold()
        return await self._background.call(work.open_work, account_id=account_id, now=self._clock.now())

    async def balances(self, account_id: UUID, balances: Balances) -> None:
        self._must_hold()
        drift = await self._background.call(
            balances_service.record_balances, account_id=account_id, balances=balances, now=self._clock.now()
        )
        if drift:
            logger.info("Cash differs from the venue's", extra={"account": str(account_id), "drift": str(drift)})

    async def state(self, account_id: UUID, state: EngineState, *, detail: str = "", reconciled: bool = False) -> None:
        await self._states.submit((account_id, state, detail, reconciled))

    def _patience_s(self) -> float:
        """How long to collect what is to be written: longer while a crowd of orders still has to go out."""
        return min(BUSY_S, max(LINGER_S, self._busy_until - asyncio.get_running_loop().time()))

    # -- one transaction for many accounts -----------------------------------------------------------------------

    async def _flush_claims(self, claims: Sequence[Claim]) -> Sequence[bool | BaseException]:
        if len(claims) >= CROWD:
            self._busy_until = asyncio.get_running_loop().time() + BUSY_S

        async def write(some: Sequence[Claim]) -> Sequence[bool]:
            statuses = await self._call(
                claiming.claim_orders,
                claims=some,
                service=self._lease.name,
                fencing_token=self._lease.token,
                now=self._clock.now(),
            )
            return [statuses.get(claim.order_id) is OrderStatus.SENT for claim in some]

        return await _apart(claims, write)

    async def _flush_answers(self, answers: Sequence[Answer]) -> Sequence[BaseException | None]:
        async def write(some: Sequence[Answer]) -> Sequence[None]:
            await self._call(outcomes.record_answers, answers=some, actor=self._lease.name, now=self._clock.now())
            return [None] * len(some)

        return await _apart(answers, write)

    async def _flush_trades(self, batches: Sequence[Sequence[TradeReport]]) -> Sequence[int | BaseException]:
        async def write(some: Sequence[Sequence[TradeReport]]) -> Sequence[int]:
            reports = [report for batch in some for report in batch]
            strange = await self._call(
                fills.record_trades, reports=reports, actor=self._lease.name, now=self._clock.now()
            )
            return [sum(report in strange for report in batch) for batch in some]

        return await _apart(batches, write)

    async def _flush_seen(self, batches: Sequence[Sequence[SeenReport]]) -> Sequence[int | BaseException]:
        async def write(some: Sequence[Sequence[SeenReport]]) -> Sequence[int]:
            reports = [report for batch in some for report in batch]
            strange = await self._call(
                outcomes.record_seen, reports=reports, actor=self._lease.name, now=self._clock.now()
            )
            return [sum(report in strange for report in batch) for batch in some]

        return await _apart(batches, write)

    async def _flush_states(
        self, states: Sequence[tuple[UUID, EngineState, str, bool]]
    ) -> Sequence[BaseException | None]:
        await self._call(work.write_states, states=states, now=self._clock.now())
        return [None] * len(states)

    async def _call(self, function: Callable[..., Result], **kwargs: Any) -> Result:
        self._must_hold()
        return await self._database.call(function, **kwargs)

    def _must_hold(self) -> None:
        if not self._lease.alive():
            raise LeaseLost("The lease has ended.", details={"service": self._lease.name})


async def _apart(items: Sequence[Item], write: Callable[[Sequence[Item]], Any]) -> Sequence[Any]:
    """Write all together; if that fails for a reason of one item, write one by one so that only it fails."""
    try:
        return list(await write(items))
    except (JournalUnavailable, LeaseLost):
        raise
    except Exception:
        if len(items) == 1:
            raise
        logger.exception("A batch failed and is written item by item", extra={"items": len(items)})
    results: list[Any] = []
    for item in items:
        try:
            results.extend(await write([item]))
        except (JournalUnavailable, LeaseLost):
            raise
        except Exception as error:
            results.append(error)
    return results
