"""This process's part of the venue's rate limits: what may be sent now, who waits, and whose turn is next.

Everything here is arithmetic on the monotonic clock; processes agree on their parts elsewhere (`share`). Whoever must
wait stands in line with others of the same endpoint, one party (account) after the other, so that nobody's flood keeps
the rest out. Hot path: 4 us while there is room.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from markets.venue.errors import Unavailable
from markets.venue.polymarket.endpoints import CANCELS, DEFAULT_TIER, LIMITS, ORDERS, SIGN_IN, TIERS, Endpoint, Limit

# A process that agreed with nobody (a check, a command) takes this part; the rest is for those that did.
GUEST_SHARE = 0.1
# Our clock and the venue's do not cut the same windows.
MARGIN = 0.95
BURST_MARGIN = 0.9
# Reads leave this part of the wide budgets to orders and cancels.
READS_LEAVE = 0.2
PATIENCE_S = 2.0
ORDER_PATIENCE_S = 1.0
# After a restart every account signs in again, a hundred in ten seconds at most: turning one away only costs more.
SIGN_IN_PATIENCE_S = 15.0
MAX_SIGNERS = 4096
TRADING, READING = "trading", "reading"
BACKOFF_S, BACKOFF_MAX_S = 1.0, 30.0
WIDE = frozenset({"all", "clob", "gamma", "data"})


class Window:
    """At most so many requests in any stretch of time, counted in twentieths of it. `hold_until` keeps it shut."""

    __slots__ = ("_counts", "_limit", "_step", "_window_s", "hold_until", "share", "used")

    def __init__(self, limit: Limit, *, share: float) -> None:
        self._limit, self._window_s, self._step = limit.requests * MARGIN, limit.window_s, limit.window_s / 20
        self.share, self.hold_until = share, 0.0
        self.used: int = 0
        self._counts: deque[list[float]] = deque()

    def wait_s(self, now: float, *, leave: float = 0.0) -> float:
        """Seconds until one more may go beside `leave` (a part of the whole); 0 when it may."""
        counts = self._counts
        # A slot's last request may have gone at its end.
        while counts and counts[0][0] + self._step + self._window_s <= now:
            self.used -= int(counts.popleft()[1])
        wait = self.hold_until - now if self.hold_until > now else 0.0
        over = self.used + 1 - self._limit * self.share * (1.0 - leave)
        if over <= 0 or not self.used:
            return wait
        for start, count in counts:
            over -= count
            if over <= 0:
                return max(wait, start + self._step + self._window_s - now)
        return max(wait, self._window_s)

    def take(self, now: float) -> None:
        if self._counts and now < self._counts[-1][0] + self._step:
            self._counts[-1][1] += 1
        else:
            self._counts.append([now, 1])
        self.used += 1

    def headroom(self, now: float) -> float:
        """What is left of our part, 0 to 1."""
        return 0.0 if self.wait_s(now) > 0 else max(0.0, 1.0 - self.used / (self._limit * self.share))


class Bucket:
    """Tokens that grow back: the signer's own limit. `hold_until` keeps it shut whatever it holds."""

    __slots__ = ("_at", "_capacity", "_rate", "hold_until", "tokens")

    def __init__(self, *, capacity: float, rate: float, now: float) -> None:
        self._capacity, self._rate = capacity, rate
        self.tokens, self._at, self.hold_until = capacity, now, 0.0

    def resize(self, *, capacity: float, rate: float) -> None:
        self._capacity, self._rate = capacity, rate
        self.tokens = min(self.tokens, capacity)

    def wait_s(self, cost: float, now: float) -> float:
        """Seconds until `cost` is there; 0 when it is. What is dearer than the whole goes when all is there."""
        if now > self._at:
            self.tokens = min(self._capacity, self.tokens + (now - self._at) * self._rate)
            self._at = now
        missing = min(cost, self._capacity) - self.tokens
        held = self.hold_until - now if self.hold_until > now else 0.0
        return max(held, missing / self._rate) if missing > 0 else held


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
    """One per process. `take` before each request, `answered` after it.

    `scale` widens every limit, for a venue that keeps none: the local one, unless it is told to.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        chance: random.Random,
        share: float = GUEST_SHARE,
        scale: float = 1.0,
        limits: Mapping[str, tuple[Limit, ...]] = LIMITS,
    ) -> None:
        self._monotonic = monotonic
        self._chance = chance
        self._scale = scale
        self._windows = {
            name: [Window(limit, share=share * scale) for limit in several] for name, several in limits.items()
        }
        self._signers: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._lanes: dict[str, _Lane] = {}
        self._strikes: dict[str, int] = {}
        self.taken = dict.fromkeys(self._windows, 0)
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
        own = self._signer(party, endpoint.signer_kind, now) if endpoint.signer_kind and party else None
        wait = own.wait_s(cost, now) if own is not None else 0.0
        leave = 0.0 if endpoint.signer_kind else READS_LEAVE
        # A batch is one request to the address, and so many orders to the signer.
        for name in endpoint.names:
            for window in self._windows[name]:
                wait = max(wait, window.wait_s(now, leave=leave if name in WIDE else 0.0))
        if wait > 0.0:
            return wait
        for name in endpoint.names:
            self.taken[name] += 1
            for window in self._windows[name]:
                window.take(now)
        if own is not None:
            own.tokens -= cost
        return 0.0

    async def _stand_in_line(self, endpoint: Endpoint, party: str, cost: float) -> None:
        patience = ORDER_PATIENCE_S if endpoint.signer_kind else PATIENCE_S
        if endpoint.lane == SIGN_IN:
            patience = SIGN_IN_PATIENCE_S
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
        own = self._signer(party, endpoint.signer_kind, now) if endpoint.signer_kind and party else None
        waits = [window.wait_s(now) for name in endpoint.names for window in self._windows[name]]
        return max([*waits, own.wait_s(cost, now) if own is not None else 0.0])

    def _signer(self, party: str, kind: str, now: float) -> Bucket:
        found = self._signers.get((party, kind))
        if found is None:
            rate, capacity = (each * self._scale for each in _tier(DEFAULT_TIER, kind))
            found = self._signers[party, kind] = Bucket(capacity=capacity, rate=rate, now=now)
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
        if own is not None and "Poly-RateLimit-Remaining" in headers:
            own.hold_until = max(own.hold_until, until)
        else:
            self.hold({endpoint.lane: pause})
        return pause

    def _believe(self, own: Bucket, kind: str, headers: Mapping[str, str]) -> None:
        tier = headers.get("Poly-RateLimit-Tier", "").lower()
        if tier in TIERS:
            rate, capacity = (each * self._scale for each in _tier(tier, kind))
            own.resize(capacity=capacity, rate=rate)
        remaining = _seconds(headers["Poly-RateLimit-Remaining"])
        if remaining is not None:
            own.tokens = min(own.tokens, remaining)

    # -- with the other processes --------------------------------------------------------------------------------

    def share(self, group: str, part: float) -> None:
        """This process's part (0 to 1) of every budget of a group (TRADING, READING)."""
        for name, several in self._windows.items():
            if group_of(name) == group:
                for window in several:
                    window.share = max(part, 1e-6) * self._scale

    def demand(self, group: str) -> int:
        """Requests of the last window, and those waiting, that count against the group."""
        sent: int = sum(several[0].used for name, several in self._windows.items() if group_of(name) == group)
        waiting = sum(
            len(queue)
            for name, lane in self._lanes.items()
            if group_of(name) == group
            for queue in lane.parties.values()
        )
        return sent + waiting

    def hold(self, seconds: Mapping[str, float]) -> None:
        """Shut budgets for a while."""
        now = self._monotonic()
        for name, pause in seconds.items():
            for window in self._windows.get(name, ()):
                window.hold_until = max(window.hold_until, now + pause)

    def held(self) -> dict[str, float]:
        """Budgets that are shut now, and for how many seconds."""
        now = self._monotonic()
        rests = {name: max(window.hold_until for window in several) - now for name, several in self._windows.items()}
        return {name: rest for name, rest in rests.items() if rest > 0}

    def headroom(self) -> dict[str, float]:
        """What is left of our part of each budget, 0 to 1."""
        now = self._monotonic()
        return {name: min(window.headroom(now) for window in several) for name, several in self._windows.items()}

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


def group_of(name: str) -> str:
    """Sending and cancelling orders is one thing processes share, everything else another."""
    return TRADING if name.startswith(("POST /order", "DELETE /")) else READING


def _tier(tier: str, kind: str) -> tuple[float, float]:
    """(rate, capacity), a little less than the venue's: requests bunch up on their way."""
    orders, orders_burst, cancels, cancels_burst = TIERS[tier]
    rate, burst = {ORDERS: (orders, orders_burst), CANCELS: (cancels, cancels_burst)}[kind]
    return rate * MARGIN, burst * BURST_MARGIN


def _seconds(text: str) -> float | None:
    try:
        return max(float(text), 0.0)
    except ValueError:
        return None
