"""Questions to the venue that change nothing, for facts that could not be checked when they were written down.

Each gives an answer in words and whether it is what we rely on; None means that it could not be told.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from markets.venue import signing
from markets.venue.errors import VenueError
from markets.venue.polymarket import account_wire, chain, parse, wire
from markets.venue.polymarket.chain import LogRow
from markets.venue.polymarket.public import PublicClient
from markets.venue.polymarket.streams import ActivityStream
from markets.venue.polymarket.transport import Transport
from markets.venue.polymarket.wire import BadAnswer
from markets.venue.ports import LeaderTradeSeen

LOOK_BACK_BLOCKS = 30
STREAM_WAIT_S = 15.0
_DOMAIN_SEPARATOR = "0xf698da25"
_JSON: Final = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Finding:
    """`as_relied_on` is None when the venue did not tell."""

    answer: str
    as_relied_on: bool | None


class Probes:
    """Asked only when a person wants to know; each has a timeout of its own."""

    def __init__(self, transport: Transport, public: PublicClient) -> None:
        self._transport = transport
        self._public = public
        self._clob = transport.urls.clob

    def all(self) -> Mapping[str, Callable[[], Awaitable[Finding]]]:
        return {
            "clock": self.clock,
            "version": self.version,
            "region": self.region,
            "limit-headers": self.limit_headers,
            "market": self.market,
            "second-protocol": self.second_protocol,
            "data-api": self.data_api,
            "activity": self.activity,
            "chain-fills": self.chain_fills,
            "chain-domains": self.chain_domains,
        }

    async def clock(self) -> Finding:
        await self._transport.venue_clock.measure()
        offset = self._transport.venue_clock.offset_s()
        return Finding(f"{offset:+.1f} s ahead of ours", abs(offset) <= 5)

    async def version(self) -> Finding:
        told = await self._json(f"{self._clob}/version")
        return Finding(str(told), told == {"version": 2})

    async def region(self) -> Finding:
        if not self._transport.urls.geoblock:
            return Finding("no address to ask", None)
        answer = await self._transport.read(self._transport.urls.geoblock)
        found = msgspec.json.decode(answer.body, type=account_wire.Geoblock)
        return Finding(f"{found.country} {found.region}: {'blocked' if found.blocked else 'served'}", not found.blocked)

    async def limit_headers(self) -> Finding:
        """Whether answers without an account carry the rate-limit headers (they are said to be per signer)."""
        seen = await self._transport.headers_of(f"{self._clob}/time")
        named = sorted(name for name in seen if name.lower().startswith("poly-ratelimit"))
        return Finding(", ".join(named) or "none", None)

    async def market(self) -> Finding:
        """Trading terms and book of the largest open market, read as an order would need them."""
        (facts,) = await self._public.list_markets(limit=1)
        token = facts.outcomes[0].token_id
        terms = await self._public.terms(token_id=token)
        row = msgspec.json.decode(
            (await self._transport.read(f"{self._clob}/book?token_id={token}")).body, type=wire.BookRow
        )
        book = parse.book(row, received_ms=0)
        crossed = bool(book.bids and book.asks and book.bids[0].price_units >= book.asks[0].price_units)
        agree = book.tick_units == terms.tick_units
        words = (
            f"tick {terms.tick_units / 10_000:g}, minimum {terms.min_share_units / 1_000_000:g}, fee {terms.fee_rate}"
        )
        return Finding(f"{words}; book {'crossed' if crossed else 'sound'}", agree and not crossed)

    async def second_protocol(self) -> Finding:
        """Are there markets of the second protocol yet? Their signatures and ids were never seen live by us."""
        told = await self._json(f"{self._transport.urls.gamma}/markets/keyset?version=v2&limit=1")
        rows = told.get("markets") if isinstance(told, dict) else None
        if not rows:
            return Finding("none listed", None)
        ids = rows[0].get("positionIds") or []
        ours = bool(ids) and all(signing.is_v3_position(str(each)) for each in ids)
        return Finding(f"{rows[0].get('slug')}: position ids {'as' if ours else 'not as'} expected", ours)

    async def data_api(self) -> Finding:
        told = await self._json(f"{self._transport.urls.data}/v2/trades?limit=5&taker_only=false")
        rows = msgspec.convert(told, wire.DataPage[wire.PublicTradeRow], strict=False).data
        return Finding(f"{len(rows)} trades, newest at {max((row.timestamp for row in rows), default=0)}", bool(rows))

    async def activity(self) -> Finding:
        """Does the public stream tell trades with their wallets?"""
        stream = ActivityStream(self._transport, chance=random.Random(), silence_s=STREAM_WAIT_S)  # noqa: S311
        async with aclosing(stream.events()) as events:
            async for event in events:
                if isinstance(event, LeaderTradeSeen):
                    return Finding(f"a trade {event.received_ms / 1000 - event.traded_s:.1f} s old", True)
                if not event.connected:
                    return Finding(event.reason, False)
        return Finding("ended", False)

    async def chain_fills(self) -> Finding:
        """Are the newest OrderFilled logs of the three exchanges of the form we read?"""
        newest = int(await self._rpc("eth_blockNumber", [], str), 16)
        asked = {"address": list(chain.EXCHANGES), "topics": [chain.ORDER_FILLED]}
        span = {"fromBlock": hex(max(newest - LOOK_BACK_BLOCKS, 0)), "toBlock": hex(newest)}
        rows = await self._rpc("eth_getLogs", [{**asked, **span}], list[LogRow])
        fills = [chain.fill_of(row) for row in rows]
        return Finding(f"{len(fills)} fills in {LOOK_BACK_BLOCKS} blocks", bool(fills) or None)

    async def chain_domains(self) -> Finding:
        """Do the exchanges sign under the domains we compute? (Not every contract tells.)"""
        told = {}
        for domain in (signing.ORDINARY, signing.NEG_RISK, signing.POSITIONS_V3):
            try:
                asked = [{"to": domain.exchange, "data": _DOMAIN_SEPARATOR}, "latest"]
                told[domain.exchange] = (await self._rpc("eth_call", asked, str)) == "0x" + domain.separator.hex()
            except VenueError:
                continue
        if not told:
            return Finding("no contract tells its domain", None)
        return Finding(f"{sum(told.values())} of {len(told)} equal ours", all(told.values()))

    async def _json(self, url: str) -> Any:
        return _JSON.decode((await self._transport.read(url)).body)

    async def _rpc(self, method: str, params: list[Any], kind: Any) -> Any:
        node = self._transport.urls.rpc.split(",")[0]
        return await chain.question(self._transport, node, method, params, kind)


UNREADABLE: Final = (VenueError, BadAnswer, msgspec.MsgspecError, ValueError, TimeoutError, OSError)
