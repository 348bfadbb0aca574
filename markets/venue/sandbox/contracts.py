"""Addresses of the venue's contracts on Polygon, and who must be approved for what."""

from typing import Final

PUSD: Final = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
USDC_E: Final = "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174"
CONDITIONAL_TOKENS: Final = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
EXCHANGE: Final = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE: Final = "0xe2222d279d744050d28e00520010520000310F59"
EXCHANGE_V3: Final = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
POSITION_MANAGER: Final = "0x006F54F7f9A22e0000CC2AB60031000000ae9fEF"
ROUTER: Final = "0x12121212006e4CD160D18e3f00711DA5c3372600"
BINARY_MODULE: Final = "0x1000008dD9001B968442c1000017eaE6E0dA00Ba"
NEG_RISK_MODULE: Final = "0x200000900045e3B6259600682756002200028933"
ADAPTER: Final = "0xAdA100Db00Ca00073811820692005400218FcE1f"
NEG_RISK_ADAPTER: Final = "0xadA2005600Dec949baf300f4C6120000bDB6eAab"
OLD_NEG_RISK_ADAPTER: Final = "0xd91E80cF2E7be2e162c6513ceD06f1dD0dA35296"
AUTO_REDEEM: Final = "0xa1200000d0002264C9a1698e001292D00E1b00af"
PERPS_DEPOSIT: Final = "0xDCa4af75705dbB50f62437045afF9921947917d2"
ORACLE: Final = "0x6A9D222616C90FcA5754cd1333cFD9b7fb6a4F74"
SAFE_MULTISEND: Final = "0xA238CBeb142c10Ef7Ad8442C6D1f9E89e07e7761"
RELAY_HUB: Final = "0xD216153c06E857cD7f72665E0aF1d7D82172F494"

# Who may take pUSD, and who may move outcome shares of which token contract.
CASH_SPENDERS: Final = (
    *(EXCHANGE, NEG_RISK_EXCHANGE, ADAPTER, NEG_RISK_ADAPTER),
    *(ROUTER, EXCHANGE_V3, PERPS_DEPOSIT),
)
SHARE_OPERATORS: Final = (
    *((CONDITIONAL_TOKENS, one) for one in (EXCHANGE, NEG_RISK_EXCHANGE, ADAPTER, NEG_RISK_ADAPTER, AUTO_REDEEM)),
    *((CONDITIONAL_TOKENS, one) for one in (BINARY_MODULE, NEG_RISK_MODULE)),
    *((POSITION_MANAGER, one) for one in (ROUTER, EXCHANGE_V3, AUTO_REDEEM)),
)


def is_v2_position(token_id: str) -> bool:
    """Whether a token id lies in the namespace of the venue's second protocol."""
    return token_id.isdecimal() and (int(token_id) >> 40) & (2**64 - 1) == 0


def exchange_of(token_id: str, *, neg_risk: bool) -> str:
    """The contract that settles orders of this token."""
    if is_v2_position(token_id):
        return EXCHANGE_V3
    return NEG_RISK_EXCHANGE if neg_risk else EXCHANGE


def token_contract(token_id: str) -> str:
    """The ERC-1155 contract that holds shares of this token."""
    return POSITION_MANAGER if is_v2_position(token_id) else CONDITIONAL_TOKENS
