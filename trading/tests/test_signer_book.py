from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from django.db import connection
from eth_account import Account

from accounts.domain.statuses import AccountStatus
from accounts.models import TradingAccount, TradingKey
from accounts.services.keys import PolicyValues
from accounts.tests import factories
from markets.models import Market, Quote, Token
from markets.venue import signing
from markets.venue.ports import Side
from markets.venue.signers import SignRequest
from polyhub.lib.models import Service
from trading.models import SignatureRecord
from trading.signer import book, keys
from trading.signer.protocol import NotSigned, Result, SignAuth, Signed, SignedAuth
from trading.signer.vault import Vault
from trading.tests import signing_desk
from trading.tests.signing_desk import Desk

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(tmp_path: Path, settings: Any) -> Desk:
    return signing_desk.set_up(tmp_path, settings)


def sign(desk: Desk, items: Sequence[SignRequest]) -> list[Result]:
    connection.ensure_connection()
    return book.sign_orders(connection.connection, Vault(lambda: keys.load(desk.private_file)), items)


def code(desk: Desk, item: SignRequest) -> str:
    (result,) = sign(desk, [item])
    return result.code if isinstance(result, NotSigned) else "SIGNED"


def test_a_signed_order_is_recorded_and_signed_by_the_accounts_own_key(desk: Desk) -> None:
    item = desk.item()
    (result,) = sign(desk, [item])
    assert isinstance(result, Signed)
    record = SignatureRecord.objects.get()
    assert (record.intent_id, record.order_hash) == (item.terms.client_order_id, result.order_hash)
    assert (record.account_id, record.notional_units, record.fencing_token) == (desk.account.id, 5_000_000, 1)
    signer = Account._recover_hash(bytes.fromhex(result.order_hash[2:]), signature=result.signature)
    assert signer == desk.address
    maker_is_signer = signing.order_hash(item.terms, maker=signer, signer=signer, signature_type=0)
    assert result.order_hash == maker_is_signer


def test_a_deposit_wallet_is_maker_and_signer_of_its_orders(desk: Desk) -> None:
    wallet = "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"
    TradingAccount.objects.filter(pk=desk.account.pk).update(signature_type=3, trading_address=wallet)
    item = desk.item()
    (result,) = sign(desk, [item])
    assert isinstance(result, Signed)
    assert len(result.signature) == 2 + 2 * 317
    assert result.order_hash == signing.order_hash(item.terms, maker=wallet, signer=wallet, signature_type=3)


def test_the_same_intent_again_gives_the_same_signature_and_no_second_record(desk: Desk) -> None:
    item = desk.item()
    first = sign(desk, [item])
    assert sign(desk, [item]) == first
    assert SignatureRecord.objects.count() == 1


def test_the_same_intent_twice_in_one_batch_is_one_record(desk: Desk) -> None:
    item = desk.item()
    first, second = sign(desk, [item, item])
    assert first == second
    assert SignatureRecord.objects.count() == 1


def test_an_intent_is_never_signed_with_other_terms(desk: Desk) -> None:
    item = desk.item()
    sign(desk, [item])
    for change in ({"salt": 1}, {"timestamp_ms": 5}, {"maker_units": 4_000_000}, {"token_id": "8" * 70}):
        terms = replace(item.terms, **change)
        assert code(desk, replace(item, terms=terms)) == "INTENT_ALREADY_SIGNED"
    assert SignatureRecord.objects.count() == 1


def test_an_intent_signed_before_stays_signable_after_its_day_is_full(desk: Desk) -> None:
    item = desk.item()
    first = sign(desk, [item])
    desk.account.signing_policy.max_day_usdc = desk.account.signing_policy.max_order_usdc = Decimal(5)
    desk.account.signing_policy.save()
    assert sign(desk, [item]) == first
    assert code(desk, desk.item()) == "DAY_NOTIONAL"


@pytest.mark.parametrize("token", [0, 2, -1])
def test_a_fencing_token_that_is_not_the_current_one_is_refused(desk: Desk, token: int) -> None:
    assert code(desk, desk.item(fencing_token=token)) == "STALE_FENCING_TOKEN"
    assert not SignatureRecord.objects.exists()


def test_a_lease_that_ended_signs_nothing_even_with_its_own_token(desk: Desk) -> None:
    signing_desk.lease(token=1, lasts="-1 second")
    assert code(desk, desk.item()) == "STALE_FENCING_TOKEN"


def test_an_unknown_service_signs_nothing(desk: Desk) -> None:
    assert code(desk, replace(desk.item(), service="nobody")) == "STALE_FENCING_TOKEN"


def test_the_lease_of_the_feed_signs_nothing(desk: Desk) -> None:
    Service.objects.filter(name=signing_desk.SERVICE).update(name="feed")
    assert code(desk, replace(desk.item(), service="feed")) == "STALE_FENCING_TOKEN"


@pytest.mark.parametrize(
    "exchange",
    ["", signing.NEG_RISK_EXCHANGE, "0x4bFb41d5B3570DeFd03C39a9A4D8dE6Bd8B8982E", signing.EXCHANGE_V3],
)
def test_an_exchange_that_is_not_the_tokens_is_refused(desk: Desk, exchange: str) -> None:
    assert code(desk, replace(desk.item(), exchange=exchange)) == "UNKNOWN_EXCHANGE"


def test_a_batch_may_not_spend_more_than_the_day(desk: Desk) -> None:
    items = [desk.item(shares=900_000_000) for _ in range(12)]
    results = sign(desk, items)
    assert [isinstance(result, Signed) for result in results] == [True] * 11 + [False]
    assert code(desk, items[-1]) == "DAY_NOTIONAL"


def test_refused_orders_leave_no_record_and_do_not_hold_up_the_others(desk: Desk) -> None:
    good, dear, outside = desk.item(), desk.item(shares=2_000_000_000), desk.item(price=9999)
    results = sign(desk, [dear, good, outside])
    assert [getattr(result, "code", "SIGNED") for result in results] == ["ORDER_NOTIONAL", "SIGNED", "PRICE_COLLAR"]
    assert SignatureRecord.objects.get().intent_id == good.terms.client_order_id


def test_a_sale_is_valued_at_the_fresh_bid_and_at_a_dollar_without_one(desk: Desk) -> None:
    market = Market.objects.create(condition_id="0x1", question="?", updated_at=factories.NOW)
    token = Token.objects.create(token_id=signing_desk.TOKEN_ID, market=market, outcome="Yes", outcome_index=0)
    sale: dict[str, Any] = {"side": Side.SELL, "shares": 1_000_000_000, "price": 100}
    assert code(desk, desk.item(**sale)) == "ORDER_NOTIONAL"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO markets_quote (token_id, best_bid, received_at) VALUES (%s, 0.02, now())", [token.pk]
        )
    assert code(desk, desk.item(**sale)) == "SIGNED"
    Quote.objects.update(best_bid=Decimal("0.9"))
    assert code(desk, desk.item(**sale)) == "ORDER_NOTIONAL"
    Quote.objects.update(best_bid=Decimal("0.02"), received_at=factories.NOW.replace(year=2020))
    assert code(desk, desk.item(**sale)) == "ORDER_NOTIONAL"


def test_stopped_disabled_and_unknown_accounts_sign_nothing(desk: Desk) -> None:
    assert code(desk, desk.item(account_id=uuid4())) == "UNKNOWN_ACCOUNT"
    TradingAccount.objects.update(status=AccountStatus.PAUSED)
    assert code(desk, desk.item()) == "SIGNED"
    TradingAccount.objects.update(status=AccountStatus.STOPPED)
    assert code(desk, desk.item()) == "ACCOUNT_STOPPED"
    TradingAccount.objects.update(status=AccountStatus.ACTIVE)
    desk.owner.is_active = False
    desk.owner.save()
    assert code(desk, desk.item()) == "USER_DISABLED"


def test_a_paper_account_is_never_signed_for(desk: Desk) -> None:
    TradingAccount.objects.update(mode="paper")
    assert code(desk, desk.item()) == "NOT_LIVE"


def test_an_account_without_a_key_says_so(desk: Desk) -> None:
    TradingKey.objects.all().delete()
    assert code(desk, desk.item()) == "KEY_MISSING"


def test_a_key_moved_to_another_account_does_not_open(desk: Desk, tmp_path: Path, settings: Any) -> None:
    bob = factories.user("bob")
    stolen = TradingKey.objects.get()
    account = factories.live_account(bob, desk.private_key, "0x" + "1" * 40, "Mine")
    TradingKey.objects.filter(account=account).update(sealed=stolen.sealed)
    assert code(desk, desk.item(account_id=account.id)) == "SEAL_BROKEN"


def test_a_key_that_is_not_the_signer_addresss_own_is_refused(desk: Desk) -> None:
    TradingAccount.objects.update(signer_address="0x" + "1" * 40)
    assert code(desk, desk.item()) == "SEAL_BROKEN"


def test_too_many_orders_at_once_are_refused_whole(desk: Desk) -> None:
    results = sign(desk, [desk.item()] * 2001)
    assert {getattr(result, "code", "") for result in results} == {"TOO_MANY"}
    assert not SignatureRecord.objects.exists()


def test_the_sign_in_message_is_signed_for_now_only(desk: Desk) -> None:
    connection.ensure_connection()
    vault = Vault(lambda: keys.load(desk.private_file))
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM now())::bigint")
        (now_s,) = cursor.fetchone()
    request = SignAuth(id=1, account_id=desk.account.id, timestamp_s=now_s, nonce=0)
    result = book.sign_auth(connection.connection, vault, request)
    assert isinstance(result, SignedAuth)
    digest = signing.clob_auth_digest(desk.address, now_s, 0)
    assert Account._recover_hash(digest, signature=result.signature) == desk.address == result.address
    late = msgspec.structs.replace(request, timestamp_s=now_s - 301)
    assert getattr(book.sign_auth(connection.connection, vault, late), "code", "") == "BAD_REQUEST"


def test_policies_of_two_accounts_do_not_mix(desk: Desk, tmp_path: Path, settings: Any) -> None:
    other = signing_desk.set_up(tmp_path, settings, name="bob", policy=PolicyValues(max_order_usdc=Decimal(1)))
    results = sign(desk, [desk.item(), other.item()])
    assert [getattr(result, "code", "SIGNED") for result in results] == ["SIGNED", "ORDER_NOTIONAL"]
