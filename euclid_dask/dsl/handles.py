"""Handles: what stands for a file while a pipeline is traced.

A handle knows where a value will come from and nothing else: there is no file yet. So it can be
passed on and returned, and everything else an author may try is answered by a `PipelineError`
that says so. A call with one output returns a handle that also unpacks (`x, = task()`); a call
with more returns `Outputs`, a tuple that says which ports there are if the count does not match.
"""

import opcode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NoReturn

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import Constant, FromInput
from euclid_dask.dsl import place

MARK: Final = "<handle "
"""How the text of a handle begins; a name or constant that holds it was made from a handle."""

UNPACKING: Final = ("UNPACK_SEQUENCE", "UNPACK_EX")
SPREADING: Final = ("LIST_EXTEND", "CALL_FUNCTION_EX")
"""What the interpreter does for `first, second = call` and for `function(*call)`."""


@dataclass(slots=True, eq=False)
class Draft:
    """A node that is not named yet: names are given when the whole body is known."""

    base: str
    where: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """An output of a draft."""

    draft: Draft
    port: str


Origin = FromInput | Constant | Made
"""Where a handle's value comes from, inside the body being traced."""


class HandleTypeError(PipelineError, TypeError):
    """Something was done with a handle that it cannot do; Python may try another way."""


def _refusal(what: str, hint: str) -> Callable[..., Any]:
    def refuse(self: "Handle", *_: object) -> NoReturn:
        raise HandleTypeError(
            place.at(
                place.user_line(), f"{what} {self.label}, which is a file that does not exist yet"
            ),
            hint=hint,
        )

    return refuse


_DECIDE: Final = (
    "a pipeline function only wires tasks and cannot look at their results; "
    "an executable has to decide this"
)
_LOOP: Final = "to work on the elements of a list file, write a function with @parallel"
_TEXT: Final = "pass the handle itself as an input of an executable"


class Handle:
    """The future value of an output port or an argument.

    `scope` is the traced body it belongs to, `origin` is None when the value is absent, `label`
    says in words what it is, `port` is the name it has where it comes from.
    """

    __slots__ = ("is_join", "label", "origin", "port", "scope")

    def __init__(
        self, scope: object, origin: Origin | None, port: str, label: str, *, is_join: bool = False
    ) -> None:
        self.scope = scope
        self.origin = origin
        self.port = port
        self.label = label
        self.is_join = is_join

    @property
    def is_file(self) -> bool:
        """Tell whether it stands for a file, not for a text or nothing."""
        return isinstance(self.origin, (FromInput, Made))

    def __repr__(self) -> str:
        return f"{MARK}{self.label}>"

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (str, bytes, int, float)):
            self._compare()
        return self is other

    def __iter__(self) -> Iterator["Handle"]:
        operation, count = _caller_unpacks()
        if operation not in UNPACKING + SPREADING:
            self._loop()
        if operation == "UNPACK_SEQUENCE" and count != 1:
            raise PipelineError(
                place.at(
                    place.user_line(), f"{count} names on the left, but {self.label} is one value"
                ),
                hint=_one_value(is_join=self.is_join),
            )
        return iter((self,))

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{self.label} is a file that does not exist yet, it has no attribute {name!r}"
        )

    _compare = _refusal("cannot compare", _DECIDE)
    _loop = _refusal("cannot loop over", _LOOP)
    __bool__ = _refusal("cannot decide on", _DECIDE)
    __lt__ = __le__ = __gt__ = __ge__ = _compare
    __len__ = _refusal("cannot take the length of", _DECIDE)
    __getitem__ = __setitem__ = __contains__ = _refusal("cannot look into", _LOOP)
    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = __mod__ = __rmod__ = _refusal(
        "cannot calculate with", _TEXT
    )
    __truediv__ = __rtruediv__ = __add__
    __int__ = __float__ = __index__ = _refusal("cannot make a number of", _DECIDE)
    __fspath__ = _refusal("cannot open or name a file by", _TEXT)
    __call__ = _refusal("cannot call", "it is the result of a call already")


class Outputs(tuple[Handle, ...]):  # noqa: SLOT001 - a tuple with one fact more
    """What a call with none or several outputs returns. `title` names the call in messages."""

    title: str

    @classmethod
    def of(cls, title: str, handles: list[Handle]) -> "Handle | Outputs":
        """Return the only handle, or all of them as `Outputs`."""
        if len(handles) == 1:
            return handles[0]
        outputs = cls(handles)
        outputs.title = title
        return outputs

    def __iter__(self) -> Iterator[Handle]:
        operation, count = _caller_unpacks()
        if operation == "UNPACK_SEQUENCE" and count != len(self):
            ports = ", ".join(handle.port for handle in tuple.__iter__(self)) or "none"
            raise PipelineError(
                place.at(
                    place.user_line(),
                    f"{count} names on the left, but {self.title} has {len(self)} outputs",
                ),
                hint=f"its outputs, in this order: {ports}",
            )
        return tuple.__iter__(self)


def _one_value(*, is_join: bool) -> str:
    if is_join:
        return (
            "@parallel returns exactly one list file, however many values its body returns: "
            "one entry per branch, each a list of those values"
        )
    return "write one name on the left"


def _caller_unpacks() -> tuple[str, int]:
    """Return what the author's code does with an iterator it asks for, and with how many names."""
    frame: FrameType | None = next(place.user_frames(), None)
    if frame is None or frame.f_lasti < 0:
        return "", 0
    code = frame.f_code.co_code
    return opcode.opname[code[frame.f_lasti]], code[frame.f_lasti + 1]
