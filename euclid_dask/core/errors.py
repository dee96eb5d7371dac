"""Every error we raise on purpose; the branch says who can mend it.

    EuclidDaskError
        PipelineError       the author: a pipeline script or package definition
        InputError          the caller: input files, the data file (ISF), arguments
        SiteError           the operator: machine, configuration, workdir, disk
            WorkdirError        the workdir cannot be used
            JournalError        a journal cannot be read
        InternalError       us
            IllegalTransitionError

A message says what is wrong and where; `hint` says what to do next. A science program that fails
is not an error of ours: it is an event (`core.events`).
"""


class EuclidDaskError(Exception):
    """Base of our errors: `message` says what and where, `hint` what to do next ("" if nothing)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class PipelineError(EuclidDaskError):
    """A pipeline script or package definition is wrong; its author can mend it."""


class InputError(EuclidDaskError):
    """What the caller gave is wrong: a file that is missing, a port that does not exist."""


class SiteError(EuclidDaskError):
    """The machine or its configuration is wrong; its operator can mend it."""


class WorkdirError(SiteError):
    """The workdir cannot be used: read-only, full, or in use by another run."""


class JournalError(SiteError):
    """A journal cannot be read: damaged before its last line, or of a newer format."""


class InternalError(EuclidDaskError):
    """A mistake of ours; please report it."""


class IllegalTransitionError(InternalError):
    """A state was asked to follow an arrow that is not in its table."""

    def __init__(self, state: object, cue: object) -> None:
        super().__init__(f"no transition from {state!r} by {cue!r}", hint="please report this")
