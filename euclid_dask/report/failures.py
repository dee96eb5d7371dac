"""Failures that say the same thing, told once."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from euclid_dask.runner.views import FailureView

_NUMBERS: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failures with the same message but for names and numbers, in the order of planting."""

    failures: tuple[FailureView, ...]

    @property
    def first(self) -> FailureView:
        """The one that stands for all."""
        return self.failures[0]

    @property
    def tasks(self) -> list[str]:
        """The ids of the failed tasks or splits."""
        return [failure.task for failure in self.failures]

    @property
    def blocks(self) -> int:
        """How many tasks could not run because of these."""
        return sum(failure.blocks for failure in self.failures)


def grouped(failures: Iterable[FailureView]) -> list[FailureGroup]:
    """Return failures by message, the largest group first."""
    groups: dict[tuple[object, ...], list[FailureView]] = {}
    for failure in failures:
        text = _NUMBERS.sub("#", failure.reason.replace(failure.task, ""))
        groups.setdefault((failure.kind, failure.exit_code, text), []).append(failure)
    found = [FailureGroup(tuple(members)) for members in groups.values()]
    return sorted(found, key=lambda group: -len(group.failures))
