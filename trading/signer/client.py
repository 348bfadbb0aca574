"""The engines' side of the signer's socket. Nothing here can make a signature leave twice with other bytes."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import msgspec

from markets.venue.errors import Refused, Unavailable, VenueError
from markets.venue.signers import SignedAuth, SignedOrder, SignRequest
from polyhub.lib.batching import Batcher
from trading.signer import protocol
from trading.signer.protocol import NotSigned, Ping, Result, SignAuth, SignOrders

TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 2.0


class SignerClient:
    """One connection for all accounts of a process; orders that wait for it leave in one frame.

    Raises Refused with the signer's code when it will not sign, Unavailable when it could not be asked: asking again
    is safe, since the same intent with the same terms gives the same signature.
    """

    def __init__(
        self, path: Path, *, timeout_s: float = TIMEOUT_S, on_sign: Callable[[SignRequest], None] | None = None
    ) -> None:
        self._path = path
        self._on_sign = on_sign
        self._timeout_s = timeout_s
        self._ids = itertools.count(1)
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._batches: Batcher[SignRequest, SignedOrder] = Batcher(self._sign_batch, max_items=500)

    async def sign_order(self, request: SignRequest) -> SignedOrder:
        if self._on_sign is not None:
            self._on_sign(request)
        return await self._batches.submit(request)

    async def sign_auth(self, *, account_id: UUID, timestamp_s: int, nonce: int = 0) -> SignedAuth:
        (result,) = await self._ask(SignAuth(next(self._ids), account_id, timestamp_s, nonce))
        if isinstance(result, protocol.SignedAuth):
            return SignedAuth(address=result.address, signature=result.signature)
        raise _error(result)

    async def key_ids(self) -> list[str]:
        """The vault keys the signer holds; proves that it answers."""
        (result,) = await self._ask(Ping(next(self._ids)))
        if isinstance(result, protocol.Alive):
            return result.key_ids
        raise _error(result)

    async def close(self) -> None:
        async with self._lock:
            streams = self._streams
            self._drop()
        if streams is not None:
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()

    async def _sign_batch(self, items: Sequence[SignRequest]) -> list[SignedOrder | BaseException]:
        results = await self._ask(SignOrders(next(self._ids), list(items)))
        if len(results) != len(items):
            raise _error(results[0] if results else None)
        return [_order_or_error(result) for result in results]

    async def _ask(self, request: protocol.Request) -> list[Result]:
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._exchange(request)
            except BaseException as error:
                self._drop()  # an answer that comes late must not be taken for the next one's
                if isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError | msgspec.MsgspecError):
                    raise Unavailable("The signer does not answer.", code="SIGNER_DOWN") from None
                raise

    async def _exchange(self, request: protocol.Request) -> list[Result]:
        reader, writer = await self._connected()
        writer.write(protocol.frame(request))
        await writer.drain()
        body = await protocol.read_frame(reader, body_timeout_s=self._timeout_s)
        if body is None:
            raise ConnectionResetError
        reply = protocol.reply_decoder.decode(body)
        if reply.id not in {request.id, 0}:
            raise ConnectionResetError
        return reply.results

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[1].is_closing() or self._streams[0].at_eof():
            self._drop()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._streams = await asyncio.open_unix_connection(str(self._path), limit=protocol.MAX_FRAME)
        return self._streams

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


def _order_or_error(result: Result) -> SignedOrder | BaseException:
    if isinstance(result, protocol.Signed):
        return SignedOrder(order_hash=result.order_hash, signature=result.signature)
    return _error(result)


def _error(result: Result | None) -> VenueError:
    if isinstance(result, NotSigned):
        kind = Unavailable if result.retry else Refused
        return kind(result.message, code=result.code)
    return Unavailable("The signer answered something else than was asked.", code="SIGNER_DOWN")
