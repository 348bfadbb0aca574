"""This process's part of the venue's rate limits: what may be sent now, who waits, and whose turn is next.

Everything here is arithmetic on the monotonic clock; processes agree on their parts elsewhere (`share`). Whoever must
wait stands in line with others of the same endpoint, one party (account) after the other, so that nobody's flood keeps
the rest out. Hot path: 5 us while there is room.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from markets.venue.errors import Unavailable
from markets.venue.polymarket.endpoints import CANCELS, DEFAULT_TIER, LIMITS, ORDERS, TIERS, Endpoint, Limit

# A process that agreed with nobody (a check, a command) takes this part; the rest is for those that did.
GUEST_SHARE = 0.1
# Of a window's requests so much at once, the rest evenly: together never more than the window allows.
BURST = 0.25
# Reads leave this part of the wide budgets to orders and cancels.
READS_LEAVE = 0.2
PATIENCE_S = 2.0
ORDER_PATIENCE_S = 1.0
MAX_SIGNERS = 4096
BACKOFF_S, BACKOFF_MAX_S = 1.0, 30.0
WIDE = frozenset({"all", "clob", "gamma", "data"})


class Bucket:
    """Tokens that grow back. `hold_until` keeps it shut whatever it holds."""

    __slots__ = ("_rate", "at", "capacity", "hold_until", "share", "tokens")

    def __init__(self, *, capacity: float, rate: float, share: float, now: float) -> None:
        self.capacity, self._rate, self.share = capacity, rate, share
        self.tokens, self.at, self.hold_until = capacity * share, now, 0.0

    @classmethod
    def of(cls, limit: Limit, *, share: float, now: float) -> "Bucket":
        burst = limit.requests * BURST
        return cls(capacity=burst, rate=(limit.requests - burst) / limit.window_s, share=share, now=now)

    def resize(self, *, capacity: float, rate: float) -> None:
        self.capacity, self._rate = capacity, rate
        self.tokens = min(self.tokens, capacity * self.share)

    def refill(self, now: float) -> None:
        if now > self.at:
            self.tokens = min(self.capacity * self.share, self.tokens + (now - self.at) * self._rate * self.share)
            self.at = now

    def wait_s(self, cost: float, now: float, *, leave: float = 0.0) -> float:
        """Seconds until `cost` is there beside `leave` (a part of the capacity); 0 when it is. After `refill`."""
        held = max(0.0, self.hold_until - now)
        full = self.capacity * self.share
        # A batch dearer than the whole bucket goes when the bucket is full, and leaves a debt.
        missing = min(cost + leave * full, full) - self.tokens
        return max(held, missing / (self._rate * self.share) if missing > 0 else 0.0)

    def headroom(self, now: float) -> float:
        """What is left, 0 to 1."""
        self.refill(now)
        return 0.0 if self.hold_until > now else max(0.0, self.tokens / (self.capacity * self.share))


@dataclass(slots=True)
class _Waiter:
    endpoint: Endpoint
    party: str
    cost: float
    turn: "asyncio.Future[None]"


@dataclass(slots=True)
class _Lane:
    """Those who wait for one endpoint: a queue per party, and whose turn it is."""

    parties: "OrderedDict[str, deque[_Waiter]]" = field(default_factory=OrderedDict)
    timer: asyncio.TimerHandle | None = None


class Budget:
    """One per process. `take` before each request, `answered` after it."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        chance: random.Random,
        share: float = GUEST_SHARE,
        limits: Mapping[str, tuple[Limit, ...]] = LIMITS,
    ) -> None:
        self._monotonic = monotonic
        self._chance = chance
        now = monotonic()
        self._buckets = {
            name: [Bucket.of(limit, share=share, now=now) for limit in several] for name, several in limits.items()
        }
        self._signers: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._lanes: dict[str, _Lane] = {}
        self._strikes: dict[str, int] = {}
        self.taken = dict.fromkeys(self._buckets, 0)
        self.waited = self.turned_away = self.limited = 0

    # -- before a request ----------------------------------------------------------------------------------------

    async def take(self, endpoint: Endpoint, *, party: str = "", cost: int = 1) -> None:
        """Return when the request may go. Raises Unavailable (RATE_LIMITED) when that would take too long."""
        if endpoint.lane not in self._lanes and self._grab(endpoint, party, cost) <= 0.0:
            return
        await self._stand_in_line(endpoint, party, cost)

    def _grab(self, endpoint: Endpoint, party: str, cost: float) -> float:
        """Take what the request costs and return 0, or take nothing and return the seconds to wait."""
        now = self._monotonic()
        wait = 0.0
        own = self._signer(party, endpoint.signer_kind, now) if endpoint.signer_kind and party else None
        if own is not None:
            own.refill(now)
            wait = own.wait_s(cost, now)
        leave = 0.0 if endpoint.signer_kind else READS_LEAVE
        # A batch is one request to the address, and so many orders to the signer.
        for name in endpoint.names:
            for bucket in self._buckets[name]:
                bucket.refill(now)
                wait = max(wait, bucket.wait_s(1, now, leave=leave if name in WIDE else 0.0))
        if wait > 0.0:
            return wait
        for name in endpoint.names:
            self.taken[name] += 1
            for bucket in self._buckets[name]:
                bucket.tokens -= 1
        if own is not None:
            own.tokens -= cost
        return 0.0

    async def _stand_in_line(self, endpoint: Endpoint, party: str, cost: float) -> None:
        patience = ORDER_PATIENCE_S if endpoint.signer_kind else PATIENCE_S
        if self.wait_s(endpoint, party=party, cost=cost) > patience:
            raise self._turn_away(endpoint, party, cost)
        lane = self._lanes.setdefault(endpoint.lane, _Lane())
        waiter = _Waiter(endpoint, party, cost, asyncio.get_running_loop().create_future())
        is_first = party not in lane.parties
        lane.parties.setdefault(party, deque()).append(waiter)
        self.waited += 1
        if is_first:
            # The others may only be waiting for budgets of their own.
            self._serve(endpoint.lane)
        try:
            async with asyncio.timeout(patience):
                await waiter.turn
        except TimeoutError:
            raise self._turn_away(endpoint, party, cost) from None
        finally:
            if not waiter.turn.done() or waiter.turn.cancelled():
                self._leave(lane, waiter)

    def _turn_away(self, endpoint: Endpoint, party: str, cost: float) -> Unavailable:
        self.turned_away += 1
        wait = self.wait_s(endpoint, party=party, cost=cost)
        return Unavailable("Our part of the venue's rate limit is used up.", code="RATE_LIMITED", retry_after_s=wait)

    def _serve(self, name: str) -> None:
        """Give every party one turn after the other, while there is room; then sleep until there is again."""
        lane = self._lanes.get(name)
        if lane is None:
            return
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        soonest = float("inf")
        stuck = 0
        while lane.parties and stuck < len(lane.parties):
            party, waiting = next(iter(lane.parties.items()))
            lane.parties.move_to_end(party)
            wait = self._grab(waiting[0].endpoint, party, waiting[0].cost)
            if wait > 0.0:
                # Perhaps only this party's own budget is used up.
                soonest, stuck = min(soonest, wait), stuck + 1
                continue
            stuck = 0
            waiting.popleft().turn.set_result(None)
            if not waiting:
                del lane.parties[party]
        if lane.parties:
            lane.timer = asyncio.get_running_loop().call_later(max(soonest, 0.001), self._serve, name)
        else:
            del self._lanes[name]

    def _leave(self, lane: _Lane, waiter: _Waiter) -> None:
        waiting = lane.parties.get(waiter.party)
        if waiting is not None and waiter in waiting:
            waiting.remove(waiter)
            if not waiting:
                del lane.parties[waiter.party]

    def wait_s(self, endpoint: Endpoint, *, party: str = "", cost: float = 1) -> float:
        """How long a request asked for now would wait for room, not counting who stands before it."""
        now = self._monotonic()
        buckets = [bucket for name in endpoint.names for bucket in self._buckets[name]]
        own = self._signer(party, endpoint.signer_kind, now) if endpoint.signer_kind and party else None
        for bucket in buckets:
            bucket.refill(now)
        waits = [bucket.wait_s(1, now) for bucket in buckets]
        return max(*waits, own.wait_s(cost, now) if own is not None else 0.0)

    def _signer(self, party: str, kind: str, now: float) -> Bucket:
        found = self._signers.get((party, kind))
        if found is None:
            rate, capacity = _tier(DEFAULT_TIER, kind)
            found = self._signers[party, kind] = Bucket(capacity=capacity, rate=rate, share=1.0, now=now)
            if len(self._signers) > MAX_SIGNERS:
                self._signers.popitem(last=False)
        return found

    def debit(self, *, party: str, kind: str, cost: int) -> None:
        """Count what a request turned out to cost beside its own one (cancel-all costs each order it ended)."""
        own = self._signers.get((party, kind))
        if own is not None:
            own.tokens -= cost

    # -- after an answer -----------------------------------------------------------------------------------------

    def answered(self, endpoint: Endpoint, *, party: str, status: int, headers: Mapping[str, str]) -> float | None:
        """Believe what the venue says of its own count; on 429 hold back, and return for how many seconds."""
        own = self._signers.get((party, endpoint.signer_kind))
        if own is not None and "Poly-RateLimit-Remaining" in headers:
            self._believe(own, endpoint.signer_kind, headers)
        if status != 429:
            self._strikes.pop(endpoint.lane, None)
            return None
        self.limited += 1
        announced = _seconds(headers.get("Retry-After", ""))
        strikes = self._strikes[endpoint.lane] = self._strikes.get(endpoint.lane, 0) + 1
        backoff = min(BACKOFF_S * 2.0 ** min(strikes - 1, 10), BACKOFF_MAX_S)
        pause = announced if announced is not None else backoff * (0.5 + self._chance.random() / 2)
        until = self._monotonic() + pause
        # The signer's own count is named in its headers; everything else is this machine's.
        held = [own] if own is not None and "Poly-RateLimit-Remaining" in headers else self._buckets[endpoint.lane]
        for bucket in held:
            bucket.hold_until = max(bucket.hold_until, until)
        return pause

    def _believe(self, own: Bucket, kind: str, headers: Mapping[str, str]) -> None:
        tier = headers.get("Poly-RateLimit-Tier", "").lower()
        if tier in TIERS:
            rate, capacity = _tier(tier, kind)
            own.resize(capacity=capacity, rate=rate)
        remaining = _seconds(headers["Poly-RateLimit-Remaining"])
        if remaining is not None:
            own.tokens = min(own.tokens, remaining)

    # -- with the other processes --------------------------------------------------------------------------------

    def share(self, part: float) -> None:
        """This process's part (0 to 1) of every budget of the address."""
        now = self._monotonic()
        for several in self._buckets.values():
            for bucket in several:
                bucket.refill(now)
                bucket.share = max(part, 1e-6)
                bucket.tokens = min(bucket.tokens, bucket.capacity * bucket.share)

    def hold(self, seconds: Mapping[str, float]) -> None:
        """Pauses other processes were told of."""
        now = self._monotonic()
        for name, pause in seconds.items():
            for bucket in self._buckets.get(name, ()):
                bucket.hold_until = max(bucket.hold_until, now + pause)

    def held(self) -> dict[str, float]:
        """Budgets that are shut now, and for how many seconds."""
        now = self._monotonic()
        rests = {name: max(bucket.hold_until for bucket in several) - now for name, several in self._buckets.items()}
        return {name: rest for name, rest in rests.items() if rest > 0}

    def headroom(self) -> dict[str, float]:
        """What is left of our part of each budget, 0 to 1."""
        now = self._monotonic()
        return {name: min(bucket.headroom(now) for bucket in several) for name, several in self._buckets.items()}

    def detail(self) -> dict[str, object]:
        """For people: the tightest budget, and how often anything had to wait."""
        tightest = min(self.headroom().items(), key=lambda item: item[1])
        return {
            "tightest": tightest[0],
            "headroom": round(tightest[1], 3),
            "waited": self.waited,
            "turned_away": self.turned_away,
            "limited": self.limited,
        }


def _tier(tier: str, kind: str) -> tuple[int, int]:
    orders, orders_burst, cancels, cancels_burst = TIERS[tier]
    return {ORDERS: (orders, orders_burst), CANCELS: (cancels, cancels_burst)}[kind]


def _seconds(text: str) -> float | None:
    try:
        return max(float(text), 0.0)
    except ValueError:
        return None
