"""Tracing: run the body of a function once with handles, and keep what it called.

A `Scope` is one body being traced, a `Trace` the whole pipeline. The scope in which calls record
themselves is a context variable, so threads and nested bodies do not disturb each other.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import PurePath
from typing import Protocol

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import Body, Constant, FlowOutput, FromInput, FromNode, Node, Source
from euclid_dask.core.ports import ExecutableSpec
from euclid_dask.core.texts import argument_problem
from euclid_dask.dataflow.names import did_you_mean, name_problem
from euclid_dask.dsl import place
from euclid_dask.dsl.handles import MARK, Draft, Handle, Made, Origin, Outputs

Arguments = dict[str, Origin]
Finish = Callable[[str, dict[str, Source]], Node]


class Definition(Protocol):
    """An executable as the tracer sees it."""

    def spec(self) -> ExecutableSpec:
        """Return the executable as a value, with the name of its variable."""


@dataclass(slots=True)
class Trace:
    """One pipeline being traced: the executables it called, by key, and the calls under way."""

    executables: dict[str, ExecutableSpec] = field(default_factory=dict)
    keys: dict[int, str] = field(default_factory=dict)
    numbers: dict[str, Iterator[int]] = field(default_factory=dict)
    calling: list[tuple[object, str]] = field(default_factory=list)

    def key(self, definition: Definition, module: str) -> str:
        """Return the key of an executable, adding it when it is called for the first time."""
        if id(definition) in self.keys:
            return self.keys[id(definition)]
        spec = definition.spec()
        longer = f"{module}.{spec.name}"
        numbers = self.numbers.setdefault(longer, count(2))
        numbered = (f"{longer}-{number}" for number in numbers)
        key = next(
            key for key in chain((spec.name, longer), numbered) if key not in self.executables
        )
        self.executables[key] = spec
        self.keys[id(definition)] = key
        return key


@dataclass(slots=True, eq=False)
class Scope:
    """A body being traced: the nodes called so far. `title` says in words whose body it is."""

    trace: Trace
    title: str
    drafts: list[tuple[Draft, Arguments, Finish]] = field(default_factory=list)

    def add(self, draft: Draft, arguments: Arguments, finish: Finish) -> None:
        """Record a call; `finish` makes the node once names and sources are known."""
        self.drafts.append((draft, arguments, finish))

    def freeze(self, inputs: tuple[str, ...], outputs: Mapping[str, Handle]) -> Body:
        """Name the nodes and return the body."""
        _give_names([draft for draft, _, _ in self.drafts], self.title)
        nodes = tuple(
            finish(draft.name, {port: source_of(origin) for port, origin in arguments.items()})
            for draft, arguments, finish in self.drafts
        )
        return Body(
            inputs=inputs,
            nodes=nodes,
            outputs=tuple(
                FlowOutput(name=name, source=source_of(handle.origin))
                for name, handle in outputs.items()
                if handle.origin is not None
            ),
        )


_scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


def current_scope(what: str) -> Scope:
    """Return the body being traced; `what` is called, which is an error outside of one."""
    scope = _scope.get()
    if scope is None:
        raise PipelineError(
            place.at(place.user_line(), f"{what} is called outside of a pipeline"),
            hint="call it inside a function decorated with @pipeline, @nested or @parallel",
        )
    return scope


@contextmanager
def entered(scope: Scope, function: object) -> Iterator[None]:
    """Make `scope` the current one while the body of `function` runs; refuse a cycle."""
    calling = scope.trace.calling
    if any(function is other for other, _ in calling):
        chain = " -> ".join([*(title for _, title in calling), scope.title])
        raise PipelineError(
            place.at(place.user_line(), f"{scope.title} calls itself: {chain}"),
            hint="a pipeline is a finite graph; break the circle of calls",
        )
    calling.append((function, scope.title))
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)
        calling.pop()


def source_of(origin: Origin | None) -> Source:
    """Return the source of a value of a body whose nodes have their names."""
    assert origin is not None, "absent values are dropped before"
    if isinstance(origin, Made):
        return FromNode(node=origin.draft.name, port=origin.port)
    return origin


def origin_of(value: object, scope: Scope, what: str, where: str = "") -> Origin | None:
    """Return where a value passed to a call comes from; None when it is absent.

    `what` names the port in messages. Texts and numbers become constants, a list of them one
    constant with spaces between.
    """
    value = single(value, what)
    if value is None:
        return None
    if isinstance(value, Handle):
        if value.scope is not scope:
            raise PipelineError(
                place.at(
                    where or place.user_line(),
                    f"{what} is given {value.label}, which belongs to another function",
                ),
                hint=f"inside {scope.title} use its own arguments; pass what it needs as one",
            )
        return value.origin
    return Constant(text=_text(value, what))


def single(value: object, what: str) -> object:
    """Unwrap a tuple of one value; refuse a longer one, which cannot be an input."""
    while isinstance(value, tuple):
        if len(value) != 1:
            raise PipelineError(
                place.at(place.user_line(), f"{what} is given a tuple of {len(value)} values"),
                hint=_tuple_hint(value),
            )
        value = value[0]
    return value


def _tuple_hint(value: tuple[object, ...]) -> str:
    if isinstance(value, Outputs):
        ports = ", ".join(handle.port for handle in tuple.__iter__(value))
        return f"take the output you mean: {ports or 'there is none'}"
    return "an input is one file; write a list [...] for several words of text"


def _text(value: object, what: str, where: str = "") -> str:
    where = where or place.user_line()
    words = value if isinstance(value, list) else [value]
    for word in words:
        if not isinstance(word, (str, int, float, PurePath)):
            raise PipelineError(
                place.at(where, f"{what} is given {_a(word)}"),
                hint="pass a handle, a text, a number, a list of texts and numbers, or None",
            )
    text = " ".join(str(word) for word in words)
    refuse_handle_text(text, what)
    if problem := argument_problem(text):
        raise PipelineError(place.at(where, f"{what} is given a text that {problem}"))
    return text


def _a(value: object) -> str:
    return "a list of handles" if isinstance(value, Handle) else f"a {type(value).__name__}"


def refuse_handle_text(text: str, what: str) -> None:
    """Refuse a text in which a handle was formatted."""
    if MARK in text:
        raise PipelineError(
            place.at(place.user_line(), f"{what} is a text made from a handle: {text!r}"),
            hint="a handle stands for a file that has no name yet; pass the handle itself",
        )


def call_name(kwargs: dict[str, object], base: str, ports: tuple[str, ...]) -> str:
    """Take `name=` out of the keywords of a call and return the name of the node."""
    if "name" not in kwargs or ("name" in ports and isinstance(kwargs["name"], Handle)):
        return base
    name = kwargs.pop("name")
    if not isinstance(name, str):
        raise PipelineError(
            place.at(place.user_line(), f"name= of '{base}' must be a text, not {_a(name)}"),
            hint="name= names this call; write name='...'",
        )
    refuse_handle_text(name, f"name= of '{base}'")
    problem = name_problem(name)
    if problem:
        raise PipelineError(
            place.at(place.user_line(), f"name= of '{base}' {problem}: {name[:40]!r}"),
            hint="the name becomes a directory: letters, digits, '_' and '-' are safe",
        )
    return name


def refuse_positional(what: str, args: tuple[object, ...], ports: tuple[str, ...]) -> None:
    """Refuse positional arguments of a call."""
    if args:
        first = ports[0] if ports else "port"
        raise PipelineError(
            place.at(place.user_line(), f"{what} is called with positional arguments"),
            hint=f"name every input: {first}=...; its inputs: {', '.join(ports) or 'none'}",
        )


def drop_unknown(what: str, kwargs: dict[str, object], ports: tuple[str, ...]) -> None:
    """Drop the keywords that are no inputs, with a warning each."""
    for name in [name for name in kwargs if name not in ports]:
        del kwargs[name]
        hint = did_you_mean(name, ports, "its inputs")
        place.warn(
            place.at(place.user_line(), f"{what} has no input '{name}', it is ignored; {hint}")
        )


def note_missing(what: str, kwargs: dict[str, object], ports: tuple[str, ...]) -> None:
    """Notice the inputs that are not given."""
    missing = [port for port in ports if port not in kwargs]
    if missing:
        place.notice(
            place.at(place.user_line(), f"{what} is not given its input {', '.join(missing)}")
        )


def _give_names(drafts: list[Draft], title: str) -> None:
    counts = Counter(draft.base for draft in drafts)
    seen: Counter[str] = Counter()
    for draft in drafts:
        seen[draft.base] += 1
        many = counts[draft.base] > 1
        draft.name = f"{draft.base}_{seen[draft.base]}" if many else draft.base
    owners: dict[str, Draft] = {}
    for draft in drafts:
        other = owners.setdefault(draft.name, draft)
        if other is not draft:
            raise PipelineError(
                place.at(
                    draft.where,
                    f"two calls in {title} are named '{draft.name}', the other in {other.where}",
                ),
                hint="give one of them another name=",
            )


def flat_handles(result: object, scope: Scope, what: str, where: str) -> list[Handle]:
    """Return the values that a body returned, nested tuples flattened, as handles of `scope`."""
    if isinstance(result, (tuple, list)):
        items = tuple.__iter__(result) if isinstance(result, tuple) else iter(result)
        return [handle for item in items for handle in flat_handles(item, scope, what, where)]
    if isinstance(result, Handle):
        origin_of(result, scope, f"the result of {what}", where)
        return [result]
    if result is None:
        return [Handle(scope, None, "none", "an absent value")]
    text = _text(result, f"the result of {what}", where)
    return [Handle(scope, Constant(text=text), "text", f"the text {text!r}")]


def argument(scope: Scope, name: str) -> Handle:
    """Return the handle of an argument of the body."""
    return Handle(scope, FromInput(name=name), name, f"argument '{name}'")
