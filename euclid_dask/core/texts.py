"""Texts that a program can be given."""


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
