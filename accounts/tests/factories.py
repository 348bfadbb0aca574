"""The cast and their accounts."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from accounts.domain.statuses import AccountMode
from accounts.models import TradingAccount, User
from accounts.services import accounts, keys
from polyhub.lib import crypto

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


def user(name: str = "alice", **fields: object) -> User:
    """alice, bob or anybody: `{name}@example.com` with a verified address."""
    created = User.objects.create_user(f"{name}@example.com", PASSWORD, **fields)
    created.emailaddress_set.create(email=created.email, verified=True, primary=True)  # type: ignore[attr-defined]
    return created


def paper_account(owner: User, name: str = "Paper", *, start_usdc: str = "1000") -> TradingAccount:
    return accounts.create_account(
        user=owner, name=name, mode=AccountMode.PAPER, paper_start_usdc=Decimal(start_usdc), now=NOW
    )


def vault_key(folder: Path) -> crypto.KeyPair:
    """A vault key whose public half lies in `folder / "public.key"`, as the signer leaves it."""
    pair = crypto.new_key_pair()
    (folder / "public.key").write_text(pair.public.hex())
    return pair


def live_account(
    owner: User, private_key: bytes, address: str, name: str = "Live", *, policy: keys.PolicyValues | None = None
) -> TradingAccount:
    """A type-0 account with its sealed key; SIGNER_PUBLIC_KEY_FILE must name a vault's."""
    account = accounts.create_account(
        user=owner,
        name=name,
        mode=AccountMode.LIVE,
        signature_type=0,
        signer_address=address,
        trading_address=address,
        now=NOW,
    )
    keys.seal_key(account=account, private_key=private_key, now=NOW)
    keys.set_policy(account=account, values=policy or keys.PolicyValues(), now=NOW)
    return account
