"""Every error we raise on purpose; the branch says who can mend it.

    EuclidDaskError
        PipelineError       the author: a pipeline script or package definition
        InputError          the caller: input files, the data file (ISF), arguments
        SiteError           the operator: machine, configuration, workdir, disk
            WorkdirError        the workdir cannot be used
            JournalError        a journal cannot be read
            StoppedError        a run was stopped in the middle; it can go on later
            BatchError          a command of the batch system failed
                BatchUnreachableError   it could not be asked; later it may
                SubmitUnknownError      it was asked, and did not answer
            RegistryError       the registry's database cannot be used
                RegistryUnreachableError    it does not answer; later it may
        InternalError       us
            IllegalTransitionError

A message says what is wrong and where; `hint` says what to do next. A science program that fails
is not an error of ours: it is an event (`core.events`).
"""

import sys


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


class StoppedError(SiteError):
    """A run was stopped in the middle by its machine; it can go on later."""


class BatchError(SiteError):
    """A command of the batch system failed, and would fail again."""


class BatchUnreachableError(BatchError):
    """The batch system could not be asked; nothing was done, and later it may succeed."""


class SubmitUnknownError(BatchError):
    """A job may have been submitted, or not: look for it by its name."""


class RegistryError(SiteError):
    """The registry's database cannot be used: full, of a newer schema, or in use by others."""


class RegistryUnreachableError(RegistryError):
    """The registry's database does not answer; later it may."""


class InternalError(EuclidDaskError):
    """A mistake of ours; please report it."""


class IllegalTransitionError(InternalError):
    """A state was asked to follow an arrow that is not in its table."""

    def __init__(self, state: object, cue: object) -> None:
        super().__init__(f"no transition from {state!r} by {cue!r}", hint="please report this")


def unwritable(error: UnicodeEncodeError) -> InputError:
    """Return the error that tells of a name that no file can have here, or no journal can hold."""
    name = error.object.encode("utf-8", "backslashreplace").decode()
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return InputError(f"{name}: this name is not UTF-8", hint="rename it")
    return InputError(
        f"{name}: file names are {encoding} in this environment, and this is none",
        hint="set LC_ALL=C.UTF-8, and do not set PYTHONUTF8=0",
    )
