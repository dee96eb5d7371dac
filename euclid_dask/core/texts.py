"""Texts that a program can be given, and what of them can be shown."""

import re
from typing import Final

QUESTION: Final = "query:"
"""How the value of an input begins that asks for products instead of naming a file."""
NOTICE: Final = "notice: "
"""How a text begins, among warnings, of what may be meant."""
_SECRET: Final = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")


def without_passwords(text: str) -> str:
    """Return `text` with the passwords of its URLs left out.

    >>> without_passwords("postgresql://me:secret@host/db")
    'postgresql://me:***@host/db'
    """
    return _SECRET.sub(r"\1:***@", text)


def is_question(value: str | None) -> bool:
    """Tell whether the value of an input asks for products.

    >>> is_question("query: DpdVisRawFrame"), is_question("query.xml"), is_question(None)
    (True, False, False)
    """
    return value is not None and value.startswith(QUESTION)


def argument_problem(text: str) -> str:
    r"""Return why `text` cannot be a word of a command line, "" if it can.

    >>> argument_problem("to\0ol"), argument_problem("é")
    ('holds a NUL character', '')
    """
    if "\0" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a character (a surrogate)"
    return ""
