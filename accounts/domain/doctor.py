"""The wallet doctor: what an account needs before it can trade, in order, and the one thing to do next. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

# Money moves and approvals are withdrawn: what was looked at longer ago says little.
STALE_AFTER = timedelta(hours=6)


class Finding(Protocol):
    """As the venue adapter tells it."""

    @property
    def name(self) -> str: ...
    @property
    def ok(self) -> bool | None: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...


# Name, and what is so when all is well. In the order in which mending makes sense.
CHECKS: tuple[tuple[str, str], ...] = (
    ("venue", "The venue answers"),
    ("clock", "Our clock agrees with the venue's"),
    ("region", "The venue serves this machine's region"),
    ("wallet", "The key and the wallet belong together"),
    ("key", "The signer holds the key and the venue accepts it"),
    ("standing", "The account may open positions"),
    ("balance", "The wallet holds money"),
    ("allowance", "The exchanges may use it"),
    ("sales", "The exchanges may take sold shares"),
)

REMEDIES: Mapping[str, str] = {
    "CLOCK_OFFSET": "Set this machine's clock (NTP).",
    "GEOBLOCKED": "Run PolyHub where the venue may be used; nothing can be traded from here.",
    "WALLET_KIND": "Connect the wallet again and choose the kind the check names.",
    "WALLET_NOT_OF_KEY": "Check the wallet address, or import the key that owns it.",
    "SIGNER_DOWN": "Start the signer: it is one of the processes of ./hub up.",
    "KEY_MISSING": "Import the key again.",
    "KEY_EXPIRED": "Authorise and import a new session key on the custody page.",
    "SEAL_BROKEN": "The vault cannot open the key: restore the vault key, or import the key again.",
    "ACCOUNT_STOPPED": "Start the account again first.",
    "CREDENTIALS_REFUSED": "Check that the key belongs to this wallet and that the kind of wallet is right.",
    "CLOSED_ONLY": "Nothing here helps: ask the venue why the account is in close-only mode.",
    "BALANCE_ZERO": "Deposit pUSD to the trading address.",
    "SALES_NOT_APPROVED": "Sell something on Polymarket itself, or approve the exchanges there: that sets it.",
    "ALLOWANCE_MISSING": "Place one order on Polymarket itself: that sets the approvals.",
}
AWAY = "Try again in a minute; if it stays, look at the venue's status page."


@dataclass(frozen=True, slots=True)
class Line:
    """One check as a page shows it: `ok` None was not looked at."""

    name: str
    label: str
    ok: bool | None
    message: str
    code: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`todo` is the first thing to mend; None when nothing stands in the way."""

    lines: tuple[Line, ...]
    checked_at: datetime | None
    is_stale: bool

    @property
    def todo(self) -> Line | None:
        return next((line for line in self.lines if line.ok is False), None)

    @property
    def is_ready(self) -> bool:
        return bool(self.lines) and self.todo is None and not self.is_stale


def as_stored(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """What is kept of a look, in the order of CHECKS."""
    told = {finding.name: finding for finding in findings}
    rows = []
    for name, label in CHECKS:
        finding = told.get(name)
        rows.append(
            {
                "name": name,
                "label": label,
                "ok": None if finding is None else finding.ok,
                "code": "" if finding is None else finding.code,
                "message": "" if finding is None else finding.message,
            }
        )
    return rows


def diagnose(connection: Mapping[str, Any], *, now: datetime) -> Diagnosis:
    """What the last look at an account's venue found, and whether it still says anything."""
    rows: Sequence[Mapping[str, Any]] = connection.get("checks") or ()
    looked = connection.get("checked_at")
    checked_at = datetime.fromisoformat(looked) if looked else None
    lines = tuple(
        Line(
            name=row["name"],
            label=row["label"],
            ok=row["ok"],
            message=row["message"],
            code=row["code"],
            remedy=REMEDIES.get(row["code"], AWAY) if row["ok"] is False else "",
        )
        for row in rows
    )
    return Diagnosis(lines, checked_at, checked_at is None or now - checked_at > STALE_AFTER)
