"""The venue's clock in our hands: jumps of the wall clock change no stamp and stop orders before they are wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from markets.venue import lifetimes
from markets.venue.errors import Refused, Unavailable
from markets.venue.polymarket.venue_clock import VenueClock

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class World:
    """True time, a wall clock that may be wrong, and a venue that cuts its seconds."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.wall_off = 0.0
        self.asked = 0
        self.away = False

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed + self.wall_off)

    def monotonic(self) -> float:
        return 500.0 + self.elapsed

    async def venue_s(self) -> int:
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        self.elapsed += 0.05
        return int(START.timestamp() + self.elapsed)

    def true_s(self) -> float:
        return START.timestamp() + self.elapsed


def a_clock(world: World) -> VenueClock:
    return VenueClock(wall=world, monotonic=world.monotonic, ask=world.venue_s)


@pytest.mark.parametrize("off_s", [2, -2, 4, -4])
async def test_c01_a_small_offset_is_corrected_in_every_stamp(off_s: float) -> None:
    world = World()
    world.wall_off = off_s
    clock = a_clock(world)
    await clock.measure()
    world.elapsed += 1000
    assert abs(clock.now_s() - world.true_s()) <= 1
    assert clock.offset_s() == pytest.approx(-off_s, abs=1)
    await clock.trusted()


@pytest.mark.parametrize("off_s", [30, -30, 3600, -3600, -10])
async def test_c01_beyond_five_seconds_no_new_order_is_prepared(off_s: float) -> None:
    world = World()
    clock = a_clock(world)
    await clock.measure()
    await clock.trusted()
    # The wall clock steps after everything was fine.
    world.wall_off = off_s
    with pytest.raises(Refused) as told:
        await clock.trusted()
    assert told.value.code == "CLOCK_OFFSET"
    assert abs(clock.now_s() - world.true_s()) <= 1
    world.wall_off = 0
    await clock.trusted()


async def test_c01_a_paused_machine_is_measured_again_before_anything_is_refused() -> None:
    world = World()
    clock = a_clock(world)
    await clock.measure()
    # Five minutes in which the monotonic clock stood still; the wall clock was put right on waking.
    held = world.monotonic()
    world.elapsed += 300
    stood_still = VenueClock(wall=world, monotonic=lambda: held + world.elapsed - 300, ask=world.venue_s)
    stood_still._venue_s, stood_still._at = clock._venue_s, clock._at
    assert abs(stood_still.offset_s()) > 5
    with pytest.raises(Refused):
        await stood_still.trusted()
    world.elapsed += 11
    await stood_still.trusted()
    assert abs(stood_still.offset_s()) <= 1


async def test_the_venue_is_asked_once_however_many_want_to_know() -> None:
    world = World()
    clock = a_clock(world)
    for _ in range(5):
        await clock.measure(older_than_s=60)
        await clock.trusted()
    assert world.asked == 1
    world.elapsed += 61
    await clock.measure(older_than_s=60)
    assert world.asked == 2


async def test_a_venue_that_is_away_leaves_the_last_measurement() -> None:
    world = World()
    clock = a_clock(world)
    await clock.measure()
    world.away = True
    with pytest.raises(Unavailable):
        await clock.measure()
    assert abs(clock.now_s() - world.true_s()) <= 1


@pytest.mark.parametrize("life_s", [120, 121, 600, 86_400])
def test_c01_a_gtd_end_is_never_less_than_three_minutes_ahead(life_s: int) -> None:
    stated = lifetimes.gtd_expiration_s(now_s=1_790_000_000, life_s=life_s)
    assert stated - 1_790_000_000 >= 180
    assert stated - lifetimes.EARLY_S - 1_790_000_000 == life_s


@pytest.mark.parametrize("life_s", [-1, 0, 60, 119])
def test_c01_a_shorter_life_than_the_venue_takes_is_refused(life_s: int) -> None:
    with pytest.raises(lifetimes.BadLifetime):
        lifetimes.gtd_expiration_s(now_s=1_790_000_000, life_s=life_s)
