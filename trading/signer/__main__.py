"""`python -m trading.signer serve|rotate FD`: the configuration is read from the inherited descriptor FD."""

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from polyhub.lib.crypto import SealBroken
from polyhub.lib.masking import MaskingFormatter
from trading.signer import hardening, keys, rotation
from trading.signer.protocol import SignerConfig
from trading.signer.server import Door, FolderNotOurs, Signer, listen
from trading.signer.vault import Vault

logger = logging.getLogger("trading.signer")

USAGE = 64
UNUSABLE = 78


class AlreadyRunning(Exception):
    """Another signer answers on the socket."""


def read_config(descriptor: int) -> SignerConfig:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=SignerConfig)


async def serve(config: SignerConfig) -> None:
    """Answer until SIGTERM or SIGINT; the request under way is finished first."""
    private_file, public_file = Path(config.private_key_file), Path(config.public_key_file)
    path = Path(config.socket_path)
    _refuse_second(path)
    keys.load_or_make(private_file=private_file, public_file=public_file, make=config.make_keys)
    signer = Signer(dsn=config.dsn, vault=Vault(lambda: keys.load(private_file)))
    server = await Door(signer, peer_uids=config.peer_uids).serve(
        listen(path, others=bool({*config.peer_uids} - {os.getuid()}))
    )
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    logger.info("Signer ready on %s", path)
    await stop.wait()
    server.close()
    await signer.close()
    logger.info("Signer stopped")


def _refuse_second(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return
    raise AlreadyRunning(f"Another signer answers on {path}.")


def _log_plainly() -> None:
    handler = logging.StreamHandler()
    times = "" if os.environ.get("LOG_TIMES", "") in {"0", "false", "no", "off"} else "%(asctime)s "
    handler.setFormatter(MaskingFormatter(f"{times}%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def main(arguments: list[str]) -> int:
    _log_plainly()
    if len(arguments) != 2 or arguments[0] not in {"serve", "rotate"} or not arguments[1].isdigit():
        logger.error("Start the signer with `./hub manage run_signer`.")
        return USAGE
    try:
        hardening.harden()
        config = read_config(int(arguments[1]))
        if config.network == "off":
            hardening.leave_network()
        if arguments[0] == "serve":
            asyncio.run(serve(config))
            Path(config.socket_path).unlink(missing_ok=True)
        else:
            rotation.rotate(
                dsn=config.dsn,
                private_file=Path(config.private_key_file),
                public_file=Path(config.public_key_file),
            )
    except (keys.KeysUnusable, hardening.HardeningFailed, AlreadyRunning, FolderNotOurs, SealBroken) as error:
        logger.error("%s", error)
        return UNUSABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
