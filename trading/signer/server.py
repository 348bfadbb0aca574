"""The signer's socket. Every frame gets an answer; a bad one gets a code, never a crash."""

import asyncio
import logging
import os
import socket
import stat
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psycopg

from markets.venue.signers import SignRequest
from polyhub.lib.batching import Batcher
from trading.signer import book, protocol
from trading.signer.protocol import NotSigned, Result, SignAuth
from trading.signer.vault import Vault

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MAX_CONNECTIONS = 64
BODY_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_MS = 4000
_UCRED = struct.Struct("3i")

_NO_DATABASE = NotSigned("SIGNER_DATABASE", "The signer cannot reach its database.", retry=True)
_BROKEN = NotSigned("SIGNER_FAULT", "The signer failed on this request; see its log.")
_BAD_FRAME = NotSigned("BAD_REQUEST", "Not a request the signer knows.")


class FolderNotOurs(Exception):
    """The socket's folder belongs to somebody else, or others may write in it."""


class Signer:
    """Judges and signs, one batch after the other, in one thread with one database connection."""

    def __init__(self, *, dsn: str, vault: Vault) -> None:
        self._dsn = dsn
        self._vault = vault
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="signer")
        # Frames of several engines that wait for each other leave in one transaction.
        self._batches: Batcher[SignRequest, Result] = Batcher(self._orders, max_items=protocol.MAX_ORDERS)

    async def answer(self, body: bytes) -> protocol.Reply:
        try:
            request = protocol.request_decoder.decode(body)
        except (msgspec.DecodeError, ValueError):
            return protocol.Reply(id=0, results=[_BAD_FRAME])
        if isinstance(request, protocol.Ping):
            return protocol.Reply(id=request.id, results=[protocol.Alive(key_ids=self._vault.key_ids)])
        if isinstance(request, SignAuth):
            return protocol.Reply(id=request.id, results=[await self._run(self._auth, request)])
        results = await asyncio.gather(*(self._batches.submit(item) for item in request.items))
        return protocol.Reply(id=request.id, results=list(results))

    async def close(self) -> None:
        await self._run(lambda _: self._disconnect(), None)
        self._thread.shutdown()

    async def _orders(self, items: Sequence[SignRequest]) -> list[Result]:
        return await self._run(self._sign, items)

    async def _run(self, work: Callable[[Item], Answer], item: Item) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, item)

    def _sign(self, items: Sequence[SignRequest]) -> list[Result]:
        try:
            return book.sign_orders(self._connected(), self._vault, items)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._lost(error)
            return [_NO_DATABASE] * len(items)
        except Exception:
            logger.exception("Orders not signed together", extra={"orders": len(items)})
        if len(items) == 1:
            return [_BROKEN]
        # One that cannot be judged must not take the others of its batch with it.
        return [result for item in items for result in self._sign([item])]

    def _auth(self, request: SignAuth) -> Result:
        try:
            return book.sign_auth(self._connected(), self._vault, request)
        except psycopg.Error as error:
            self._lost(error)
            return _NO_DATABASE
        except Exception:
            logger.exception("Sign-in not signed", extra={"account_id": str(request.account_id)})
            return _BROKEN

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=3,
                options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c plan_cache_mode=force_generic_plan",
            )
        return self._connection

    def _lost(self, error: psycopg.Error) -> None:
        logger.error("Database failed (%s); the next request connects anew", type(error).__name__)
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Door:
    """Accepts peers of known users only, a bounded number of them, and one bounded frame at a time of each."""

    def __init__(self, signer: Signer, *, peer_uids: Sequence[int]) -> None:
        self._signer = signer
        self._peer_uids = frozenset(peer_uids)
        self._open = 0

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        return await asyncio.start_unix_server(self._peer, sock=listener)

    async def _peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = peer_uid(writer.get_extra_info("socket"))
        if uid not in self._peer_uids or self._open >= MAX_CONNECTIONS:
            logger.warning("Refused a peer of uid %s with %s open", uid, self._open)
            writer.close()
            return
        self._open += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, protocol.FrameTooLarge) as error:
            logger.warning("Closed a peer: %s", type(error).__name__)
        except Exception:
            logger.exception("Closed a peer after a fault")
        finally:
            self._open -= 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (body := await protocol.read_frame(reader, body_timeout_s=BODY_TIMEOUT_S)) is not None:
            writer.write(protocol.frame(await self._signer.answer(body)))
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await writer.drain()


def listen(path: Path, *, others: bool = False) -> socket.socket:
    """A socket that only its owner may connect to; a dead predecessor's is replaced. Raises FolderNotOurs.

    With `others`, users besides ours may connect too, and the check of the peer alone decides who is heard.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = path.parent.lstat()
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid not in {0, os.getuid()} or folder.st_mode & 0o022:
        raise FolderNotOurs(f"{path.parent} can be written by others, who could put a socket of theirs there.")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666 if others else 0o600)
    return listener


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end as the kernel knows it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(raw)[1])
