"""The official client pointed at a local venue, for tests that let it judge answers."""

import dataclasses

from polymarket._internal.environment import PRODUCTION_CONFIG, create_environment
from polymarket.environments import Environment

from markets.venue.sandbox.testing import RunningSandbox


def environment_of(sandbox: RunningSandbox) -> Environment:
    """Production but for its URLs, and quick to ask the relayer again."""
    rest, stream = sandbox.url, sandbox.ws_url
    config = dataclasses.replace(
        PRODUCTION_CONFIG,
        clob_url=f"{rest}/clob",
        gamma_url=f"{rest}/gamma",
        data_url=f"{rest}/data",
        relayer_url=f"{rest}/relayer",
        rpc_url=f"{rest}/rpc",
        clob_market_ws_url=f"{stream}/ws/market",
        clob_user_ws_url=f"{stream}/ws/user",
        rtds_ws_url=f"{stream}/ws/rtds",
        relayer_poll_frequency_ms=50,
    )
    return create_environment(name="sandbox", config=config)
