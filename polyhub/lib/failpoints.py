"""Named points of an order's life where a test may kill or fail the process.

`fp("F5")` does nothing unless the variable FAILPOINTS is set, e.g. `F5:kill`, `F3:raise` or, at random,
`F6:kill@0.1,F8:kill@0.1` with FAILPOINT_SEED. Steps: F0 intent committed, F1 lease known, F2 limits checked,
F3 signature recorded, F4 signed, F5 claim committed, F6 bytes written, F7 answer read, F8 answer committed,
F9 told, F10 fill written, F11 order closed.
"""

import os
import random
import signal
from dataclasses import dataclass

STEPS = tuple(f"F{number}" for number in range(12))


class FailpointHit(RuntimeError):
    """Raised by an armed failpoint with the action `raise`."""


class BadFailpoints(ValueError):
    """FAILPOINTS does not read as name:action[@probability]."""


@dataclass(frozen=True, slots=True)
class Armed:
    action: str
    probability: float


def parse(text: str) -> dict[str, Armed]:
    """`F5:kill,F6:raise@0.5` to a table; raises BadFailpoints."""
    table: dict[str, Armed] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, rest = part.partition(":")
        action, _, chance = rest.partition("@")
        if name not in STEPS or action not in {"kill", "raise"}:
            raise BadFailpoints(f"Not a failpoint: {part!r}")
        try:
            table[name] = Armed(action, float(chance) if chance else 1.0)
        except ValueError:
            raise BadFailpoints(f"Not a probability: {part!r}") from None
    return table


_table: dict[str, Armed] = {}
_chance = random.Random(0)  # noqa: S311


def arm(text: str, *, seed: int = 0) -> None:
    """Arm these failpoints in this process, and nothing else."""
    _table.clear()
    _table.update(parse(text))
    _chance.seed(seed)


def armed() -> bool:
    """True when this process runs with failpoints (a system check refuses that with the real venue)."""
    return bool(_table)


def fp(name: str) -> None:
    """No-op in production; when armed, `kill` ends this process at once as kill -9 would."""
    if not _table:
        return
    point = _table.get(name)
    if point is None or _chance.random() >= point.probability:
        return
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise FailpointHit(name)


arm(os.environ.get("FAILPOINTS", ""), seed=int(os.environ.get("FAILPOINT_SEED", "0")))
