"""What the author's code raised, told as a `PipelineError` with file, line and hint.

Python 2 is refused here: a script is never rewritten, its author is told what to write.
"""

import re
import sys
from collections.abc import Mapping
from typing import Final

from euclid_dask.core.errors import PipelineError
from euclid_dask.dataflow.names import nearest
from euclid_dask.dsl import place

PYTHON_2_SYNTAX: Final = (
    (re.compile(r"^\s*print\b(?!\s*\()|^\s*print\s*>>"), "write print(...)"),
    (re.compile(r"^\s*exec\s+[^(=.]"), "write exec(...)"),
    (re.compile(r"^\s*except\s+.+,\s*\w+\s*:"), "write except SomeError as error:"),
    (re.compile(r"^\s*raise\s+[\w.]+\s*,"), 'write raise SomeError("text")'),
    (re.compile(r"`[^`]+`"), "write repr(...)"),
    (re.compile(r"<>"), "write !="),
    (re.compile(r"\bur['\"]"), 'write r"..."'),
    (re.compile(r"\b0[0-7]+\b"), "write 0o755 for octal numbers"),
    (re.compile(r"\b\d+[lL]\b"), "write the number without L"),
    (re.compile(r"^\s*def\s+\w+\(.*\(\w+\s*,|\blambda\s*\("), "unpack tuples inside the function"),
)
PYTHON_2_MODULES: Final[Mapping[str, str]] = {
    "ConfigParser": "configparser",
    "StringIO": "io",
    "cStringIO": "io",
    "cPickle": "pickle",
    "Queue": "queue",
    "Tkinter": "tkinter",
    "urllib2": "urllib.request",
    "urlparse": "urllib.parse",
    "httplib": "http.client",
    "commands": "subprocess",
    "__builtin__": "builtins",
}
PYTHON_2_NAMES: Final[Mapping[str, str]] = {
    "unicode": "str",
    "basestring": "str",
    "xrange": "range",
    "raw_input": "input",
    "long": "int",
    "unichr": "chr",
    "reduce": "functools.reduce",
    "file": "open",
    "execfile": "exec(open(...).read())",
}
PYTHON_2_METHODS: Final[Mapping[str, str]] = {
    "has_key": "key in dictionary",
    "iteritems": "items()",
    "itervalues": "values()",
    "iterkeys": "keys()",
}
_PYTHON_2: Final = "this is Python 2; in Python 3"


def mistake(error: BaseException, context: str = "") -> PipelineError:
    """Return the error that tells the author what their code raised, and where."""
    where = place.line_of(error)
    context = f" ({context})" if context else ""
    text = _said(error)
    if isinstance(error, SystemExit):
        return PipelineError(
            place.at(where, f"the script ends itself (exit code {error.code})"),
            hint="loading a pipeline runs the whole file: keep sys.exit() and option parsing "
            "under if __name__ == '__main__':",
        )
    return PipelineError(place.at(where, f"{text}{context}"), hint=_hint(error))


def _said(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}" if str(error) else name
    except Exception:  # noqa: BLE001  the text of an author's exception is the author's code
        return name


def syntax_mistake(path: str, line: int | None, text: str, problem: str) -> PipelineError:
    """Return the error for a line that is no Python 3."""
    where = f"{path}:{line}" if line else path
    text = text.strip()
    shown = f"\n    {text[:100]}" if text else ""
    for pattern, advice in PYTHON_2_SYNTAX:
        if pattern.search(text):
            return PipelineError(
                f"{where}: this is Python 2, which is not run: {problem}{shown}",
                hint=f"{advice}; 2to3 or a like tool changes a whole file",
            )
    return PipelineError(f"{where}: not valid Python: {problem}{shown}", hint="correct this line")


def missing_module(error: ModuleNotFoundError, searched: list[str], near: str) -> PipelineError:
    """Return the error for a module that was not found; `near` is a file with a like name."""
    name = error.name or str(error)
    where = place.line_of(error)
    if name in PYTHON_2_MODULES:
        hint = f"{_PYTHON_2} it is '{PYTHON_2_MODULES[name]}'"
    else:
        hint = f"did you mean '{near}'? " if near else ""
        hint += f"searched in {', '.join(searched)} and the installed packages"
    return PipelineError(place.at(where, f"there is no module '{name}'"), hint=hint)


def missing_name(error: ImportError, known: Mapping[str, object]) -> PipelineError:
    """Return the error for a name that a module does not have."""
    found = re.search(
        r"cannot import name '([^']+)' from (?:partially[\w ]+'|')([^']+)'", str(error)
    )
    if not found:
        return mistake(error)
    name, module = found.groups()
    hint = "define it there, or correct the name"
    if "partially initialized" in str(error):
        hint = "the modules import each other; move what both need into a third one"
    elif module.partition(".")[0] in sys.stdlib_module_names:
        hint = f"'{module}' is a module of Python itself; give yours another name"
    else:
        best = nearest(name, _executables_first(known))
        hint = f"did you mean '{best}'?" if best else hint
    return PipelineError(
        place.at(place.line_of(error), f"module '{module}' has no '{name}'"), hint=hint
    )


def _executables_first(known: Mapping[str, object]) -> list[str]:
    public = {name: value for name, value in known.items() if not name.startswith("_")}
    executables = [name for name, value in public.items() if callable(getattr(value, "spec", None))]
    return executables or list(public)


def _hint(error: BaseException) -> str:
    if isinstance(error, NameError) and error.name:
        return _hint_for_name(error.name, error)
    if isinstance(error, AttributeError) and error.name:
        if error.name in PYTHON_2_METHODS:
            return f"{_PYTHON_2} write {PYTHON_2_METHODS[error.name]}"
        best = nearest(error.name, getattr(error.obj, "__dict__", ()))
        return f"did you mean '{best}'?" if best else "correct this line"
    if isinstance(error, TypeError) and "print(<message>" in str(error):
        return f"{_PYTHON_2} write print(..., file=...)"
    return "this was raised by the code of the pipeline, when it was loaded"


def _hint_for_name(name: str, error: NameError) -> str:
    if name in PYTHON_2_NAMES:
        return f"{_PYTHON_2} it is {PYTHON_2_NAMES[name]}"
    best = nearest(name, _variables(error))
    return f"did you mean '{best}'?" if best else f"import or define '{name}'"


def _variables(error: BaseException) -> set[str]:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return set()
    return set(traceback.tb_frame.f_globals) | set(traceback.tb_frame.f_locals)
