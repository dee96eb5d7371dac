"""Which hosts are bad: where one attempt after another is lost or failed by the machine.

A host is judged by its row of troubles: attempts that succeed there end it. It is only blamed if
attempts succeed elsewhere meanwhile; a trouble that all have in common, like a full workdir, is no
host's fault. So it is with the tests that pilots make of their hosts.
"""

from dataclasses import dataclass, field

from euclid_dask.core.attempts import FailureKind
from euclid_dask.core.events import HostQuarantined, RunEvent, TaskErred, TaskLost, TaskSucceeded
from euclid_dask.core.ids import PilotId
from euclid_dask.core.rules import Rules


@dataclass(slots=True)
class _Row:
    """Troubles in a row: when the first one was, and which pilots were lost."""

    since_s: float
    count: int = 0
    pilots: set[PilotId] = field(default_factory=set)


@dataclass(slots=True)
class Hosts:
    """The hosts of pilots, as attempts fare there; memory, not truth."""

    _rows: dict[str, _Row] = field(default_factory=dict)
    _succeeded_s: dict[str, float] = field(default_factory=dict)
    _fit: dict[str, bool] = field(default_factory=dict)

    def tested(self, host: str, trouble: str, at_s: float, rules: Rules) -> HostQuarantined | None:
        """Take a pilot's test of its host into account; `trouble` is "" if the host is fit.

        That it is not is the host's own fault if the host that was tested last before it is fit.
        """
        self._fit.pop(host, None)
        is_fit_elsewhere = next(reversed(self._fit.values()), False)
        self._fit[host] = not trouble
        return _quarantine(host, trouble, at_s, rules) if trouble and is_fit_elsewhere else None

    def learn(
        self, event: RunEvent, host: str, pilot: PilotId, rules: Rules
    ) -> HostQuarantined | None:
        """Take the end of an attempt into account; return what becomes of its host, if anything.

        That a pilot is lost is one trouble, whatever ran there.
        """
        if not host:
            return None
        if isinstance(event, TaskSucceeded):
            self._rows.pop(host, None)
            self._succeeded_s[host] = event.at_s
        reason = self._trouble(event, host, pilot)
        return self._count(reason, event.at_s, host, rules) if reason else None

    def _trouble(self, event: RunEvent, host: str, pilot: PilotId) -> str:
        """Return what trouble an event is, "" if it is none, or none of its own."""
        match event:
            case TaskErred() if event.failure.kind is FailureKind.SYSTEM:
                return event.failure.message
            case TaskLost(expired=False):
                row = self._rows.setdefault(host, _Row(event.at_s))
                is_new = pilot not in row.pilots
                row.pilots.add(pilot)
                return event.reason if is_new else ""
            case _:
                return ""

    def _count(self, reason: str, at_s: float, host: str, rules: Rules) -> HostQuarantined | None:
        row = self._rows.setdefault(host, _Row(at_s))
        row.count += 1
        elsewhere = any(
            other != host and succeeded_s >= row.since_s
            for other, succeeded_s in self._succeeded_s.items()
        )
        if row.count < rules.max_troubles or not elsewhere:
            return None
        del self._rows[host]
        return _quarantine(host, f"{row.count} troubles in a row; {reason}", at_s, rules)


def _quarantine(host: str, reason: str, at_s: float, rules: Rules) -> HostQuarantined:
    """Return that a host takes nothing new for a while."""
    return HostQuarantined(at_s=at_s, host=host, reason=reason, until_s=at_s + rules.quarantine_s)
