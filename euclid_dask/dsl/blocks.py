"""Decorated functions: the pipeline, nested blocks, parallel blocks.

A decorated function is an object that remembers the function; its body runs when it is called
inside a pipeline (or, for the pipeline itself, when it is traced), once for each call. Literals
given to a body arrive in it as they are, so a Python `if` on them decides at once; handles arrive
as handles of the body's own arguments.
"""

import functools
from collections.abc import Callable
from importlib import import_module
from inspect import CO_COROUTINE
from types import CodeType
from typing import Any, TypeVar, cast

from euclid_dask.core.errors import PipelineError
from euclid_dask.core.flow import Flow, NestedNode, OnError, SplitNode
from euclid_dask.core.values import Value
from euclid_dask.dataflow.names import did_you_mean
from euclid_dask.dsl import place, trace
from euclid_dask.dsl.handles import Draft, Handle, Made, Outputs
from euclid_dask.dsl.mistakes import mistake
from euclid_dask.dsl.trace import Arguments, Scope, Trace

Function = Callable[..., Any]
B = TypeVar("B")


class LoadedPipeline(Value, frozen=True, kw_only=True):
    """A traced pipeline, and what its author should know about it."""

    flow: Flow
    docstring: str = ""
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the pipeline function."""
        return self.flow.name


class Parameters(Value, frozen=True, kw_only=True):
    """The arguments of a decorated function: all names, and those with a default."""

    names: tuple[str, ...]
    defaults: dict[str, Any]


class NestedFunction:
    """A function whose calls put its tasks under a prefix of their own."""

    def __init__(self, function: Function, outputs: tuple[str, ...] | None) -> None:
        self.code = _code(function, "@nested")
        self.parameters = _parameters(function, self.code, "@nested")
        self.function = function
        self.outputs = outputs
        functools.update_wrapper(cast("Function", self), function)

    def __call__(self, *args: object, **kwargs: object) -> Handle | Outputs:
        """Trace the body as a part of the pipeline being traced."""
        what = f"@nested '{_name(self.function)}'"
        scope = trace.current_scope(what)
        draft, arguments, given = _take(self, what, args, kwargs, scope)
        body, handles = _trace_body(self, what, scope, arguments, given)
        names = _output_names(self, what, handles)
        frozen = body.freeze(tuple(arguments), dict(zip(names, handles, strict=True)))
        scope.add(
            draft,
            arguments,
            lambda name, sources: NestedNode(
                name=name, arguments=sources, body=frozen, where=draft.where
            ),
        )
        return Outputs.of(
            what,
            [
                Handle(
                    scope,
                    Made(draft=draft, port=name) if handle.origin is not None else None,
                    name,
                    f"result '{name}' of '{draft.base}'",
                )
                for name, handle in zip(names, handles, strict=True)
            ],
        )


class ParallelFunction:
    """A function that runs once for each element of a list file."""

    def __init__(
        self,
        function: Function,
        *,
        iterable: str,
        output: str,
        on_error: OnError,
        max_failed_fraction: float,
    ) -> None:
        self.code = _code(function, "@parallel")
        self.parameters = _parameters(function, self.code, "@parallel")
        if iterable not in self.parameters.names:
            raise PipelineError(
                place.at(
                    place.line_of_code(self.code),
                    f"@parallel: '{_name(function)}' has no argument '{iterable}' to split over",
                ),
                hint=did_you_mean(iterable, self.parameters.names, "its arguments"),
            )
        self.function = function
        self.iterable = iterable
        self.output = output
        self.on_error = on_error
        self.max_failed_fraction = max_failed_fraction
        functools.update_wrapper(cast("Function", self), function)

    def __call__(self, *args: object, **kwargs: object) -> Handle:
        """Trace the body of one branch and return the handle of the joined list."""
        what = f"@parallel '{_name(self.function)}'"
        scope = trace.current_scope(what)
        draft, arguments, given = _take(self, what, args, kwargs, scope)
        self._refuse_no_list(what, arguments, given)
        body, handles = _trace_body(self, what, scope, arguments, given)
        for handle in handles:
            _refuse_plain(handle, what, self.code)
        if not handles:
            raise PipelineError(
                place.at(place.line_of_code(self.code), f"{what} returns nothing"),
                hint="return at least one handle: the list holds one entry per branch",
            )
        names = _unique([handle.port for handle in handles])
        frozen = body.freeze(tuple(arguments), dict(zip(names, handles, strict=True)))
        scope.add(
            draft,
            arguments,
            lambda name, sources: SplitNode(
                name=name,
                iterable=self.iterable,
                arguments=sources,
                body=frozen,
                output=self.output,
                on_error=self.on_error,
                max_failed_fraction=self.max_failed_fraction,
                where=draft.where,
            ),
        )
        label = f"the list of @parallel '{draft.base}'"
        return Handle(scope, Made(draft=draft, port=self.output), self.output, label, is_join=True)

    def _refuse_no_list(self, what: str, arguments: Arguments, given: dict[str, object]) -> None:
        if self.iterable in arguments:
            return
        value = given.get(self.iterable)
        problem = (
            f"is not given '{self.iterable}', which it splits over"
            if value is None
            else f"splits over '{self.iterable}', but is given {value!r}"
        )
        raise PipelineError(
            place.at(place.user_line(), f"{what} {problem}"),
            hint="it needs a list file: a pipeline input or the output of a task; "
            "over a list known in the script, use a Python for loop",
        )


class PipelineFunction:
    """The pipeline: what a script is loaded for. It can be traced, drawn, checked and run."""

    def __init__(self, function: Function, outputs: tuple[str, ...]) -> None:
        self.code = _code(function, "@pipeline")
        self.parameters = _parameters(function, self.code, "@pipeline")
        self.function = function
        self.outputs = outputs
        functools.update_wrapper(cast("Function", self), function)

    def __call__(self, *args: object, **kwargs: object) -> Handle | Outputs:
        """Use the whole pipeline as a nested block of another one."""
        return NestedFunction(self.function, self.outputs)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline {_name(self.function)}>"

    def trace(self, script: str = "") -> LoadedPipeline:
        """Run the body once with handles and return what it wired."""
        with place.collecting(*place.roots()) as remarks:
            flow = self._flow(script)
        return LoadedPipeline(
            flow=flow,
            docstring=(self.function.__doc__ or "").strip(),
            warnings=tuple(remarks.warnings),
            notices=tuple(remarks.notices),
        )

    def flow(self) -> Flow:
        """Return the dataflow of the pipeline."""
        return self.trace().flow

    def check(self, *args: object, **kwargs: object) -> Any:
        """Check the pipeline; arguments and result are those of `euclid_dask.api.check`."""
        return import_module("euclid_dask.api").check(self, *args, **kwargs)

    def run(self, *args: object, **kwargs: object) -> Any:
        """Run the pipeline; arguments and result are those of `euclid_dask.api.run`."""
        return import_module("euclid_dask.api").run(self, *args, **kwargs)

    def _repr_svg_(self) -> str:
        drawing = import_module("euclid_dask.dataflow.draw")
        return str(drawing.to_svg(self.flow()))

    def _repr_html_(self) -> str:
        return f'<div style="overflow-x:auto">{self._repr_svg_()}</div>'

    def _flow(self, script: str) -> Flow:
        what = f"@pipeline '{_name(self.function)}'"
        scope = Scope(trace=Trace(), title=what)
        defaults = self.parameters.defaults
        names = [name for name in self.parameters.names if defaults.get(name) is None]
        for name in self.parameters.names:
            if name not in names:
                place.notice(
                    place.at(
                        place.line_of_code(self.code),
                        f"'{name}' of {what} has a default, so it is fixed and not an input",
                    )
                )
        given = defaults | {name: trace.argument(scope, name) for name in names}
        handles = _run_body(self.function, what, scope, given)
        outputs = _pipeline_outputs(self, what, handles)
        body = scope.freeze(tuple(names), outputs)
        return Flow(
            name=_name(self.function),
            executables=scope.trace.executables,
            body=body,
            script=script,
            optional_inputs=tuple(name for name in names if name in defaults),
        )


Block = NestedFunction | ParallelFunction


def _name(function: Function) -> str:
    return str(getattr(function, "__name__", "pipeline"))


def _code(function: object, what: str) -> CodeType:
    function = getattr(function, "__wrapped__", function)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        raise PipelineError(
            place.at(place.user_line(), f"{what} decorates {function!r}, which is no function"),
            hint=f"write {what}(...) on the line above a def",
        )
    return code


def _parameters(function: Function, code: CodeType, what: str) -> Parameters:
    function = getattr(function, "__wrapped__", function)
    count = code.co_argcount + code.co_kwonlyargcount
    if code.co_flags & 0x0C or code.co_posonlyargcount:
        raise PipelineError(
            place.at(
                place.line_of_code(code),
                f"{what} '{_name(function)}' has *, ** or positional-only arguments",
            ),
            hint="give every argument a name: its arguments are inputs",
        )
    names = code.co_varnames[:count]
    values = function.__defaults__ or ()
    defaults = dict(
        zip(names[code.co_argcount - len(values) : code.co_argcount], values, strict=True)
    )
    return Parameters(names=names, defaults=defaults | (function.__kwdefaults__ or {}))


def _take(
    block: Block, what: str, args: tuple[object, ...], kwargs: dict[str, object], scope: Scope
) -> tuple[Draft, Arguments, dict[str, object]]:
    """Sort the keywords of a call of a block into handles (as origins) and literals."""
    names = block.parameters.names
    trace.refuse_positional(what, args, names)
    base = trace.call_name(kwargs, _name(block.function), names)
    trace.drop_unknown(what, kwargs, names)
    required = tuple(name for name in names if name not in block.parameters.defaults)
    trace.note_missing(what, kwargs, required)
    arguments: Arguments = {}
    given: dict[str, object] = dict.fromkeys(names) | block.parameters.defaults
    for name in names:
        if name not in kwargs:
            continue
        port = f"argument '{name}' of {what}"
        origin = trace.origin_of(kwargs[name], scope, port)
        value = trace.single(kwargs[name], port)
        is_handle = isinstance(value, Handle)
        given[name] = None if is_handle else value
        if is_handle and origin is not None:
            arguments[name] = origin
    return Draft(base=base, where=place.user_line()), arguments, given


def _trace_body(
    block: Block, what: str, scope: Scope, arguments: Arguments, given: dict[str, object]
) -> tuple[Scope, list[Handle]]:
    inner = Scope(trace=scope.trace, title=what)
    handles = {name: trace.argument(inner, name) for name in arguments}
    return inner, _run_body(block.function, what, inner, given | handles)


def _run_body(function: Function, what: str, scope: Scope, given: dict[str, Any]) -> list[Handle]:
    code = getattr(function, "__wrapped__", function).__code__
    if code.co_flags & CO_COROUTINE:
        raise PipelineError(
            place.at(place.line_of_code(code), f"{what} is an async function"),
            hint="write def instead of async def: tasks run at once without it",
        )
    with trace.entered(scope, function):
        try:
            result = function(**given)
        except (PipelineError, ImportError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise mistake(error, f"in {what}") from error
    return trace.flat_handles(result, scope, what, place.line_of_code(code))


def _output_names(block: NestedFunction, what: str, handles: list[Handle]) -> tuple[str, ...]:
    if block.outputs is None:
        return _unique([handle.port for handle in handles])
    _refuse_count(what, block.code, block.outputs, handles)
    return block.outputs


def _pipeline_outputs(
    function: PipelineFunction, what: str, handles: list[Handle]
) -> dict[str, Handle]:
    _refuse_count(what, function.code, function.outputs, handles)
    for handle in handles:
        _refuse_plain(handle, what, function.code)
    return dict(zip(function.outputs, handles, strict=True))


def _refuse_count(what: str, code: CodeType, names: tuple[str, ...], handles: list[Handle]) -> None:
    if len(names) != len(handles):
        returned = ", ".join(handle.label for handle in handles) or "nothing"
        raise PipelineError(
            place.at(
                place.line_of_code(code),
                f"{what} names {len(names)} outputs ({', '.join(names)}) "
                f"but returns {len(handles)}",
            ),
            hint=f"it returns: {returned}",
        )


def _refuse_plain(handle: Handle, what: str, code: CodeType) -> None:
    if not handle.is_file:
        raise PipelineError(
            place.at(place.line_of_code(code), f"{what} returns {handle.label}"),
            hint="return outputs of tasks or arguments of the function",
        )


def _unique(names: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return tuple(found)
