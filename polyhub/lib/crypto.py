"""Secrets at rest: sealed so that only the signer opens them, or encrypted for our own use.

A sealed secret has its own data key. The data key is wrapped to an X25519 public key, so whoever holds only the
public key (the web process) can seal and never open. Both layers name the secret's place as associated data:
a blob moved to another row, user, account or field is refused, as is one whose key id was changed.

    sealed = 0x01 | len(key id) | key id | ephemeral public (32) | wrap nonce (12) | wrapped data key (48)
             | nonce (12) | AES-256-GCM(secret)

The key id belongs to the wrap's associated data and not to the secret's: rotation re-wraps the data key alone.
"""

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from polyhub.lib.errors import AppError

VERSION = 1
KEY_ID_LENGTH = 16
_PUBLIC, _NONCE, _DATA_KEY, _TAG, _SALT = 32, 12, 32, 16, 16
_WRAPPED = _DATA_KEY + _TAG
_FIELD_PREFIX = "f1"


class SealBroken(AppError):
    """The blob was damaged, moved to another place, or sealed for a key we do not hold. Never says more."""

    code = "SEAL_BROKEN"
    http_status = 500


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret belongs; every part is authenticated."""

    table: str
    row: str
    user: str
    field: str
    account: str = ""

    def associated(self, purpose: str, key_id: str = "") -> bytes:
        """Unambiguous bytes: a list in JSON cannot be re-cut as joined text can."""
        parts = ["polyhub", VERSION, purpose, self.table, self.row, self.user, self.field, self.account, key_id]
        return json.dumps(parts, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An X25519 pair as raw bytes."""

    private: bytes = field(repr=False)
    public: bytes

    @property
    def key_id(self) -> str:
        return key_id_of(self.public)


def new_key_pair() -> KeyPair:
    return key_pair_of(X25519PrivateKey.generate().private_bytes_raw())


def key_pair_of(private: bytes) -> KeyPair:
    """The pair of a raw private key; raises SealBroken when it is not one."""
    if len(private) != _PUBLIC:
        raise SealBroken("Not an X25519 private key.")
    return KeyPair(private=private, public=X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())


def key_id_of(public: bytes) -> str:
    return hashlib.sha256(public).hexdigest()[:KEY_ID_LENGTH]


def read_public_key(path: Path) -> bytes | None:
    """The key to seal to, None when there is no usable one yet. Read each time: a rotation replaces it."""
    try:
        public = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError):
        return None
    return public if len(public) == _PUBLIC else None


def seal(secret: bytes, *, recipient: bytes, place: Place) -> bytes:
    """Seal to a public key; nobody without its private half opens it, we included."""
    data_key = AESGCM.generate_key(256)
    nonce = os.urandom(_NONCE)
    body = nonce + AESGCM(data_key).encrypt(nonce, secret, place.associated("secret"))
    return _wrap(data_key, recipient=recipient, place=place) + body


def sealed_for(blob: bytes) -> str:
    """The id of the key a blob is sealed to; raises SealBroken for what is no blob."""
    if len(blob) < 2 or blob[0] != VERSION or len(blob) < 2 + blob[1]:
        raise SealBroken("Not a sealed secret.")
    try:
        return blob[2 : 2 + blob[1]].decode("ascii")
    except UnicodeDecodeError:
        raise SealBroken("Not a sealed secret.") from None


def open_sealed(blob: bytes, *, private_keys: Mapping[str, bytes], place: Place) -> bytes:
    """The secret; `private_keys` maps key id to raw private key. Raises SealBroken."""
    data_key, body = _unwrap(blob, private_keys=private_keys, place=place)
    return _decrypt(data_key, body, place.associated("secret"))


def rewrap(blob: bytes, *, private_keys: Mapping[str, bytes], recipient: bytes, place: Place) -> bytes:
    """The same secret, its data key wrapped to another public key. The secret itself is verified, not rewritten."""
    data_key, body = _unwrap(blob, private_keys=private_keys, place=place)
    _decrypt(data_key, body, place.associated("secret"))
    return _wrap(data_key, recipient=recipient, place=place) + body


def encrypt_field(text: str, *, secret: str, place: Place) -> str:
    """Encrypt a small secret we must read again ourselves (a TOTP seed), under a key derived from `secret`."""
    key_id = _secret_id(secret)
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    sealed = AESGCM(_derive(secret.encode(), salt, b"polyhub field")).encrypt(
        nonce, text.encode(), place.associated("field", key_id)
    )
    return f"{_FIELD_PREFIX}.{key_id}.{base64.urlsafe_b64encode(salt + nonce + sealed).decode()}"


def decrypt_field(stored: str, *, secret: str, place: Place) -> str:
    """What `encrypt_field` got; raises SealBroken, also when `secret` has changed since."""
    prefix, _, rest = stored.partition(".")
    key_id, _, encoded = rest.partition(".")
    if prefix != _FIELD_PREFIX or key_id != _secret_id(secret):
        raise SealBroken("Encrypted with another key.")
    try:
        raw = base64.b64decode(encoded, altchars=b"-_", validate=True)
    except ValueError:
        raise SealBroken("Not an encrypted field.") from None
    key = _derive(secret.encode(), raw[:_SALT], b"polyhub field")
    return _decrypt(key, raw[_SALT:], place.associated("field", key_id)).decode()


def _wrap(data_key: bytes, *, recipient: bytes, place: Place) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    key_id = key_id_of(recipient)
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    nonce = os.urandom(_NONCE)
    wrapped = AESGCM(_derive(shared, public + recipient, b"polyhub seal")).encrypt(
        nonce, data_key, place.associated("wrap", key_id)
    )
    return bytes([VERSION, len(key_id)]) + key_id.encode() + public + nonce + wrapped


def _unwrap(blob: bytes, *, private_keys: Mapping[str, bytes], place: Place) -> tuple[bytes, bytes]:
    key_id = sealed_for(blob)
    private = private_keys.get(key_id)
    if private is None:
        raise SealBroken(f"Sealed for key {key_id!a}, which this process does not hold.")
    start = 2 + blob[1]
    public, rest = blob[start : start + _PUBLIC], blob[start + _PUBLIC :]
    pair = key_pair_of(private)
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise SealBroken("The sealed secret is damaged.") from None
    wrap_key = _derive(shared, public + pair.public, b"polyhub seal")
    split = _NONCE + _WRAPPED
    return _decrypt(wrap_key, rest[:split], place.associated("wrap", key_id)), rest[split:]


def _decrypt(key: bytes, nonce_and_text: bytes, associated: bytes) -> bytes:
    if len(nonce_and_text) < _NONCE + _TAG:
        raise SealBroken("The sealed secret is cut short.")
    try:
        return AESGCM(key).decrypt(nonce_and_text[:_NONCE], nonce_and_text[_NONCE:], associated)
    except InvalidTag:
        raise SealBroken("The sealed secret is damaged or not in its place.") from None


def _derive(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_DATA_KEY, salt=salt, info=purpose).derive(secret)


def _secret_id(secret: str) -> str:
    return hashlib.sha256(b"polyhub field id|" + secret.encode()).hexdigest()[:KEY_ID_LENGTH]
