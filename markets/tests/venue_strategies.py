"""Random orders as the venue would take them, for properties."""

from uuid import UUID

from hypothesis import strategies as st

from markets.venue.ports import OrderTerms, OrderType, Side

TICKS = (1000, 100, 50, 25, 10, 1)

keys = st.integers(1, 2**255).map(lambda number: number.to_bytes(32, "big"))
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
token_ids = st.one_of(
    st.integers(2**200, 2**256 - 1).map(str),
    # Module positions of the second protocol: 64 zero bits in the middle.
    st.tuples(st.integers(1, 2**150), st.integers(0, 2**40 - 1)).map(lambda parts: str((parts[0] << 104) + parts[1])),
)
terms = st.builds(
    OrderTerms,
    client_order_id=st.just(UUID(int=1)),
    token_id=token_ids,
    side=st.sampled_from(Side),
    order_type=st.sampled_from(OrderType),
    price_units=st.integers(1, 9999),
    share_units=st.integers(1, 10**12),
    maker_units=st.integers(1, 10**13),
    taker_units=st.integers(1, 10**13),
    salt=st.integers(0, 2**53),
    timestamp_ms=st.integers(0, 2**45),
    neg_risk=st.booleans(),
    expiration_s=st.integers(0, 2**33),
)


@st.composite
def grid_prices(draw: st.DrawFn) -> tuple[int, int]:
    """(tick, price on its grid), both in 1/10,000."""
    tick = draw(st.sampled_from(TICKS))
    return tick, tick * draw(st.integers(1, 10_000 // tick - 1))
