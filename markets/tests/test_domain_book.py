from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from markets.domain.book import BUY, SELL, Book

LEVELS = st.lists(st.tuples(st.integers(1, 9_999), st.integers(0, 50_000_000)), max_size=12)


def book_of(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Book:
    book = Book()
    book.replace(bids=bids, asks=asks)
    return book


def test_best_prices_are_the_highest_bid_and_the_lowest_ask() -> None:
    book = book_of([(4_700, 1), (4_800, 2)], [(5_100, 3), (5_000, 4)])
    assert (book.best_bid, book.best_ask) == (4_800, 5_000)
    assert book.levels(BUY) == [(4_800, 2), (4_700, 1)]
    assert book.levels(SELL) == [(5_000, 4), (5_100, 3)]


def test_zero_removes_a_level_and_unknown_levels_are_ignored() -> None:
    book = book_of([(4_800, 2)], [])
    book.apply_level(BUY, 4_800, 0)
    book.apply_level(BUY, 4_700, 0)
    assert book.best_bid is None
    assert book.levels(BUY) == []


def test_walk_takes_levels_in_order_and_stops_at_the_limit() -> None:
    book = book_of([], [(5_000, 10_000_000), (5_200, 10_000_000), (6_000, 10_000_000)])
    walk = book.walk(BUY, 25_000_000, limit_price_units=5_500)
    assert walk.filled_units == 20_000_000
    assert walk.cost_units == 10_200_000
    assert walk.worst_price_units == 5_200
    assert walk.average_price == Decimal("0.51")


def test_walk_rounds_against_the_taker() -> None:
    book = book_of([(3_333, 1)], [(3_333, 1)])
    assert book.walk(BUY, 1).cost_units == 1
    assert book.walk(SELL, 1).cost_units == 0


def test_walk_of_an_empty_book_fills_nothing() -> None:
    walk = Book().walk(SELL, 5)
    assert (walk.filled_units, walk.cost_units, walk.worst_price_units) == (0, 0, 0)
    assert walk.average_price == 0


def test_a_bid_at_the_ask_is_crossed() -> None:
    assert book_of([(5_000, 1)], [(5_000, 1)]).crossed
    assert not book_of([(4_999, 1)], [(5_000, 1)]).crossed


@given(LEVELS, LEVELS)
def test_applying_levels_one_by_one_equals_replacing(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
    one_by_one = Book()
    for side, levels in ((BUY, bids), (SELL, asks)):
        for price, size in levels:
            one_by_one.apply_level(side, price, size)
    whole = book_of(list(dict(bids).items()), list(dict(asks).items()))
    assert one_by_one.levels(BUY) == whole.levels(BUY)
    assert one_by_one.levels(SELL) == whole.levels(SELL)


@given(LEVELS, LEVELS)
def test_mirroring_twice_gives_the_same_book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
    book = book_of(bids, asks)
    twice = book.mirrored().mirrored()
    assert (twice.levels(BUY), twice.levels(SELL)) == (book.levels(BUY), book.levels(SELL))
