"""What wallets do on chain through the relayer, signed by the official client, and what the order book knows of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal

import pytest
from eth_account import Account
from polymarket import AsyncSecureClient
from polymarket.auth import BuilderApiKey, RelayerApiKey
from polymarket.errors import RequestRejectedError, TransactionFailedError
from polymarket.session_keys import SessionKeyKnownScope

from markets.tests.sandbox_sdk import environment_of
from markets.venue.sandbox import contracts
from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, running_sandbox
from polyhub.tests.eventually import eventually

KEY, SESSION = "0x" + "11" * 32, "0x" + "22" * 32
EOA, PROXY, SAFE, DEPOSIT = 0, 1, 2, 3
MILLION = 1_000_000

Connect = Callable[..., Awaitable[AsyncSecureClient]]


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(mined_after_ms=0, confirmed_after_ms=0) as running:
        yield running


@pytest.fixture
def market(sandbox: RunningSandbox) -> SandboxMarket:
    return sandbox.create_market(bids=[("0.48", "100")], asks=[("0.50", "100")])


@pytest.fixture
async def connect(sandbox: RunningSandbox) -> AsyncIterator[Connect]:
    opened: list[AsyncSecureClient] = []

    async def client_of(signature_type: int = DEPOSIT, *, builder: bool = False) -> AsyncSecureClient:
        wallet = sandbox.register_wallet(private_key=KEY, usdc=1_000, signature_type=signature_type)
        relayer = sandbox.call("POST", "relayer_keys", {"address": wallet.signer})
        keys: BuilderApiKey | RelayerApiKey = RelayerApiKey(key=relayer["key"], address=wallet.signer)
        environment = environment_of(sandbox)
        if builder:
            async with await AsyncSecureClient.create(private_key=KEY, environment=environment) as first:
                keys = await first.create_builder_api_key()
        client = await AsyncSecureClient.create(
            private_key=KEY, wallet=wallet.address, environment=environment, api_key=keys
        )
        opened.append(client)
        return client

    yield client_of
    for client in opened:
        await client.close()


def wallet_of(sandbox: RunningSandbox, client: AsyncSecureClient) -> dict[str, object]:
    (wallet,) = sandbox.state(wallet=str(client.wallet))["wallets"]
    shares = {token: int(units) for token, units in wallet["shares"].items()}
    return {"cash": int(wallet["cash_units"]), "shares": shares}


@pytest.mark.parametrize("signature_type", [EOA, PROXY, SAFE, DEPOSIT], ids=["eoa", "proxy", "safe", "deposit wallet"])
async def test_every_kind_of_wallet_splits_and_merges(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket, signature_type: int
) -> None:
    client = await connect(signature_type)
    await (await client.split_position(condition_id=market.condition_id, amount=100 * MILLION)).wait()
    assert wallet_of(sandbox, client) == {
        "cash": 900 * MILLION,
        "shares": {market.yes: 100 * MILLION, market.no: 100 * MILLION},
    }
    await (await client.merge_positions(condition_id=market.condition_id, amount=40 * MILLION)).wait()
    assert wallet_of(sandbox, client)["cash"] == 940 * MILLION
    assert sandbox.state(everything=True)["conserved"]


async def test_deposit_wallets_from_before_the_beacon_trade_too(sandbox: RunningSandbox, market: SandboxMarket) -> None:
    body = {"private_key": KEY, "usdc": "100", "old": True}
    address = sandbox.call("POST", "wallets", body)["address"]
    assert address == "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"
    async with await AsyncSecureClient.create(
        private_key=KEY, wallet=address, environment=environment_of(sandbox)
    ) as client:
        assert client.wallet_type == "DEPOSIT_WALLET"
        placed = await client.place_limit_order(token_id=market.yes, side="BUY", price="0.4", size=10)
        assert placed.ok


async def test_the_order_book_learns_of_a_split_when_asked_to_look(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket
) -> None:
    client = await connect()
    await (await client.split_position(condition_id=market.condition_id, amount=100 * MILLION)).wait()
    before = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=market.yes)
    cash = await client.get_balance_allowance(asset_type="COLLATERAL")
    assert (before.balance, cash.balance) == (0, 1_000 * MILLION)
    order = await client.create_limit_order(token_id=market.yes, side="SELL", price=Decimal("0.6"), size=Decimal(10))
    with pytest.raises(RequestRejectedError, match="not enough balance / allowance"):
        await client.post_order(order)
    await client._ctx.secure_clob.get_json(
        "/balance-allowance/update", params={"asset_type": "COLLATERAL", "signature_type": DEPOSIT}
    )
    after = await client.get_balance_allowance(asset_type="CONDITIONAL", token_id=market.yes)
    assert after.balance == 100 * MILLION
    assert (await client.post_order(order)).ok


async def test_orders_whose_cover_leaves_on_chain_are_canceled(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket
) -> None:
    client = await connect()
    small, large = [
        await client.place_limit_order(token_id=market.yes, side="BUY", price=Decimal("0.4"), size=Decimal(size))
        for size in (10, 2_000)
    ]
    assert small.ok
    assert large.ok
    await (await client.split_position(condition_id=market.condition_id, amount=900 * MILLION)).wait()
    assert (await client.get_order(order_id=large.order_id)).status == "CANCELED"
    assert (await client.get_order(order_id=small.order_id)).status == "LIVE"
    assert wallet_of(sandbox, client)["cash"] == 100 * MILLION
    assert sandbox.state(everything=True)["conserved"]


@pytest.mark.parametrize("neg_risk", [False, True])
async def test_a_decided_market_is_redeemed_by_its_holder(
    sandbox: RunningSandbox, connect: Connect, neg_risk: bool
) -> None:
    market = sandbox.create_market("decided", neg_risk=neg_risk)
    client = await connect()
    await (await client.split_position(condition_id=market.condition_id, amount=100 * MILLION)).wait()
    sandbox.call("POST", f"markets/{market.condition_id}/resolve", {"winning_token_id": market.yes, "redeem": False})
    await (await client.redeem_positions(condition_id=market.condition_id)).wait()
    assert wallet_of(sandbox, client) == {"cash": 1_000 * MILLION, "shares": {}}
    assert sandbox.state(everything=True)["conserved"]


async def test_positions_of_the_second_protocol_go_through_the_router(
    sandbox: RunningSandbox, connect: Connect
) -> None:
    market = sandbox.create_market("second", version="v2", bids=[("0.48", "100")], asks=[("0.50", "100")])
    client = await connect()
    await (await client.split_position(condition_id=market.condition_id, amount=100 * MILLION)).wait()
    assert wallet_of(sandbox, client)["shares"] == {market.yes: 100 * MILLION, market.no: 100 * MILLION}
    bought = await client.place_market_order(token_id=market.yes, side="BUY", amount=Decimal(10))
    assert bought.ok
    assert bought.status == "matched"
    balance = await client.get_balance_allowance(asset_type="CONDITIONAL-V2", token_id=market.yes)
    assert contracts.EXCHANGE_V3 in balance.allowances
    sandbox.call("POST", f"markets/{market.condition_id}/resolve", {"winning_token_id": market.no, "redeem": False})
    await (await client.redeem_positions(condition_id=market.condition_id)).wait()
    assert market.no not in wallet_of(sandbox, client)["shares"]  # type: ignore[operator]


async def test_an_unapproved_wallet_trades_after_approving(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket
) -> None:
    client = await connect()
    sandbox.call("POST", "accounts", {"address": str(client.wallet), "approved": False})
    sandbox.call("POST", "venue", {"stale_balances": False})
    order = await client.create_limit_order(token_id=market.yes, side="BUY", price=Decimal("0.4"), size=Decimal(10))
    with pytest.raises(RequestRejectedError, match="not enough balance / allowance"):
        await client.post_order(order)
    assert not (await client.get_trading_approvals_state()).is_fully_approved
    await (await client.setup_trading_approvals()).wait()
    assert (await client.get_trading_approvals_state()).is_fully_approved
    assert (await client.post_order(order)).ok


async def test_a_call_that_reverts_fails_and_changes_nothing(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket
) -> None:
    client = await connect()
    handle = await client.transfer_erc20(
        token_address=contracts.PUSD, recipient_address="0x" + "33" * 20, amount=1_001 * MILLION
    )
    with pytest.raises(TransactionFailedError):
        await handle.wait()
    assert wallet_of(sandbox, client)["cash"] == 1_000 * MILLION
    assert sandbox.state(everything=True)["conserved"]


async def test_a_session_key_trades_for_the_wallet_until_revoked(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket
) -> None:
    owner = await connect(builder=True)
    session_address = Account.from_key(SESSION).address
    authorized = await owner.authorize_session_key(address=session_address, scopes=[SessionKeyKnownScope.CLOB])
    assert [str(scope) for scope in authorized.session_key.scopes] == ["CLOB"]
    (listed,) = await owner.fetch_session_keys()
    assert listed.address == session_address
    async with await AsyncSecureClient.create(
        private_key=SESSION, wallet=str(owner.wallet), environment=environment_of(sandbox)
    ) as delegate:
        bought = await delegate.place_market_order(token_id=market.yes, side="BUY", amount=Decimal(10))
        assert bought.ok
        assert bought.status == "matched"
        resting = await delegate.place_limit_order(
            token_id=market.yes, side="BUY", price=Decimal("0.4"), size=Decimal(10)
        )
        assert resting.ok
        balance = await delegate.get_balance_allowance(asset_type="COLLATERAL")
        assert balance.balance == 990 * MILLION
        assert [one.id for one in (await delegate.list_open_orders().first_page()).items] == [resting.order_id]
        assert (await owner.list_open_orders().first_page()).items == ()
        eventually(lambda: wallet_of(sandbox, owner)["shares"] == {market.yes: 20 * MILLION})
        await owner.revoke_session_key(address=session_address)
        assert await owner.fetch_session_keys() == ()
        assert (await delegate.get_order(order_id=resting.order_id)).status == "CANCELED"
        late = await delegate.create_limit_order(
            token_id=market.yes, side="BUY", price=Decimal("0.4"), size=Decimal(10)
        )
        with pytest.raises(RequestRejectedError, match="address of the API KEY"):
            await delegate.post_order(late)


async def test_a_session_key_without_its_scope_or_after_its_time_trades_nothing(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket
) -> None:
    owner = await connect()
    grant = {"wallet": str(owner.wallet), "address": Account.from_key(SESSION).address}
    sandbox.call("POST", "session_keys", grant)
    async with await AsyncSecureClient.create(
        private_key=SESSION, wallet=str(owner.wallet), environment=environment_of(sandbox)
    ) as delegate:
        order = await delegate.create_limit_order(
            token_id=market.yes, side="BUY", price=Decimal("0.4"), size=Decimal(10)
        )
        for change in ({"scopes": ["COMBOSRFQ"]}, {"valid_for_seconds": 0}):
            sandbox.call("POST", "session_keys", {**grant, **change})
            with pytest.raises(RequestRejectedError, match="address of the API KEY"):
                await delegate.post_order(order)
        sandbox.call("POST", "session_keys", grant)
        assert (await delegate.post_order(order)).ok


async def test_a_session_key_cannot_withdraw(sandbox: RunningSandbox, connect: Connect) -> None:
    owner = await connect()
    session_address = Account.from_key(SESSION).address
    sandbox.call("POST", "session_keys", {"wallet": str(owner.wallet), "address": session_address, "scopes": ["ALL"]})
    key = sandbox.call("POST", "relayer_keys", {"address": session_address})["key"]
    async with await AsyncSecureClient.create(
        private_key=SESSION,
        wallet=str(owner.wallet),
        environment=environment_of(sandbox),
        api_key=RelayerApiKey(key=key, address=session_address),
    ) as delegate:
        with pytest.raises(RequestRejectedError):
            await delegate.transfer_erc20(
                token_address=contracts.PUSD, recipient_address=session_address, amount=MILLION
            )
    assert wallet_of(sandbox, owner)["cash"] == 1_000 * MILLION


async def test_the_relayer_asks_for_a_key_and_keeps_its_quota(
    sandbox: RunningSandbox, connect: Connect, market: SandboxMarket
) -> None:
    client = await connect()
    sandbox.call("POST", "venue", {"relayer_quota": 1})
    await (await client.split_position(condition_id=market.condition_id, amount=MILLION)).wait()
    stranger = await AsyncSecureClient.create(
        private_key=KEY,
        environment=environment_of(sandbox),
        api_key=RelayerApiKey(key="not-a-key", address=str(client.signer)),
    )
    with pytest.raises(RequestRejectedError, match="invalid relayer api key"):
        await stranger.split_position(condition_id=market.condition_id, amount=MILLION)
    await stranger.close()
    assert wallet_of(sandbox, client)["shares"] == {market.yes: MILLION, market.no: MILLION}
