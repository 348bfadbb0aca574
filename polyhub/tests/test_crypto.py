from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhub.lib import crypto

PLACE = crypto.Place(table="accounts_tradingkey", row="row-1", user="7", field="sealed", account="account-1")
PAIR = crypto.new_key_pair()
KEYS = {PAIR.key_id: PAIR.private}
MOVES = [
    replace(PLACE, table="other"),
    replace(PLACE, row="row-2"),
    replace(PLACE, user="8"),
    replace(PLACE, field="other"),
    replace(PLACE, account="account-2"),
]


@given(st.binary(max_size=200))
def test_what_was_sealed_opens_with_the_private_half(secret: bytes) -> None:
    blob = crypto.seal(secret, recipient=PAIR.public, place=PLACE)
    assert crypto.open_sealed(blob, private_keys=KEYS, place=PLACE) == secret


def test_the_public_half_alone_opens_nothing() -> None:
    blob = crypto.seal(b"secret", recipient=PAIR.public, place=PLACE)
    other = crypto.new_key_pair()
    for keys in ({}, {other.key_id: other.private}, {PAIR.key_id: other.private}):
        with pytest.raises(crypto.SealBroken):
            crypto.open_sealed(blob, private_keys=keys, place=PLACE)


@pytest.mark.parametrize("moved", MOVES, ids=str)
def test_a_sealed_secret_in_another_place_is_refused(moved: crypto.Place) -> None:
    blob = crypto.seal(b"secret", recipient=PAIR.public, place=PLACE)
    with pytest.raises(crypto.SealBroken):
        crypto.open_sealed(blob, private_keys=KEYS, place=moved)
    with pytest.raises(crypto.SealBroken):
        crypto.rewrap(blob, private_keys=KEYS, recipient=PAIR.public, place=moved)


def test_a_changed_key_id_is_refused_even_when_it_names_the_same_private_key() -> None:
    blob = crypto.seal(b"secret", recipient=PAIR.public, place=PLACE)
    renamed = blob[:2] + b"f" * crypto.KEY_ID_LENGTH + blob[2 + crypto.KEY_ID_LENGTH :]
    with pytest.raises(crypto.SealBroken):
        crypto.open_sealed(renamed, private_keys={"f" * crypto.KEY_ID_LENGTH: PAIR.private}, place=PLACE)


def test_one_flipped_bit_anywhere_is_refused() -> None:
    blob = crypto.seal(b"secret", recipient=PAIR.public, place=PLACE)
    # The top bit of an X25519 public key is ignored by the curve and still caught: it salts the derivation.
    for at in range(len(blob)):
        for bit in (0x01, 0x80):
            broken = blob[:at] + bytes([blob[at] ^ bit]) + blob[at + 1 :]
            with pytest.raises(crypto.SealBroken):
                crypto.open_sealed(broken, private_keys=KEYS, place=PLACE)


def test_a_cut_blob_is_refused() -> None:
    blob = crypto.seal(b"", recipient=PAIR.public, place=PLACE)
    for length in range(len(blob)):
        with pytest.raises(crypto.SealBroken):
            crypto.open_sealed(blob[:length], private_keys=KEYS, place=PLACE)


def test_rotation_rewraps_the_data_key_and_leaves_the_secret_as_it_is() -> None:
    blob = crypto.seal(b"secret", recipient=PAIR.public, place=PLACE)
    new = crypto.new_key_pair()
    moved = crypto.rewrap(blob, private_keys=KEYS, recipient=new.public, place=PLACE)
    assert crypto.sealed_for(moved) == new.key_id
    assert crypto.open_sealed(moved, private_keys={new.key_id: new.private}, place=PLACE) == b"secret"
    with pytest.raises(crypto.SealBroken):
        crypto.open_sealed(moved, private_keys=KEYS, place=PLACE)
    assert moved[-6 - 16 :] == blob[-6 - 16 :]


def test_the_private_half_is_not_in_the_repr() -> None:
    assert PAIR.private.hex() not in repr(PAIR)
    assert repr(PAIR.private) not in repr(PAIR)


def test_a_field_is_read_back_and_never_stored_twice_the_same() -> None:
    first = crypto.encrypt_field("JBSWY3DP", secret="s" * 40, place=PLACE)
    assert crypto.decrypt_field(first, secret="s" * 40, place=PLACE) == "JBSWY3DP"
    assert first != crypto.encrypt_field("JBSWY3DP", secret="s" * 40, place=PLACE)
    assert "JBSWY3DP" not in first


@pytest.mark.parametrize("moved", MOVES, ids=str)
def test_a_field_in_another_place_is_refused(moved: crypto.Place) -> None:
    stored = crypto.encrypt_field("JBSWY3DP", secret="s" * 40, place=PLACE)
    with pytest.raises(crypto.SealBroken):
        crypto.decrypt_field(stored, secret="s" * 40, place=moved)


@pytest.mark.parametrize("stored", ["", "JBSWY3DP", "f1.x", "f1.{id}.", "f1.{id}.@@", "f1.{id}.AAAA", "f2.{id}.AAAA"])
def test_what_is_no_encrypted_field_is_refused_and_not_returned_as_it_is(stored: str) -> None:
    key_id = crypto.encrypt_field("x", secret="s" * 40, place=PLACE).split(".")[1]
    with pytest.raises(crypto.SealBroken):
        crypto.decrypt_field(stored.replace("{id}", key_id), secret="s" * 40, place=PLACE)


def test_a_field_under_another_secret_is_refused() -> None:
    stored = crypto.encrypt_field("JBSWY3DP", secret="s" * 40, place=PLACE)
    with pytest.raises(crypto.SealBroken):
        crypto.decrypt_field(stored, secret="t" * 40, place=PLACE)
