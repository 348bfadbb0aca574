"""What went wrong with the data, counted where it happens; a service writes the sums down."""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum

# Incidents of one flush that are kept in words; the counts are complete whatever their number.
MOST_INCIDENTS = 200


class Trouble(StrEnum):
    """RECONNECT: the socket was lost. GAP: something was missed. UNREADABLE: a frame made no sense. DISAGREEMENT: two
    sources told different books. CHECKSUM: a book did not give the venue's hash. RESUBSCRIBED: asked for anew.
    """

    RECONNECT = "reconnect"
    GAP = "gap"
    UNREADABLE = "unreadable"
    DISAGREEMENT = "disagreement"
    CHECKSUM = "checksum"
    RESUBSCRIBED = "resubscribed"


class Subject(StrEnum):
    ASSET = "asset"
    STREAM = "stream"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class Incident:
    subject: Subject
    name: str
    trouble: Trouble
    detail: str
    at_ms: int


@dataclass(slots=True)
class Watched:
    """Milliseconds for which a book was needed, and of these, trusted."""

    needed_ms: int = 0
    trusted_ms: int = 0


@dataclass(slots=True)
class Told:
    """Everything noted since the last time."""

    counts: Counter[tuple[Subject, str, Trouble]] = field(default_factory=Counter)
    watched: dict[tuple[Subject, str], Watched] = field(default_factory=dict)
    incidents: deque[Incident] = field(default_factory=lambda: deque(maxlen=MOST_INCIDENTS))

    @property
    def is_empty(self) -> bool:
        return not self.counts and not self.watched


class Notebook:
    """One per process; `note` is cheap enough for the hot path's odd cases, `take` hands over and starts anew."""

    def __init__(self) -> None:
        self._told = Told()
        # Since the process began, for metrics.
        self.totals: Counter[Trouble] = Counter()

    def note(self, trouble: Trouble, subject: Subject, name: str, *, at_ms: int, detail: str = "") -> None:
        self._told.counts[subject, name, trouble] += 1
        self._told.incidents.append(Incident(subject, name, trouble, detail, at_ms))
        self.totals[trouble] += 1

    def watched(self, subject: Subject, name: str, *, needed_ms: int, trusted_ms: int) -> None:
        spans = self._told.watched.setdefault((subject, name), Watched())
        spans.needed_ms += needed_ms
        spans.trusted_ms += trusted_ms

    def take(self) -> Told:
        told, self._told = self._told, Told()
        return told

    def give_back(self, told: Told) -> None:
        """What could not be written down is told again next time."""
        now = self.take()
        told.counts.update(now.counts)
        for key, spans in now.watched.items():
            kept = told.watched.setdefault(key, Watched())
            kept.needed_ms += spans.needed_ms
            kept.trusted_ms += spans.trusted_ms
        told.incidents.extend(now.incidents)
        self._told = told
