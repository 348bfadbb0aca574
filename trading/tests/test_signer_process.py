"""The signer as it runs: a process of its own behind a socket."""

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings as django_settings
from django.db import connection

from accounts.models import TradingKey
from markets.venue.errors import Refused, Unavailable, VenueError
from markets.venue.signers import SignedOrder, SignRequest
from polyhub.lib import crypto
from polyhub.lib.clock import SystemClock, to_ms
from polyhub.tests.eventually import eventually
from trading.models import SignatureRecord
from trading.signer import hardening, keys, launch, protocol, server
from trading.signer.client import SignerClient
from trading.tests import signing_desk
from trading.tests.signing_desk import Desk

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(slots=True)
class Running:
    """A signer process and what it printed."""

    process: subprocess.Popen[bytes]
    path: Path
    log: Path

    def text(self) -> str:
        return self.log.read_text()


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="phs") as folder:
        yield Path(folder)


@pytest.fixture
def desk(tmp_path: Path, settings: Any, socket_folder: Path) -> Desk:
    settings.SIGNER_SOCKET = str(socket_folder / "s.sock")
    return signing_desk.set_up(tmp_path, settings)


def start(desk: Desk, **environment: str) -> Running:
    """Start the real process, as `run_signer` does, and wait until it listens."""
    arguments, own, descriptor = launch.command("serve", make_keys=False)
    path, log = launch.socket_path(), desk.private_file.with_name("signer.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            env={**own, **environment},
            cwd=django_settings.BASE_DIR,
            pass_fds=[descriptor],
            stdout=output,
            stderr=output,
        )
    os.close(descriptor)
    running = Running(process, path, log)
    eventually(lambda: _listens(path) or _died(running))
    return running


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _died(running: Running) -> bool:
    assert running.process.poll() is None, running.text()
    return False


def stop(running: Running) -> None:
    running.process.terminate()
    assert running.process.wait(10) == 0


@pytest.fixture
def signer(desk: Desk) -> Iterator[Running]:
    running = start(desk)
    yield running
    if running.process.poll() is None:
        stop(running)


def client(running: Running) -> SignerClient:
    return SignerClient(running.path, timeout_s=5)


def ask(running: Running, item: SignRequest) -> SignedOrder:
    async def once() -> SignedOrder:
        asked = client(running)
        try:
            return await asked.sign_order(item)
        finally:
            await asked.close()

    return asyncio.run(once())


async def test_many_callers_are_signed_for_in_one_go(desk: Desk, signer: Running) -> None:
    asked = client(signer)
    items = [desk.item() for _ in range(50)]
    signed = await asyncio.gather(*(asked.sign_order(item) for item in items))
    assert len({result.order_hash for result in signed}) == 50
    assert await asked.key_ids() == [crypto.key_id_of(bytes.fromhex(desk.public_file.read_text()))]
    await asked.close()


async def test_a_refusal_reaches_its_own_caller_only(desk: Desk, signer: Running) -> None:
    asked = client(signer)
    good, bad = await asyncio.gather(
        asked.sign_order(desk.item()), asked.sign_order(desk.item(price=9999)), return_exceptions=True
    )
    assert isinstance(good, SignedOrder)
    assert isinstance(bad, Refused)
    assert bad.code == "PRICE_COLLAR"
    await asked.close()


async def test_what_cannot_even_be_looked_up_reaches_its_own_caller_only(desk: Desk, signer: Running) -> None:
    asked = client(signer)
    good, bad = await asyncio.gather(
        asked.sign_order(desk.item()),
        asked.sign_order(replace(desk.item(), service="engine-\x00")),
        return_exceptions=True,
    )
    await asked.close()
    assert isinstance(good, SignedOrder)
    assert isinstance(bad, Refused)
    assert bad.code == "SIGNER_FAULT"


async def test_the_sign_in_message_is_signed(desk: Desk, signer: Running) -> None:
    asked = client(signer)
    now_s = to_ms(SystemClock().now()) // 1000
    assert (await asked.sign_auth(account_id=desk.account.id, timestamp_s=now_s)).address == desk.address
    with pytest.raises(Refused, match="timestamp"):
        await asked.sign_auth(account_id=desk.account.id, timestamp_s=0)
    await asked.close()


def test_two_clients_that_ask_at_once_get_one_record_and_one_signature(desk: Desk, signer: Running) -> None:
    item = desk.item()
    other = replace(item, terms=replace(item.terms, salt=1))

    async def ask_together() -> list[SignedOrder | BaseException]:
        clients = [client(signer) for _ in range(8)]
        asked = (each.sign_order(item if at % 2 else other) for at, each in enumerate(clients))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for each in clients:
            await each.close()
        return answers

    answers = asyncio.run(ask_together())
    signed = {answer for answer in answers if isinstance(answer, SignedOrder)}
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(signed) == 1
    assert {answer.code for answer in refused} == {"INTENT_ALREADY_SIGNED"}
    assert len(refused) == 4
    assert SignatureRecord.objects.count() == 1


@pytest.mark.parametrize("step", ["F3", "F4"])
def test_killed_after_the_record_the_same_order_is_signed_later_and_no_other(desk: Desk, step: str) -> None:
    item = desk.item()
    running = start(desk, FAILPOINTS=f"{step}:kill")
    with pytest.raises(Unavailable):
        ask(running, item)
    assert running.process.wait(10) == -signal.SIGKILL
    record = SignatureRecord.objects.get()
    running = start(desk)
    assert ask(running, item).order_hash == record.order_hash
    with pytest.raises(Refused) as refused:
        ask(running, replace(item, terms=replace(item.terms, salt=1)))
    assert refused.value.code == "INTENT_ALREADY_SIGNED"
    assert SignatureRecord.objects.count() == 1
    stop(running)


def test_a_client_finds_a_signer_that_was_restarted(desk: Desk) -> None:
    async def both() -> None:
        first = await asyncio.to_thread(start, desk)
        asked = client(first)
        await asked.sign_order(desk.item())
        await asyncio.to_thread(stop, first)
        with pytest.raises(Unavailable):
            await asked.sign_order(desk.item())
        second = await asyncio.to_thread(start, desk)
        await asked.sign_order(desk.item())
        await asked.close()
        await asyncio.to_thread(stop, second)

    asyncio.run(both())


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"{}", os.urandom(200), msgspec.msgpack.encode({"type": "orders", "id": 1, "items": [{}]})]
)
async def test_a_bad_request_is_answered_with_a_code(desk: Desk, signer: Running, body: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(signer.path))
    for _ in range(2):
        writer.write(len(body).to_bytes(4, "big") + body)
        answer = await protocol.read_frame(reader, body_timeout_s=5)
        assert answer is not None
        (result,) = protocol.reply_decoder.decode(answer).results
        assert isinstance(result, protocol.NotSigned)
        assert result.code == "BAD_REQUEST"
    writer.close()


async def test_a_frame_that_is_too_large_or_never_ends_closes_its_own_connection_only(
    desk: Desk, signer: Running
) -> None:
    reader, writer = await asyncio.open_unix_connection(str(signer.path))
    writer.write((protocol.MAX_FRAME + 1).to_bytes(4, "big") + b"x" * 100)
    assert await reader.read() == b""
    _, slow = await asyncio.open_unix_connection(str(signer.path))
    slow.write((100).to_bytes(4, "big") + b"x")
    asked = client(signer)
    assert isinstance(await asked.sign_order(desk.item()), SignedOrder)
    await asked.close()
    writer.close()
    slow.close()


async def test_the_number_of_open_connections_is_bounded(desk: Desk, signer: Running) -> None:
    peers = [await asyncio.open_unix_connection(str(signer.path)) for _ in range(server.MAX_CONNECTIONS + 1)]
    assert await peers[-1][0].read() == b""
    for _, writer in peers:
        writer.close()


def test_peers_of_other_users_are_refused(desk: Desk, signer: Running, socket_folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to become another user")
    # Open wide what the file system would refuse already: the peer check must stand alone.
    socket_folder.chmod(0o755)
    signer.path.chmod(0o666)
    script = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1]);"
        "s.sendall(bytes.fromhex(sys.argv[2])); sys.stdout.write(s.recv(100).hex())"
    )
    ping = protocol.frame(protocol.Ping(1)).hex()
    arguments = ["/usr/bin/env", "python3", "-c", script, str(signer.path), ping]
    environment = {"PATH": os.environ["PATH"]}
    allowed = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=True)
    assert allowed.stdout
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("needs a python that other users may run")
    arguments = [str(python), *arguments[2:]]
    refused = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        env=environment,
        user=65534,
        group=65534,
        extra_groups=[],
        check=False,
    )
    assert refused.stdout == ""
    assert "Refused a peer of uid 65534" in signer.text()


def test_the_socket_is_its_owners_alone(desk: Desk, signer: Running) -> None:
    assert signer.path.stat().st_mode & 0o777 == 0o600


def test_core_dumps_and_debuggers_are_off(desk: Desk, signer: Running) -> None:
    pid = signer.process.pid
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    # The kernel gives the files of a process that may not be dumped to root; other users cannot attach.
    script = "from trading.signer import hardening as h; h.harden(); print(h.is_dumpable())"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=django_settings.BASE_DIR, check=True
    )
    assert answer.stdout.strip() == "False"
    assert hardening.is_dumpable()


def test_the_process_holds_no_django_and_no_secret_of_the_others(desk: Desk, signer: Running) -> None:
    script = "import sys, trading.signer.__main__; print([m for m in sys.modules if m.split('.')[0] == 'django'])"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=django_settings.BASE_DIR, check=True
    )
    assert answer.stdout.strip() == "[]"
    pid = signer.process.pid
    public = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    for name in ("SECRET_KEY", "FIELD_SECRET", "DATABASE_URL", "dbname"):
        assert name.encode() not in public


def test_no_key_is_in_the_log_whatever_happens(desk: Desk) -> None:
    running = start(desk)
    with pytest.raises(VenueError):
        asyncio.run(_raw(running, b"\x93" + desk.private_key))
    ask(running, desk.item())
    sealed = bytes(TradingKey.objects.get().sealed)
    TradingKey.objects.update(sealed=sealed[:-1])
    with pytest.raises(Refused):
        ask(running, desk.item())
    stop(running)
    vault_key = keys.load(desk.private_file).newest.private
    for secret in (desk.private_key, vault_key):
        assert secret.hex() not in running.text()
        assert repr(secret) not in running.text()


async def _raw(running: Running, body: bytes) -> None:
    asked = client(running)
    _, writer = await asked._connected()
    writer.write(len(body).to_bytes(4, "big") + body)
    writer.write(b"\xff" * 8)
    try:
        await asked.key_ids()
    finally:
        await asked.close()


def test_a_signer_whose_database_is_away_says_retry_and_recovers(desk: Desk, signer: Running) -> None:
    ask(signer, desk.item())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = %s",
            [connection.settings_dict["NAME"]],
        )
    with pytest.raises(Unavailable) as away:
        ask(signer, desk.item())
    assert away.value.code == "SIGNER_DATABASE"
    assert ask(signer, desk.item()).order_hash


def test_a_second_signer_on_the_same_socket_refuses_to_start(desk: Desk, signer: Running) -> None:
    arguments, own, descriptor = launch.command("serve", make_keys=False)
    second = subprocess.run(
        arguments,
        env=own,
        cwd=django_settings.BASE_DIR,
        pass_fds=[descriptor],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    os.close(descriptor)
    assert second.returncode != 0
    assert "Another signer answers" in second.stderr
    assert ask(signer, desk.item()).order_hash


def test_a_key_file_others_may_read_stops_the_start(desk: Desk) -> None:
    desk.private_file.chmod(0o444)
    with pytest.raises(keys.KeysUnusable, match="chmod"):
        keys.load(desk.private_file)


def test_a_folder_others_may_write_in_gets_no_socket(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(server.FolderNotOurs):
        server.listen(tmp_path / "s.sock")
    assert not (tmp_path / "s.sock").exists()


def test_a_named_peer_of_another_user_can_reach_the_socket(tmp_path: Path) -> None:
    with server.listen(tmp_path / "s.sock", others=True):
        assert (tmp_path / "s.sock").stat().st_mode & 0o777 == 0o666
