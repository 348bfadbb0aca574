"""A recording taken into the scanner's tables, and what is read back."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from markets.models import Market, Token
from markets.venue.sandbox import tape as tapes
from markets.venue.sandbox.events import LeaderTradeEvent, Tape
from markets.venue.sandbox.recordings import RecordedTrade
from scanner import selectors
from scanner.domain import figures
from scanner.models import Wallet, WalletTrade
from scanner.services import ingest

FEATURED = tapes.header("demo").featured[:4]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def demo() -> Tape:
    """The trades of the first featured wallets."""
    whole = tapes.load("demo")
    events = tuple(event for event in whole.events if isinstance(event, LeaderTradeEvent) and event.wallet in FEATURED)
    traded = {event.condition_id for event in events}
    markets = tuple(market for market in whole.markets if market.condition_id in traded)
    return msgspec.structs.replace(whole, markets=markets, events=events)


@pytest.fixture
def ingested(db: None, demo: Tape) -> Tape:
    ingest.ingest_tape(tape=demo, now=NOW)
    return demo


def test_every_recorded_trade_and_market_arrives_once(ingested: Tape) -> None:
    assert WalletTrade.objects.count() == len(ingested.events)
    assert Market.objects.count() == len(ingested.markets)
    assert Token.objects.count() == 2 * len(ingested.markets)
    assert not Market.objects.filter(fee_rate__isnull=True).exists()


def test_taking_the_same_tape_twice_changes_nothing(ingested: Tape) -> None:
    before = list(Wallet.objects.order_by("id").values())
    ingest.ingest_tape(tape=ingested, now=NOW)
    assert list(Wallet.objects.order_by("id").values()) == before
    assert WalletTrade.objects.count() == len(ingested.events)


def test_what_the_venue_says_of_a_market_outlives_the_recording(ingested: Tape) -> None:
    condition = ingested.markets[0].condition_id
    Market.objects.filter(condition_id=condition).update(fee_rate=Decimal("0.031"))
    ingest.ingest_tape(tape=ingested, now=NOW)
    assert Market.objects.get(condition_id=condition).fee_rate == Decimal("0.031")


def test_a_wallet_bears_a_masked_name_and_its_true_times(ingested: Tape) -> None:
    first = min(event.recorded_ms for event in ingested.events if isinstance(event, RecordedTrade))
    sample = selectors.sample()
    assert sample.first_trade_at is not None
    assert sample.first_trade_at.timestamp() * 1000 == first
    assert sample.trades == len(ingested.events)
    assert all(
        alias == f"Leader {address[2:6].upper()}" for alias, address in Wallet.objects.values_list("alias", "address")
    )


def test_the_figures_of_a_row_are_those_of_its_trades(ingested: Tape) -> None:
    address = FEATURED[0]
    wallet = selectors.wallet_named(address=address)
    trades = [trade for _, trade in selectors.recorded_trades(wallet_ids=[wallet.pk])]
    measured = figures.measure(trades)
    assert (wallet.trades, wallet.closed_positions) == (measured.trades, measured.closed_positions)
    assert wallet.volume_usdc == measured.volume_usdc
    assert wallet.closed_pnl_usdc == measured.closed_pnl_usdc


def test_every_featured_wallet_closed_positions_in_the_sample(ingested: Tape) -> None:
    wallets = Wallet.objects.filter(address__in=FEATURED)
    assert len(wallets) == len(FEATURED)
    assert all(wallet.closed_positions >= 3 for wallet in wallets)


@pytest.mark.parametrize("order_by", selectors.ORDER_NAMES)
def test_leaders_come_in_each_order_and_unknown_profit_last(ingested: Tape, order_by: str) -> None:
    wallets = list(selectors.leaders(order_by=order_by))
    assert len(wallets) == Wallet.objects.count()
    if order_by == "pnl":
        unknown = [wallet.closed_pnl_usdc is None for wallet in wallets]
        assert unknown == sorted(unknown)


def test_an_unknown_order_is_refused_by_name(db: None) -> None:
    with pytest.raises(selectors.UnknownOrder, match="volume"):
        selectors.leaders(order_by="password")


def test_leaders_are_found_by_a_part_of_name_or_address(ingested: Tape) -> None:
    address = FEATURED[0]
    assert [wallet.address for wallet in selectors.leaders(search=address[10:30])] == [address]
    assert address in [wallet.address for wallet in selectors.leaders(search=f"leader {address[2:6]}")]
    assert not selectors.leaders(search="nobody at all").exists()


def test_a_profile_counts_each_trade_once_whichever_way_it_is_cut(ingested: Tape) -> None:
    profile = selectors.wallet_profile(address=FEATURED[0].upper().replace("0X", "0x"))
    assert sum(map(sum, profile.hours)) == profile.wallet.trades
    assert sum(profile.entry_prices) == profile.wallet.buys
    assert profile.equity[-1][1] == profile.wallet.closed_pnl_usdc
    markets = selectors.markets_of(wallet=profile.wallet)
    assert len(markets) == profile.wallet.markets
    assert sum(market.trades for market in markets) == profile.wallet.trades
    assert abs(sum(each.bought_usdc + each.sold_usdc for each in markets) - profile.wallet.volume_usdc) < Decimal(
        "0.01"
    )


def test_reading_a_leaderboard_page_takes_one_query(ingested: Tape, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(1):  # type: ignore[operator]
        list(selectors.leaders(order_by="pnl")[:25])


def test_reading_a_wallet_page_takes_as_many_queries_for_many_trades(
    ingested: Tape, django_assert_num_queries: object
) -> None:
    wallet = selectors.wallet_named(address=FEATURED[0])
    with django_assert_num_queries(5):  # type: ignore[operator]
        selectors.wallet_profile(address=wallet.address)
        selectors.markets_of(wallet=wallet)
        list(selectors.trades_of(wallet=wallet)[:50])


def test_a_wallet_nobody_recorded_is_not_found(db: None) -> None:
    with pytest.raises(selectors.WalletNotFound):
        selectors.wallet_profile(address="0x" + "0" * 40)
