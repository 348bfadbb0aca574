"""How other processes start the signer: its configuration on a memory file, and next to nothing in its environment."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from django.conf import settings
from psycopg.conninfo import make_conninfo

from trading.signer.protocol import SignerConfig

# All the signer's environment may hold; secrets of the other processes stay with them.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "LOG_TIMES", "FAILPOINTS", "FAILPOINT_SEED")


def socket_path() -> Path:
    """The signer's socket: SIGNER_SOCKET, or a short private path, as the kernel takes only 107 bytes."""
    if settings.SIGNER_SOCKET:
        return Path(settings.SIGNER_SOCKET)
    key = hashlib.sha256(f"{Path(settings.SIGNER_DIR).resolve()}|{os.getuid()}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"polyhub-signer-{key}" / "signer.sock"


def config(*, make_keys: bool) -> SignerConfig:
    database: dict[str, Any] = settings.DATABASES["default"]
    parts = {
        "host": database["HOST"],
        "port": database["PORT"],
        "dbname": database["NAME"],
        "user": database["USER"],
        "password": database["PASSWORD"],
        **{name: value for name, value in database.get("OPTIONS", {}).items() if isinstance(value, str | int)},
    }
    # A database beyond a unix socket needs the network the signer would otherwise leave.
    local = str(database["HOST"]).startswith("/")
    return SignerConfig(
        dsn=make_conninfo("", **{name: value for name, value in parts.items() if value not in {"", None}}),
        socket_path=str(socket_path()),
        private_key_file=str(settings.SIGNER_PRIVATE_KEY_FILE),
        public_key_file=str(settings.SIGNER_PUBLIC_KEY_FILE),
        peer_uids=[os.getuid(), *settings.SIGNER_PEER_UIDS],
        make_keys=make_keys or settings.EMBEDDED,
        network="off" if local else "on",
    )


def command(verb: str, *, make_keys: bool) -> tuple[list[str], dict[str, str], int]:
    """Arguments, environment and the descriptor to pass on."""
    descriptor = os.memfd_create("signer-config", 0)
    os.write(descriptor, msgspec.json.encode(config(make_keys=make_keys)))
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return [sys.executable, "-m", "trading.signer", verb, str(descriptor)], environment, descriptor


def become_signer(verb: str, *, make_keys: bool) -> NoReturn:
    """Replace this process by the signer."""
    arguments, environment, descriptor = command(verb, make_keys=make_keys)
    os.set_inheritable(descriptor, True)
    os.chdir(settings.BASE_DIR)
    os.execve(sys.executable, arguments, environment)  # noqa: S606  no shell is the point
