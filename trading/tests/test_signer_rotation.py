"""A new vault key while accounts keep trading."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.domain.keys import trading_key_place
from accounts.models import TradingKey
from accounts.services import keys as web_keys
from accounts.tests import factories
from accounts.tests.factories import NOW
from markets.venue import signing
from polyhub.lib import crypto
from trading.signer import book, keys, launch, rotation
from trading.signer.protocol import Signed
from trading.signer.vault import Vault
from trading.tests import signing_desk
from trading.tests.signing_desk import Desk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(tmp_path: Path, settings: Any) -> Desk:
    return signing_desk.set_up(tmp_path, settings)


def rotate(desk: Desk) -> int:
    dsn = launch.config(make_keys=False).dsn
    return rotation.rotate(dsn=dsn, private_file=desk.private_file, public_file=desk.public_file)


def signs(desk: Desk, vault: Vault) -> bool:
    connection.ensure_connection()
    (result,) = book.sign_orders(connection.connection, vault, [desk.item()])
    return isinstance(result, Signed)


def test_a_running_signer_opens_what_was_rewrapped_under_it(desk: Desk) -> None:
    vault = Vault(lambda: keys.load(desk.private_file), monotonic=lambda: float("inf"))  # nothing is cached
    before = TradingKey.objects.get()
    assert signs(desk, vault)
    assert rotate(desk) == 1
    after = TradingKey.objects.get()
    assert after.key_id != before.key_id
    assert crypto.read_public_key(desk.public_file) == keys.load(desk.private_file).newest.public
    assert signs(desk, vault)


def test_the_old_key_opens_nothing_after_two_rotations_and_is_gone(desk: Desk) -> None:
    first = keys.load(desk.private_file).newest
    rotate(desk)
    assert first.key_id in keys.load(desk.private_file).private_keys  # a seal under way may still need it
    key = TradingKey.objects.get()
    place = trading_key_place(key_id=key.id, user_id=desk.owner.pk, account_id=desk.account.id)
    with pytest.raises(crypto.SealBroken):
        crypto.open_sealed(bytes(key.sealed), private_keys={first.key_id: first.private}, place=place)
    rotate(desk)
    assert first.key_id not in keys.load(desk.private_file).private_keys
    assert signs(desk, Vault(lambda: keys.load(desk.private_file)))


def test_an_interrupted_rotation_is_finished_and_not_begun_again(desk: Desk) -> None:
    other_key = b"\x22" * 32
    factories.live_account(factories.user("bob"), other_key, signing.address_of(other_key))
    ring = keys.load(desk.private_file)
    # Killed after the first row: the new key is on disk, one row is wrapped to it, the other is not.
    new = crypto.new_key_pair()
    keys.save([new, *ring.pairs], private_file=desk.private_file, public_file=desk.public_file)
    dsn_rows = TradingKey.objects.order_by("id")
    web_keys.seal_key(account=dsn_rows[0].account, private_key=desk.private_key, now=NOW)
    assert set(TradingKey.objects.values_list("key_id", flat=True)) == {new.key_id, ring.newest.key_id}
    assert rotate(desk) == 1
    assert set(TradingKey.objects.values_list("key_id", flat=True)) == {new.key_id}


def test_a_damaged_row_stops_the_rotation_and_loses_no_key(desk: Desk) -> None:
    good = bytes(TradingKey.objects.get().sealed)
    TradingKey.objects.update(sealed=good[:-1])
    before = keys.load(desk.private_file).newest
    with pytest.raises(crypto.SealBroken):
        rotate(desk)
    assert before.key_id in keys.load(desk.private_file).private_keys
    TradingKey.objects.update(sealed=good)
    rotate(desk)
    assert signs(desk, Vault(lambda: keys.load(desk.private_file)))


def test_a_key_file_is_written_whole_and_private(desk: Desk) -> None:
    assert desk.private_file.stat().st_mode & 0o777 == 0o400
    text = desk.private_file.read_text()
    (desk.private_file.parent / "private.key.new").write_text("half")
    keys.save(keys.load(desk.private_file).pairs, private_file=desk.private_file, public_file=desk.public_file)
    assert desk.private_file.read_text() == text


@pytest.mark.parametrize("content", ["", "# only words\n", "zz\n", "00\n"])
def test_a_damaged_key_file_is_named_and_never_replaced(desk: Desk, content: str) -> None:
    desk.private_file.chmod(0o600)
    desk.private_file.write_text(content)
    with pytest.raises(keys.KeysUnusable, match="restore"):
        keys.load_or_make(private_file=desk.private_file, public_file=desk.public_file, make=True)
    assert desk.private_file.read_text() == content


def test_a_lost_private_half_is_not_replaced_by_a_new_one(desk: Desk) -> None:
    desk.private_file.unlink()
    with pytest.raises(keys.KeysUnusable, match="restore"):
        keys.load_or_make(private_file=desk.private_file, public_file=desk.public_file, make=True)
    desk.public_file.unlink()
    with pytest.raises(keys.KeysUnusable, match="make-keys"):
        keys.load_or_make(private_file=desk.private_file, public_file=desk.public_file, make=False)
