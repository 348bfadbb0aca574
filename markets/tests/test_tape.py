"""The recorded tapes: true to their sources, masked, playable for ever, and rich enough to copy from."""

import gzip
from collections import defaultdict
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path

import polars as pl
import pytest

from markets.venue.sandbox import assumptions, build_tape, ctf, recordings, tape
from markets.venue.sandbox.core import Sandbox
from markets.venue.sandbox.events import BookEvent, LeaderTradeEvent, Tape
from markets.venue.sandbox.recordings import RecordedTrade
from markets.venue.sandbox.replay import Replay


@pytest.fixture(scope="module")
def demo() -> Tape:
    return tape.load("demo")


def trades_of(played: Tape) -> list[RecordedTrade]:
    return [event for event in played.events if isinstance(event, RecordedTrade)]


@pytest.mark.parametrize("name", tape.names())
def test_a_tape_is_in_order_and_names_only_its_own_tokens(name: str) -> None:
    played = tape.load(name)
    assert played.events
    assert all(earlier.at_ms <= later.at_ms for earlier, later in pairwise(played.events))
    known = {token for market in played.markets for token in market.token_ids}
    assert {event.token_id for event in played.events if isinstance(event, LeaderTradeEvent | BookEvent)} <= known


@pytest.mark.parametrize("name", tape.names())
def test_every_market_starts_at_a_price_its_book_can_hold(name: str) -> None:
    for market in tape.load(name).markets:
        assert market.first_price % market.tick_size == 0
        assert market.tick_size <= market.first_price <= 1 - market.tick_size


@pytest.mark.parametrize("name", tape.names())
def test_a_tape_tells_its_source_and_what_is_assumed(name: str) -> None:
    told = (tape.TAPES / name / "SOURCES.md").read_text()
    for word in ("replayed recording", "licence", "commit", "ssumed"):
        assert word in told or "../demo/SOURCES.md" in told


@pytest.mark.parametrize("name", ["demo", "busy-day"])
def test_every_token_id_follows_from_its_condition(name: str) -> None:
    for market in tape.load(name).markets[::10]:
        assert market.token_ids == ctf.token_ids(market.condition_id, neg_risk=market.neg_risk)


def test_token_ids_equal_those_of_a_known_market() -> None:
    condition = "0xdde06286a7b9464d344f410ab0b3d2ebc6469904e72c27fd982f65fdbf78768d"
    assert ctf.token_ids(condition, neg_risk=True) == (
        "65193234666628291664907888364936366210889305490897648116746073820519263548476",
        "28290293140018107764072370767749010110409017615323596573647425138985988593200",
    )


@pytest.mark.parametrize("name", ["demo", "busy-day"])
def test_wallets_have_no_name_but_a_mask_of_their_address(name: str) -> None:
    for trade in trades_of(tape.load(name)):
        assert trade.name == f"Leader {trade.wallet[2:6].upper()}"
        assert trade.pseudonym == ""


@pytest.mark.parametrize("name", tape.names())
def test_a_tape_holds_no_handle_and_no_label(name: str) -> None:
    folder = tape.TAPES / name
    stored = gzip.decompress((folder / "events.jsonl.gz").read_bytes()).decode() + (folder / "tape.json").read_text()
    for word in ("is_bot", "insider", "whale", "profileImage"):
        assert word not in stored


def test_a_replay_goes_on_for_ever_with_fresh_hashes(demo: Tape) -> None:
    count = len(demo.events)
    played = list(islice(tape.replay(demo, salt="run 1"), 2 * count + 5))
    assert all(earlier.at_ms <= later.at_ms for earlier, later in pairwise(played))
    fills = [event for event in played if isinstance(event, LeaderTradeEvent)]
    keys = {(e.tx_hash, e.wallet, e.token_id, e.side, e.price, e.size) for e in fills}
    assert len(keys) == len(fills)
    assert not {event.tx_hash for event in fills} & {trade.tx_hash for trade in trades_of(demo)}


def test_a_replay_is_the_same_for_the_same_salt_and_another_for_another(demo: Tape) -> None:
    def first(salt: str) -> object:
        return next(tape.replay(demo, salt=salt))

    assert first("run 1") == first("run 1")
    assert first("run 1") != first("run 2")


def test_fills_of_one_order_stay_one_order_in_a_replay(demo: Tape) -> None:
    def orders(events: object) -> int:
        return len({(e.wallet, e.token_id, e.side, e.tx_hash) for e in events})  # type: ignore[attr-defined]

    assert orders(tape.replay(demo, salt="x", laps=1)) == orders(trades_of(demo))


def test_an_empty_tape_ends_instead_of_spinning() -> None:
    assert list(tape.replay(Tape(name="empty", markets=(), events=()), salt="x")) == []


def test_the_demo_offers_an_entry_within_each_minute_and_exits_within_the_first(demo: Tape) -> None:
    about = tape.header("demo")
    followed = set(about.featured[:8])
    start = demo.events[0].at_ms

    def seconds(event: LeaderTradeEvent) -> float:
        return (event.at_ms - start) / 1000 / about.speed

    entries = [seconds(e) for e in trades_of(demo) if e.wallet in followed and e.side == "BUY" and is_middling(e.price)]
    assert entries[0] < 30
    assert max(later - earlier for earlier, later in pairwise(entries)) < 60
    held: dict[str, set[str]] = defaultdict(set)
    exits = []
    for event in trades_of(demo):
        if event.wallet in followed:
            if event.side == "BUY":
                held[event.wallet].add(event.token_id)
            elif event.token_id in held[event.wallet]:
                exits.append(seconds(event))
    assert exits[0] < 60
    assert len(exits) > 100


def is_middling(price: Decimal) -> bool:
    return Decimal("0.05") <= price <= Decimal("0.95")


@pytest.mark.parametrize("name", tape.names())
def test_the_sandbox_plays_two_laps_without_leaving_anything_out(name: str) -> None:
    played = tape.load(name)
    sandbox = Sandbox(now_ms=lambda: 1_800_000_000_000, seed=1)
    sandbox.load_markets(played.markets)
    replayed = Replay(sandbox)
    for event in tape.replay(played, salt="test", laps=2):
        replayed.apply(event)
    sandbox.exchange.check()


def test_recorded_books_never_cross() -> None:
    for event in tape.load("sports-books").events:
        assert isinstance(event, BookEvent)
        assert max(price for price, _ in event.bids) < min(price for price, _ in event.asks)


def test_an_unknown_tape_is_refused_with_the_known_names() -> None:
    with pytest.raises(tape.TapeNotFound, match="busy-day, demo"):
        tape.load("no such tape")


@pytest.fixture
def activity(tmp_path: Path) -> Path:
    """Two days of /activity rows in the shape the source has them, with rows a tape must leave out."""
    condition = "0x" + "ab" * 32
    yes, no = ctf.token_ids(condition, neg_risk=False)
    common = {"conditionId": condition, "type": "TRADE", "slug": "btc-updown", "title": "Up or Down", "eventSlug": "e"}
    rows = [
        row | common
        for row in (
            fill(1_775_347_200, yes, 0, "BUY", 0.4, 10.0, "Up"),
            fill(1_775_347_260, no, 1, "BUY", 0.55, 20.0, "Down"),
            fill(1_775_347_320, yes, 0, "SELL", 0.97, 10.0, "Up"),
            fill(1_775_433_600, yes, 0, "SELL", 0.5, 10.0, "Up"),
        )
    ]
    rows.append(rows[0])
    rows.append(rows[0] | {"type": "REDEEM", "asset": "", "side": "", "outcomeIndex": 999, "price": 0.0})
    rows.append(rows[1] | {"price": 1.0})
    path = tmp_path / "activity.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def fill(at: int, token: str, index: int, side: str, price: float, size: float, outcome: str) -> dict[str, object]:
    return {
        "proxyWallet": "0x" + "Cd" * 20,
        "timestamp": at,
        "asset": token,
        "outcomeIndex": index,
        "side": side,
        "price": price,
        "size": size,
        "usdcSize": price * size,
        "outcome": outcome,
        "name": "a handle",
        "pseudonym": "a pseudonym",
        "transactionHash": "0x" + f"{at:064x}",
    }


def test_a_parquet_recording_plays_its_busiest_day_or_the_day_asked_for(activity: Path) -> None:
    assert len(tape.load(str(activity)).events) == 3
    assert len(tape.load(f"{activity}@2026-04-06").events) == 1


def test_a_parquet_recording_gives_a_whole_market(activity: Path) -> None:
    (market,) = tape.load(str(activity)).markets
    assert market.outcomes == ("Up", "Down")
    assert (market.category, market.fee_rate, market.neg_risk) == ("crypto", Decimal("0.07"), False)
    assert market.tick_size == Decimal("0.001")
    assert market.first_price == Decimal("0.4")


def test_a_token_that_its_condition_does_not_give_is_left_out(activity: Path) -> None:
    forged = pl.read_parquet(activity).with_columns(asset=pl.lit("12345"))
    forged.write_parquet(activity)
    assert tape.load(str(activity)).markets == ()
    assert tape.load(str(activity)).events == ()


def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(recordings.UnknownRecording, match=r"other\.parquet"):
        tape.load(str(tmp_path / "other.parquet"))


def test_a_written_tape_reads_back_the_same_and_twice_the_same_bytes(demo: Tape, tmp_path: Path) -> None:
    about = tape.header("demo")
    for folder in ("a", "b"):
        tape.write(tmp_path / folder, tape=demo, header=about)
    assert tape.load(str(tmp_path / "a")) == demo
    assert (tmp_path / "a/events.jsonl.gz").read_bytes() == (tmp_path / "b/events.jsonl.gz").read_bytes()


def test_shortened_pauses_keep_the_order_and_the_short_ones(demo: Tape) -> None:
    events = trades_of(demo)[:3]
    spaced = tuple(
        RecordedTrade(**{f: getattr(e, f) for f in e.__struct_fields__ if f != "at_ms"}, at_ms=at)
        for e, at in zip(events, (0, 5_000, 90_000_000), strict=True)
    )
    first, second, third = build_tape.shorten_pauses(spaced)
    assert second.at_ms - first.at_ms == 5_000
    assert 20_000 < third.at_ms - second.at_ms < 200_000


@pytest.mark.parametrize(
    ("title", "category"),
    [
        ("Bitcoin Up or Down - April 6, 12:20PM-12:25PM ET", "crypto"),
        ("Pistons vs. 76ers", "sports"),
        ("Will annual inflation be 3.8% in June?", "economics"),
        ("Israel closes its airspace by June 9?", "geopolitics"),
        ("Highest temperature in London on May 3?", "weather"),
        ("Blue tsunami in 2026?", "other"),
    ],
)
def test_a_market_is_put_in_a_category_by_its_words(title: str, category: str) -> None:
    assert assumptions.category_of(slug="", title=title) == category
    assert category in assumptions.FEE_RATES
