"""What the process gives up before it touches a key."""

import ctypes
import logging
import os
import resource

logger = logging.getLogger(__name__)

_PR_SET_DUMPABLE = 4
_PR_GET_DUMPABLE = 3
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWNET = 0x40000000


class HardeningFailed(Exception):
    """The system refused a protection that must hold."""


def harden() -> None:
    """No core dump, no debugger of the same user, no new privileges. Raises HardeningFailed."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, option, value in (("no dumps", _PR_SET_DUMPABLE, 0), ("no new privileges", _PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise HardeningFailed(f"{name}: {os.strerror(ctypes.get_errno())}")


def is_dumpable() -> bool:
    return bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))


def leave_network() -> bool:
    """Move into an empty network namespace where the system lets us (unix sockets still work); False where not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        logger.warning("The signer keeps the machine's network: %s", os.strerror(ctypes.get_errno()))
        return False
    return True
