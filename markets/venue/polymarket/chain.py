"""Fills of watched wallets from the chain's own logs: the source that misses nothing once a block is there.

One filter asks for all wallets on all exchanges. Logs come over a socket where a node has one and by polling otherwise;
after each connect, `eth_getLogs` closes the gap since the last block that was seen whole. Nodes take turns when they
fail. What a node says of a log that a reorganisation removed is passed over: the trade is then told again, or never.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

import aiohttp
import msgspec
from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError

from markets.venue import signing
from markets.venue.errors import Unavailable, VenueError
from markets.venue.polymarket.transport import Transport
from markets.venue.ports import ActivityEvent, FeedStatus, LeaderTradeSeen, Side
from polyhub.lib import clock

logger = logging.getLogger(__name__)

ORDER_FILLED: Final = (
    "0x"
    + signing.keccak256(
        b"OrderFilled(bytes32,address,address,uint8,uint256,uint256,uint256,uint256,bytes32,bytes32)"
    ).hex()
)
EXCHANGES: Final = (signing.EXCHANGE, signing.NEG_RISK_EXCHANGE, signing.EXCHANGE_V3)
FIELDS: Final = ["uint8", "uint256", "uint256", "uint256", "uint256", "bytes32", "bytes32"]

POLL_S = 2.0
# A block comes about every two seconds: a socket that tells of none for so long is dead.
SILENCE_S = 15.0
GATHER_S = 0.2
RETRY_S, RETRY_MAX_S = 0.5, 10.0
OPEN_S = 10.0
# Public nodes answer for at most 10,000 blocks, and keep about a day and a half.
MAX_BLOCKS = 5_000
OVERLAP_BLOCKS = 5
_REMEMBERED = 8_192
_PRICE_STEP = Decimal("0.0000000001")


class LogRow(msgspec.Struct, frozen=True, rename="camel"):
    topics: list[str]
    data: str
    block_number: str
    transaction_hash: str
    log_index: str
    removed: bool = False


class Head(msgspec.Struct, frozen=True):
    number: str
    timestamp: str


class Answered(msgspec.Struct, frozen=True):
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"null")


class Told(msgspec.Struct, frozen=True):
    subscription: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Fill:
    """One OrderFilled log: `wallet` is whose order it was, as taker and as maker alike."""

    wallet: str
    token_id: str
    side: Side
    usdc_units: int
    share_units: int
    fee_units: int
    order_hash: str
    transaction_hash: str
    block: int
    log_index: int


def fill_of(row: LogRow) -> Fill:
    """Raises ValueError for what is no fill."""
    if len(row.topics) != 4 or row.topics[0].lower() != ORDER_FILLED:
        raise ValueError(f"{row.transaction_hash}: not an OrderFilled log")
    try:
        side, token, made, taken, fee, _, _ = abi_decode(FIELDS, bytes.fromhex(row.data.removeprefix("0x")))
    except DecodingError as error:
        raise ValueError(f"{row.transaction_hash}: {error}") from error
    if side not in (0, 1) or not made or not taken:
        raise ValueError(f"{row.transaction_hash}: side {side}, amounts {made} and {taken}")
    usdc, shares = (made, taken) if side == 0 else (taken, made)
    return Fill(
        wallet="0x" + row.topics[2][-40:].lower(),
        token_id=str(token),
        side=Side.BUY if side == 0 else Side.SELL,
        usdc_units=usdc,
        share_units=shares,
        fee_units=fee,
        order_hash=row.topics[1],
        transaction_hash=row.transaction_hash.lower(),
        block=int(row.block_number, 16),
        log_index=int(row.log_index, 16),
    )


def _together(fills: Iterable[Fill]) -> list[Fill]:
    """One fill for each order and transaction: the sums, in the order in which the first of each came."""
    sums: dict[tuple[str, str, str, Side], Fill] = {}
    for fill in fills:
        key = (fill.transaction_hash, fill.order_hash, fill.token_id, fill.side)
        so_far = sums.get(key)
        sums[key] = (
            fill
            if so_far is None
            else replace(
                so_far,
                usdc_units=so_far.usdc_units + fill.usdc_units,
                share_units=so_far.share_units + fill.share_units,
                fee_units=so_far.fee_units + fill.fee_units,
            )
        )
    return list(sums.values())


def log_filter(wallets: Iterable[str]) -> dict[str, Any]:
    """Everything the wallets filled, as takers and as makers."""
    topics = ["0x" + wallet.lower().removeprefix("0x").rjust(64, "0") for wallet in sorted(set(wallets))]
    return {"address": list(EXCHANGES), "topics": [ORDER_FILLED, None, topics]}


class ChainReader:
    """`place_of` gives a token's market and outcome. `watch` may be called at any time."""

    def __init__(
        self,
        transport: Transport,
        *,
        urls: Sequence[str],
        ws_urls: Sequence[str],
        place_of: Callable[[str], Awaitable[tuple[str, int]]],
        chance: random.Random,
        poll_s: float = POLL_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._transport = transport
        self._urls = list(urls)
        self._ws_urls = list(ws_urls)
        self._place_of = place_of
        self._chance = chance
        self._poll_s, self._silence_s = poll_s, silence_s
        self._wallets: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._times: OrderedDict[int, int] = OrderedDict()
        self._whole_until: int | None = None
        self._failures = 0
        self.bad_logs = self.switched = self.gaps_filled = 0

    def watch(self, wallets: Iterable[str]) -> None:
        """Whose fills to tell from now on."""
        wanted = frozenset(wallet.lower() for wallet in wallets)
        if wanted != self._wallets:
            self._wallets = wanted
            self._changed.set()

    async def events(self) -> AsyncGenerator[ActivityEvent, None]:
        """Fills as blocks come, each once. Endless; nodes that fail are replaced by the next."""
        while True:
            if not self._wallets:
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                async for event in self._listen() if self._ws_urls and self._failures % 2 == 0 else self._poll():
                    yield event
            except (VenueError, aiohttp.ClientError, TimeoutError, OSError, ValueError, msgspec.MsgspecError) as error:
                yield FeedStatus(connected=False, reason=getattr(error, "code", type(error).__name__))
                self._next_node()
                await asyncio.sleep(self._pause())

    # -- one node ------------------------------------------------------------------------------------------------

    async def _poll(self) -> AsyncGenerator[ActivityEvent, None]:
        """Without a socket: ask for what is new. With sockets configured, go back to them after a while."""
        rounds = 0
        while self._wallets and not (self._ws_urls and rounds > 10):
            async for event in self._fill_gap():
                yield event
            if rounds == 0:
                yield FeedStatus(connected=True)
            rounds += 1
            await asyncio.sleep(self._poll_s)
        self._failures = 0

    async def _listen(self) -> AsyncGenerator[ActivityEvent, None]:
        async with asyncio.timeout(OPEN_S):
            socket = await self._transport.socket(self._ws_urls[0])
        try:
            self._changed.clear()
            await socket.send_str(_request(1, "eth_subscribe", ["newHeads"]))
            await socket.send_str(_request(2, "eth_subscribe", ["logs", log_filter(self._wallets)]))
            names: dict[int, str] = {}
            # Logs of a transaction come one by one, and are told together.
            waiting: list[LogRow] = []
            is_open, heard = False, asyncio.get_running_loop().time()
            while True:
                message = await self._receive(socket, heard, waiting)
                if message is None:
                    async for fill in self._tell(waiting):
                        yield fill
                    waiting.clear()
                    continue
                heard = asyncio.get_running_loop().time()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise Unavailable(f"The node closed ({socket.close_code}).", code="CLOSED")
                answer = msgspec.json.decode(message.data, type=Answered)
                if answer.id is not None:
                    if bytes(answer.error) != b"null":
                        raise Unavailable("The node refused to subscribe.", code="SUBSCRIBE_REFUSED")
                    names[answer.id] = msgspec.json.decode(answer.result, type=str)
                    if len(names) == 2 and not is_open:
                        # Subscribed: whatever came before this moment is in the lists.
                        is_open, self._failures = True, 0
                        async for event in self._fill_gap():
                            yield event
                        yield FeedStatus(connected=True)
                    continue
                told = msgspec.json.decode(answer.params, type=Told)
                if told.subscription == names.get(1):
                    self._head(msgspec.json.decode(told.result, type=Head), is_open=is_open)
                else:
                    waiting.append(msgspec.json.decode(told.result, type=LogRow))
                if self._changed.is_set() and not waiting:
                    # Another filter: a new connection is the simplest way to have it without a gap.
                    return
        finally:
            await socket.close()

    async def _receive(
        self, socket: "aiohttp.ClientWebSocketResponse[bool]", heard: float, waiting: Sequence[LogRow]
    ) -> Any:
        """The next message; None when logs wait and nothing followed for a moment. Raises TimeoutError on silence."""
        left = heard + self._silence_s - asyncio.get_running_loop().time()
        try:
            return await socket.receive(timeout=min(GATHER_S, left) if waiting else max(left, 0.001))
        except TimeoutError:
            if waiting:
                return None
            raise

    def _head(self, head: Head, *, is_open: bool) -> None:
        number = int(head.number, 16)
        self._remember_time(number, int(head.timestamp, 16))
        # Its logs may come after the head itself: the block before it is whole.
        if is_open and self._whole_until is not None:
            self._whole_until = max(self._whole_until, number - 1)

    async def _fill_gap(self) -> AsyncGenerator[ActivityEvent, None]:
        """Logs since the last whole block; at the very beginning only those from now on."""
        newest = int(await self._call("eth_blockNumber", [], str), 16)
        first = newest if self._whole_until is None else self._whole_until + 1 - OVERLAP_BLOCKS
        for start in range(max(first, 0), newest + 1, MAX_BLOCKS):
            span = {"fromBlock": hex(start), "toBlock": hex(min(start + MAX_BLOCKS - 1, newest))}
            rows = await self._call("eth_getLogs", [{**log_filter(self._wallets), **span}], list[LogRow])
            before = len(self._seen)
            async for event in self._tell(rows):
                yield event
            self.gaps_filled += len(self._seen) - before
        self._whole_until = newest

    async def _tell(self, rows: Sequence[LogRow]) -> AsyncGenerator[LeaderTradeSeen, None]:
        """Fills of one order in one transaction are one, as the other sources tell it; each is told once."""
        for fill in _together(self._read(rows)):
            key = (fill.transaction_hash, fill.order_hash)
            if key in self._seen or fill.wallet not in self._wallets:
                continue
            received_ms = clock.to_ms(self._transport.clock.now())
            condition_id, outcome_index = await self._place_of(fill.token_id)
            traded_s = await self._time_of(fill.block)
            # Only what was told whole is remembered: a failure above tells it again.
            self._seen[key] = None
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            yield LeaderTradeSeen(
                wallet=fill.wallet,
                token_id=fill.token_id,
                condition_id=condition_id,
                side=fill.side,
                price=_price(fill),
                shares=f"{Decimal(fill.share_units).scaleb(-6):f}",
                transaction_hash=fill.transaction_hash,
                traded_s=traded_s,
                source="chain",
                received_ms=received_ms,
                outcome_index=outcome_index,
            )

    def _read(self, rows: Sequence[LogRow]) -> list[Fill]:
        fills = []
        for row in rows:
            if row.removed:
                continue
            try:
                fills.append(fill_of(row))
            except ValueError as error:
                self.bad_logs += 1
                logger.warning("A log cannot be read: %s", error)
        return fills

    # -- questions -----------------------------------------------------------------------------------------------

    async def _call(self, method: str, params: list[Any], kind: Any) -> Any:
        """One question to the node whose turn it is. Raises Unavailable."""
        return await question(self._transport, self._urls[0], method, params, kind)

    async def _time_of(self, block: int) -> int:
        if block not in self._times:
            head = await self._call("eth_getBlockByNumber", [hex(block), False], Head)
            self._remember_time(block, int(head.timestamp, 16))
        return self._times[block]

    def _remember_time(self, block: int, timestamp_s: int) -> None:
        self._times[block] = timestamp_s
        while len(self._times) > _REMEMBERED:
            self._times.popitem(last=False)

    def _next_node(self) -> None:
        self._failures += 1
        self.switched += 1
        for nodes in (self._urls, self._ws_urls):
            if nodes:
                nodes.append(nodes.pop(0))

    def _pause(self) -> float:
        longest = min(RETRY_S * 2.0 ** min(self._failures - 1, 10), RETRY_MAX_S)
        return longest * (0.5 + self._chance.random() / 2)


async def question(transport: Transport, node: str, method: str, params: list[Any], kind: Any) -> Any:
    """One JSON-RPC call, its result as `kind`. Raises Refused or Unavailable."""
    answer = await transport.ask(node, body=_request(1, method, params).encode())
    try:
        told = msgspec.json.decode(answer.body, type=Answered)
        if bytes(told.error) != b"null" or bytes(told.result) == b"null":
            raise Unavailable(f"{method}: {bytes(told.error)[:200].decode('utf-8', 'replace')}", code="NODE_REFUSED")
        return msgspec.json.decode(told.result, type=kind)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"{method}: {error}", code="BAD_ANSWER") from error


def _request(number: int, method: str, params: list[Any]) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).decode()


def _price(fill: Fill) -> str:
    exact = Decimal(fill.usdc_units) / Decimal(fill.share_units)
    return f"{exact.quantize(_PRICE_STEP, rounding=ROUND_HALF_EVEN):f}"
