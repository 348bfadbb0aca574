"""Whether an account can trade: the venue is opened as an engine would, and the first fault is named."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts.domain import doctor
from accounts.models import TradingAccount, User
from markets.venue import registry
from markets.venue.errors import VenueError
from markets.venue.ports import Venue, VenueCheck
from polyhub.lib import money, push

# After this long without an answer the page says that the engines do not run.
WAIT_S = 30

# The order in which `Venue.open` looks at things; a fault proves what comes before it.
STEPS: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("venue", "The venue answers", frozenset()),
    ("clock", "Our clock agrees with the venue's", frozenset({"CLOCK_OFFSET"})),
    (
        "key",
        "The signer holds the key",
        frozenset(
            {
                "SIGNER_DOWN",
                "SIGNER_DATABASE",
                "SIGNER_FAULT",
                "KEY_MISSING",
                "KEY_EXPIRED",
                "SEAL_BROKEN",
                "UNKNOWN_ACCOUNT",
                "NOT_LIVE",
                "USER_DISABLED",
                "ACCOUNT_STOPPED",
                "BAD_REQUEST",
            }
        ),
    ),
    ("credentials", "The venue accepts the key", frozenset({"CREDENTIALS_REFUSED"})),
    ("balance", "The wallet holds money", frozenset({"BALANCE_ZERO"})),
    ("allowance", "The exchanges may use it", frozenset({"ALLOWANCE_MISSING"})),
)

# What to do about it; the venue's or signer's own words follow.
REMEDIES = {
    "CLOCK_OFFSET": "Set this machine's clock (NTP).",
    "SIGNER_DOWN": "Start the signer: it is one of the processes of ./hub up.",
    "KEY_MISSING": "Import the key again.",
    "KEY_EXPIRED": "Take the next session key into use on the page of keys.",
    "SEAL_BROKEN": "The vault cannot open the key: restore the vault key, or import the key again.",
    "ACCOUNT_STOPPED": "Start the account again first.",
    "CREDENTIALS_REFUSED": "Check that the key belongs to this wallet and that the kind of wallet is right.",
    "BALANCE_ZERO": "Deposit pUSD to the trading address.",
    "ALLOWANCE_MISSING": "Place one order on Polymarket itself: that sets the approvals.",
}
# Play money has no key and no wallet at the venue.
PAPER_STEPS = 2
_VENUE_REMEDY = "Try again in a minute; if it stays, look at the venue's status page."


@dataclass(frozen=True, slots=True)
class Examined:
    """`fault` is None when the account can trade; `cash_units` as the venue told it."""

    fault: VenueError | None
    cash_units: int | None = None
    checks: tuple[VenueCheck, ...] = ()


async def examine(venue: Venue) -> Examined:
    """Look at everything once, then open the venue as an engine would and ask for the balance."""
    checks: tuple[VenueCheck, ...] = ()
    try:
        checks = await registry.examine(venue)
        await venue.open()
        balances = await venue.balances([])
    except VenueError as fault:
        return Examined(fault, checks=checks)
    finally:
        await venue.close()
    return Examined(None, balances.cash_units, checks)


def report(examined: Examined, *, now: datetime, is_paper: bool = False) -> dict[str, Any]:
    """What the page shows: each step done, failed or not reached, and the one thing to fix."""
    fault = examined.fault
    failed_at = next((at for at, (_, _, codes) in enumerate(STEPS) if fault and fault.code in codes), 0)
    steps = []
    for at, (name, label, _) in enumerate(STEPS[:PAPER_STEPS] if is_paper else STEPS):
        is_ok = True if fault is None or at < failed_at else (False if at == failed_at else None)
        steps.append({"name": name, "label": label, "ok": is_ok})
    first_failure = None
    if fault is not None:
        remedy = REMEDIES.get(fault.code, _VENUE_REMEDY)
        first_failure = {"step": STEPS[failed_at][0], "code": fault.code, "message": fault.message, "remedy": remedy}
    else:
        # The engine could start, and something stands in the way all the same.
        first_failure = _first_of(doctor.as_stored(examined.checks))
    cash = examined.cash_units
    return {
        "state": "checked",
        "checked_at": now.isoformat(),
        "steps": steps,
        "first_failure": first_failure,
        "checks": doctor.as_stored(examined.checks) if examined.checks else [],
        "cash_usdc": None if cash is None else str(money.from_units(cash)),
    }


def _first_of(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    row = next((row for row in rows if row["ok"] is False), None)
    if row is None:
        return None
    remedy = doctor.REMEDIES.get(row["code"], _VENUE_REMEDY)
    return {"step": row["name"], "code": row["code"], "message": row["message"], "remedy": remedy}


@transaction.atomic
def ask(*, account: TradingAccount, now: datetime) -> bool:
    """Note that a check was asked for; the page waits for its answer. False while another one of the user's is waiting.

    Checks share the workers of the feed and the engines: a user who asks without end would hold up everybody's orders.
    """
    User.objects.select_for_update().get(pk=account.user_id)
    waiting = TradingAccount.objects.filter(user_id=account.user_id, connection__state="waiting")
    if any(not is_overdue(each, now=now) for each in waiting):
        account.refresh_from_db(fields=["connection"])
        return False
    _write(account, {"state": "waiting", "asked_at": now.isoformat()}, now=now)
    return True


def is_overdue(account: TradingAccount, *, now: datetime) -> bool:
    """A check was asked for and nobody answered."""
    if account.connection.get("state") != "waiting":
        return False
    return (now - datetime.fromisoformat(account.connection["asked_at"])).total_seconds() > WAIT_S


def store(*, account: TradingAccount, found: dict[str, Any], now: datetime) -> None:
    _write(account, found, now=now)


@transaction.atomic
def _write(account: TradingAccount, connection: dict[str, Any], *, now: datetime) -> None:
    TradingAccount.objects.filter(pk=account.pk).update(connection=connection)
    account.connection = connection
    payload = {"account": str(account.pk), "connection": connection["state"]}
    push.push(pushes=[push.Push(account.user_id, "account.changed", payload)], now=now)
