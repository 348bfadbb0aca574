"""The vault's key file: the private halves, newest first, readable by the signer's user alone."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyhub.lib import crypto

_HEADER = "# PolyHub vault key. Whoever reads this file can open every trading key. Keep two copies offline."


class KeysUnusable(Exception):
    """The key file is missing, unreadable or open to others; the message says what to do."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Newest pair first: it is sealed to; older ones still open what is not re-wrapped yet."""

    pairs: tuple[crypto.KeyPair, ...] = field(repr=False)

    @property
    def newest(self) -> crypto.KeyPair:
        return self.pairs[0]

    @property
    def private_keys(self) -> Mapping[str, bytes]:
        return {pair.key_id: pair.private for pair in self.pairs}


def load(private_file: Path) -> KeyRing:
    """Read the key file; raises KeysUnusable."""
    try:
        mode = private_file.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeysUnusable(f"{private_file} can be read by others: chmod 0400 it.")
        lines = private_file.read_text().splitlines()
    except OSError as error:
        raise KeysUnusable(f"{private_file} cannot be read: {error.strerror}.") from None
    try:
        pairs = tuple(
            crypto.key_pair_of(bytes.fromhex(line)) for line in lines if line.strip() and not line.startswith("#")
        )
    except (ValueError, crypto.SealBroken):
        raise KeysUnusable(f"{private_file} is damaged: restore it from a copy.") from None
    if not pairs:
        raise KeysUnusable(f"{private_file} holds no key: restore it from a copy.")
    return KeyRing(pairs)


def save(pairs: Sequence[crypto.KeyPair], *, private_file: Path, public_file: Path) -> KeyRing:
    """Write both files, each whole or not at all; the private one first, so nothing is sealed to a key not on disk."""
    lines = "\n".join(pair.private.hex() for pair in pairs)
    _write(private_file, f"{_HEADER}\n{lines}\n", mode=0o400)
    _write(public_file, f"{pairs[0].public.hex()}\n", mode=0o444)
    return KeyRing(tuple(pairs))


def load_or_make(*, private_file: Path, public_file: Path, make: bool) -> KeyRing:
    """The key ring; on a first start of the one-machine set-up it is made. The public file always follows it."""
    if not private_file.exists():
        if not make:
            raise KeysUnusable(f"{private_file} does not exist: run `./hub manage run_signer --make-keys` once.")
        if public_file.exists():
            raise KeysUnusable(f"{public_file} exists without its private half: restore {private_file} from a copy.")
        return save([crypto.new_key_pair()], private_file=private_file, public_file=public_file)
    ring = load(private_file)
    if crypto.read_public_key(public_file) != ring.newest.public:
        _write(public_file, f"{ring.newest.public.hex()}\n", mode=0o444)
    return ring


def _write(path: Path, text: str, *, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
